//! Exit codes: how scripts and cron learn what happened.
//!
//! Not for messages. The codes are the contract's (section 3), after BSD's `sysexits.h` where it has a name for them.

use crate::retention::RunReport;
use crate::retention::policy::Mode;
use crate::retention::report::{PolicyReport, RunResult, Skip, SkipReason};

/// Done, also when there was nothing to do.
pub const DONE: u8 = 0;
/// Something was left undone.
pub const UNDONE: u8 = 1;
/// A guard refused.
pub const REFUSED: u8 = 3;
/// The command line was wrong.
pub const USAGE: u8 = 64;
/// A project's API cannot be reached, or answers nonsense.
pub const UNAVAILABLE: u8 = 69;
/// Another process runs on this state.
pub const BUSY: u8 = 75;
/// Credentials or permissions.
pub const NOT_ALLOWED: u8 = 77;
/// The configuration is wrong.
pub const CONFIGURATION: u8 = 78;

/// The gravest first, as the contract orders them.
const ORDER: [u8; 5] = [CONFIGURATION, NOT_ALLOWED, UNAVAILABLE, REFUSED, UNDONE];

/// Of several codes the one to exit with; 0 of none. One that the contract does not order (usage, busy) ends a program
/// before it could have another, so it wins.
pub fn combine(codes: impl IntoIterator<Item = u8>) -> u8 {
    let rank = |code: &u8| match (code, ORDER.iter().position(|known| known == code)) {
        (&DONE, _) => usize::MAX,
        (_, Some(place)) => place + 1,
        (_, None) => 0,
    };
    codes.into_iter().min_by_key(rank).unwrap_or(DONE)
}

/// How a run (`apply`, `demo --once`) exits.
pub fn of_run(report: &RunReport) -> u8 {
    let undone = |is_undone: bool| if is_undone { UNDONE } else { DONE };
    let policies = report.policies.iter().map(|policy| {
        // Nothing of a dry-run would have been sent, so its guard has held nothing back: "0 done, also in dry-run".
        let refused = policy.mode == Mode::Enforce && !policy.refusals.is_empty();
        let unfinished = matches!(
            policy.result,
            RunResult::Partial | RunResult::Failed | RunResult::Skipped
        );
        combine([
            if refused { REFUSED } else { DONE },
            undone(policy.left > 0 || unfinished),
        ])
    });
    let sent = ["rejected", "unanswered", "returned"]
        .into_iter()
        .map(|fate| undone(report.sent(fate) > 0));
    let skipped = report.skipped.iter().filter(|skip| !held_back_nothing(skip, report));
    combine(skipped.map(of_skip).chain(policies).chain(sent))
}

/// Whether it is a guard's refusal that concerns dry-runs alone: of those nothing would have been sent.
fn held_back_nothing(skip: &Skip, report: &RunReport) -> bool {
    let SkipReason::Guard(by) = &skip.reason else {
        return false;
    };
    let is_refused = |policy: &&PolicyReport| {
        let mut refusals = policy.refusals.iter();
        refusals.any(|refusal| refusal.limit() == by.limit() && refusal.instance() == skip.instance.as_ref())
    };
    let mut concerned = report.policies.iter().filter(is_refused).peekable();
    // One that no policy names was made while batches were sent.
    concerned.peek().is_some() && concerned.all(|policy| policy.mode == Mode::DryRun)
}

/// How `plan` exits: 0 whenever it could compute, refused or not; a project that could not be read at all is no
/// computation.
pub fn of_plan(report: &RunReport) -> u8 {
    of_unread(&report.skipped)
}

/// The same, of what could not be read: projects that could not be read at all.
pub fn of_unread(skipped: &[Skip]) -> u8 {
    let whole = skipped.iter().filter(|skip| skip.instance.is_none());
    combine(
        whole
            .map(of_skip)
            .filter(|code| [UNAVAILABLE, NOT_ALLOWED, CONFIGURATION].contains(code)),
    )
}

/// How an answer about all backups exits (`forecast`, `diff`): something is left undone where something could not be read.
pub fn of_inventory(skipped: &[Skip]) -> u8 {
    let undone = if skipped.is_empty() { DONE } else { UNDONE };
    combine([of_unread(skipped), undone])
}

fn of_skip(skip: &Skip) -> u8 {
    match (&skip.reason, &skip.instance) {
        (SkipReason::NotAllowed, _) => NOT_ALLOWED,
        (SkipReason::Configuration, None) => CONFIGURATION,
        // A project whose list of instances never agrees with itself answers nonsense.
        (SkipReason::Unreachable | SkipReason::Listing, None) => UNAVAILABLE,
        (SkipReason::Unreachable | SkipReason::Listing | SkipReason::Configuration, Some(_))
        | (SkipReason::Budget | SkipReason::Refused, _) => UNDONE,
        (SkipReason::Shrink | SkipReason::Guard(_), _) => REFUSED,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::DateTime;

    use super::*;
    use crate::retention::report::Sent;
    use crate::retention::{Refusal, Zone};

    fn report() -> RunReport {
        RunReport::new(DateTime::UNIX_EPOCH)
    }

    fn policy(mode: Mode, result: RunResult) -> PolicyReport {
        PolicyReport::new("p".into(), mode, Zone::UTC, result)
    }

    fn skip(reason: SkipReason, instance: Option<&str>) -> RunReport {
        RunReport {
            skipped: vec![Skip {
                project: "prod".into(),
                instance: instance.map(Into::into),
                reason,
                message: "m".to_owned(),
            }],
            ..report()
        }
    }

    const REFUSAL: Refusal = Refusal::MaxDeletions { planned: 9, limit: 8 };

    #[test]
    fn of_several_codes_the_gravest_wins() {
        assert_eq!(combine([]), 0);
        assert_eq!(combine([0, 0]), 0);
        assert_eq!(combine([1, 0, 3]), 3);
        assert_eq!(combine([3, 69, 1]), 69);
        assert_eq!(combine([69, 77, 3]), 77);
        assert_eq!(combine([77, 78, 1]), 78);
        assert_eq!(combine([0, 75]), 75);
    }

    #[test]
    fn skips_of_projects_and_of_instances_differ() {
        let codes = |reason| {
            let (project, instance) = (skip(SkipReason::clone(&reason), None), skip(reason, Some("i")));
            [
                of_run(&project),
                of_run(&instance),
                of_plan(&project),
                of_plan(&instance),
            ]
        };
        assert_eq!(codes(SkipReason::NotAllowed), [77, 77, 77, 0]);
        assert_eq!(codes(SkipReason::Unreachable), [69, 1, 69, 0]);
        assert_eq!(codes(SkipReason::Listing), [69, 1, 69, 0]);
        assert_eq!(codes(SkipReason::Configuration), [78, 1, 78, 0]);
        assert_eq!(codes(SkipReason::Budget), [1, 1, 0, 0]);
        assert_eq!(codes(SkipReason::Shrink), [3, 3, 0, 0]);
        assert_eq!(codes(SkipReason::Guard(Box::new(REFUSAL))), [3, 3, 0, 0]);
    }

    #[test]
    fn a_refusal_is_3_where_something_would_have_been_sent() {
        let with = |mode| {
            let mut report = report();
            report.policies = vec![PolicyReport {
                refusals: vec![REFUSAL],
                ..policy(mode, RunResult::Refused)
            }];
            [of_run(&report), of_plan(&report)]
        };
        assert_eq!(with(Mode::Enforce), [3, 0]);
        assert_eq!(with(Mode::DryRun), [0, 0]);
    }

    /// A cron job of a dry-run does not learn that something was refused, whatever the limit.
    #[test]
    fn an_instance_refused_in_a_dry_run_alone_is_0() {
        let percent = Refusal::MaxPercent {
            instance: "i".into(),
            planned: 6,
            of: 9,
            percent: 50,
        };
        let with = |modes: &[Mode]| {
            let mut report = skip(SkipReason::Guard(Box::new(percent.clone())), Some("i"));
            let refused = |mode: &Mode| PolicyReport {
                refusals: vec![percent.clone()],
                ..policy(*mode, RunResult::Refused)
            };
            report.policies = modes.iter().map(refused).collect();
            of_run(&report)
        };
        assert_eq!(with(&[Mode::DryRun]), 0);
        assert_eq!(with(&[Mode::DryRun, Mode::Enforce]), 3);
        assert_eq!(with(&[]), 3);
    }

    #[test]
    fn what_was_left_undone_is_1() {
        for (fate, code) in [
            ("accepted", 0),
            ("confirmed", 0),
            ("rejected", 1),
            ("unanswered", 1),
            ("returned", 1),
        ] {
            let mut report = report();
            let fates = BTreeMap::from([(fate.to_owned(), 1)]);
            report.policies = vec![PolicyReport {
                sent: BTreeMap::from([(
                    "prod".into(),
                    Sent {
                        fates,
                        ..Sent::default()
                    },
                )]),
                ..policy(Mode::Enforce, RunResult::Success)
            }];
            assert_eq!(of_run(&report), code, "{fate}");
        }
        let mut left = report();
        left.policies = vec![PolicyReport {
            restarted: BTreeMap::new(),
            left: 1,
            ..policy(Mode::Enforce, RunResult::Success)
        }];
        assert_eq!(of_run(&left), 1);
        let mut failed = report();
        failed.policies = vec![policy(Mode::Enforce, RunResult::Failed)];
        assert_eq!(of_run(&failed), 1);
    }
}
