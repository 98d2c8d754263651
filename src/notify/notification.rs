//! What is said: the same values for every format.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike as _, Utc};
use serde::Serialize;

use super::ending::EndingSoon;
use crate::config::NotifyOn;
use crate::retention::report::{PolicyReport, RunResult};
use crate::retention::view::{SummaryView, stamp};
use crate::retention::{Fate, PolicyName, Refusal, RunReport};
use crate::wording::remedies::{Remedy, remedy};
use crate::wording::run_messages;

/// When the run before this one of a policy was, if a freeze held it back.
pub type FrozenBefore<'a> = &'a dyn Fn(&PolicyName) -> Option<DateTime<Utc>>;

/// One message. Its JSON is documented (`docs/notifications.md`): fields are added, never renamed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Notification {
    /// The word of `on`, or `test`.
    pub(super) event: &'static str,
    /// Who gets it; `None` for a test, which everyone gets.
    #[serde(skip)]
    pub(super) on: Option<NotifyOn>,
    /// The policy it is about, if it is about one.
    pub(super) policy: Option<PolicyName>,
    /// The run's id; `null` before it has one.
    pub(super) run_id: Option<String>,
    /// How the run of the policy ended.
    pub(super) result: Option<RunResult>,
    /// When.
    #[serde(serialize_with = "stamp")]
    pub(super) at: DateTime<Utc>,
    /// Decisions in numbers, where the run could read the world.
    pub(super) summary: Option<SummaryView>,
    /// What became of what was sent, by the outcome's name.
    pub(super) sent: BTreeMap<String, u64>,
    /// One or two sentences.
    #[serde(rename = "message")]
    pub(super) words: String,
    /// What to type, where a command helps.
    pub(super) command: Option<String>,
}

impl Notification {
    fn new(on: NotifyOn, at: DateTime<Utc>, words: String) -> Self {
        Self {
            event: on.as_str(),
            on: Some(on),
            policy: None,
            run_id: None,
            result: None,
            at,
            summary: None,
            sent: BTreeMap::new(),
            words,
            command: None,
        }
    }

    /// A message that says only that it arrived.
    pub(super) fn test(at: DateTime<Utc>) -> Self {
        let text = "Test message: this target works.".to_owned();
        Self {
            event: "test",
            on: None,
            ..Self::new(NotifyOn::Success, at, text)
        }
    }

    /// A hold or freeze ends soon.
    pub(super) fn ending(of: &EndingSoon, at: DateTime<Utc>) -> Self {
        Self::new(
            NotifyOn::Ending,
            at,
            run_messages::ending(&of.what, &of.reason, of.until),
        )
    }

    /// Sentences and what to do.
    pub(super) fn text(&self) -> String {
        match &self.command {
            Some(command) => format!("{} What to do: {command}", self.words),
            None => self.words.clone(),
        }
    }
}

/// The messages of one run: one for each policy and event, and one for dead man's switches, which know one state.
#[derive(Clone, Debug)]
pub(super) struct RunMessages {
    pub(super) each: Vec<Notification>,
    pub(super) ping: Option<Notification>,
}

impl RunMessages {
    /// A run begins.
    pub(super) fn starting(policies: &[PolicyName], at: DateTime<Utc>) -> Self {
        let start = |names: &[PolicyName]| Notification::new(NotifyOn::Start, at, run_messages::starting(names.iter()));
        let of = |policy: &PolicyName| Notification {
            policy: Some(policy.clone()),
            ..start(std::slice::from_ref(policy))
        };
        Self {
            each: policies.iter().map(of).collect(),
            ping: Some(start(policies)),
        }
    }

    /// A run that a killed process left open, of one policy.
    pub(super) fn interrupted(policy: &PolicyName, at: DateTime<Utc>) -> Self {
        let message = Notification {
            policy: Some(policy.clone()),
            result: Some(RunResult::Failed),
            ..Notification::new(NotifyOn::Failed, at, run_messages::interrupted(policy, at))
        };
        Self {
            ping: Some(message.clone()),
            each: vec![message],
        }
    }

    /// A run has ended. `program` is how commands call it, `why` why there is no report, where there is none.
    pub(super) fn ended(report: &RunReport, program: &str, before: FrozenBefore<'_>, why: Option<&str>) -> Self {
        let ran = report.policies.iter().filter_map(|policy| {
            let message = of_policy(report, policy, program, why)?;
            Some((policy, message))
        });
        let ran: Vec<(&PolicyReport, Notification)> = ran.collect();
        let ping = ping(report, &ran);
        let is_news = |(policy, message): &(&PolicyReport, Notification)| {
            message.on != Some(NotifyOn::Frozen) || !is_repeated(report.at, before(&policy.policy))
        };
        let news = ran.into_iter().filter(is_news).map(|(_, message)| message);
        Self {
            each: news.chain(returned(report)).collect(),
            ping,
        }
    }
}

/// A freeze is a decision of people, so each refused run is not news to them: the first one is, and the first of each week, for a
/// freeze that was forgotten costs money.
fn is_repeated(at: DateTime<Utc>, before: Option<DateTime<Utc>>) -> bool {
    before.is_some_and(|before| before.iso_week() == at.iso_week())
}

fn of_policy(report: &RunReport, policy: &PolicyReport, program: &str, why: Option<&str>) -> Option<Notification> {
    let gravest = policy.refusals.first();
    let on = match policy.result {
        RunResult::Success => NotifyOn::Success,
        RunResult::Partial => NotifyOn::Partial,
        RunResult::Failed => NotifyOn::Failed,
        RunResult::Refused if matches!(gravest, Some(Refusal::Freeze { .. })) => NotifyOn::Frozen,
        RunResult::Refused => NotifyOn::Refused,
        RunResult::Skipped => return None,
    };
    let mut message = run_messages::ended(report, policy, why);
    let what_to_do = gravest.map(|refusal| remedy(refusal, policy.policy.as_str(), policy.digest.as_deref(), program));
    let command = match what_to_do {
        Some(Remedy::Command(command)) => Some(command),
        Some(Remedy::Words(words)) => {
            message = format!("{message} What to do: {words}.");
            None
        }
        None => None,
    };
    let mut sent = BTreeMap::new();
    for (fate, count) in policy.sent.values().flat_map(|sent| &sent.fates) {
        *sent.entry(fate.clone()).or_default() += count;
    }
    Some(Notification {
        policy: Some(policy.policy.clone()),
        run_id: report.run_id.clone().filter(|id| !id.is_empty()),
        result: Some(policy.result),
        summary: policy.has_read().then(|| policy.summary.into()),
        sent,
        command,
        ..Notification::new(on, report.finished_at, message)
    })
}

/// A dead man's switch hears `success` only where every policy did what was approved.
fn ping(report: &RunReport, ran: &[(&PolicyReport, Notification)]) -> Option<Notification> {
    let is_good = ran.iter().all(|(policy, _)| policy.result == RunResult::Success);
    let on = if is_good { NotifyOn::Success } else { NotifyOn::Failed };
    let text: Vec<String> = ran.iter().map(|(_, message)| message.text()).collect();
    (!ran.is_empty()).then(|| Notification::new(on, report.finished_at, text.join("\n")))
}

/// Deletions of this run and of earlier ones that turned out to be none, by policy.
fn returned(report: &RunReport) -> Vec<Notification> {
    let mut counts: BTreeMap<&PolicyName, u64> = BTreeMap::new();
    for policy in &report.policies {
        let sent = policy.sent.values();
        let now: u64 = sent.filter_map(|sent| sent.fates.get(Fate::Returned.key())).sum();
        *counts.entry(&policy.policy).or_default() += now;
    }
    for settled in report
        .settled_earlier
        .iter()
        .filter(|settled| settled.fate == Fate::Returned)
    {
        *counts.entry(&settled.policy).or_default() += 1;
    }
    let message = |(policy, count): (&PolicyName, u64)| Notification {
        policy: Some(policy.clone()),
        run_id: report.run_id.clone(),
        sent: BTreeMap::from([(Fate::Returned.key().to_owned(), count)]),
        ..Notification::new(
            NotifyOn::Returned,
            report.finished_at,
            run_messages::returned(policy, count),
        )
    };
    counts
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(message)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retention::report::Settled;
    use crate::retention::{FreezeSources, Mode, Zone};

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn report(results: &[(&str, RunResult)]) -> RunReport {
        let policy =
            |(name, result): &(&str, RunResult)| PolicyReport::new((*name).into(), Mode::Enforce, Zone::UTC, *result);
        RunReport {
            policies: results.iter().map(policy).collect(),
            ..RunReport::new(at("2026-11-25T03:00:00Z"))
        }
    }

    fn events(messages: &RunMessages) -> Vec<(String, &'static str)> {
        let of = |message: &Notification| {
            (
                message.policy.as_ref().map_or_else(String::new, ToString::to_string),
                message.event,
            )
        };
        messages.each.iter().map(of).collect()
    }

    fn ended(report: &RunReport, before: Option<DateTime<Utc>>) -> RunMessages {
        RunMessages::ended(report, "rds-retentiond", &|_| before, None)
    }

    #[test]
    fn a_dead_mans_switch_hears_success_only_where_every_policy_succeeded() {
        use RunResult::{Failed, Partial, Refused, Skipped, Success};
        let ping = |results: &[RunResult]| {
            let named: Vec<_> = results.iter().map(|result| ("p", *result)).collect();
            ended(&report(&named), None).ping.map(|message| message.event)
        };
        assert_eq!(ping(&[Success]), Some("success"));
        assert_eq!(ping(&[Success, Skipped]), Some("success"));
        for bad in [Failed, Partial, Refused] {
            assert_eq!(ping(&[bad]), Some("failed"));
            assert_eq!(ping(&[Success, bad, Success]), Some("failed"));
        }
        // Nothing ran, so nothing is known.
        assert_eq!(ping(&[Skipped]), None);
    }

    #[test]
    fn a_freeze_is_news_at_first_and_weekly_and_never_to_a_dead_mans_switch() {
        let mut frozen = report(&[("p", RunResult::Refused)]);
        frozen.policies[0].refusals = vec![Refusal::Freeze {
            reason: "audit".to_owned(),
            until: None,
            sources: FreezeSources {
                placed: vec!["f1".to_owned()],
                configured: None,
            },
        }];
        let first = ended(&frozen, None);
        assert_eq!(events(&first), [("p".to_owned(), "frozen")]);
        assert_eq!(first.each[0].command.as_deref(), Some("rds-retentiond thaw f1"));
        // The run is of a Wednesday.
        for (before, is_news) in [
            ("2026-11-24T03:00:00Z", false),
            ("2026-11-23T03:00:00Z", false),
            ("2026-11-22T03:00:00Z", true),
            ("2025-11-25T03:00:00Z", true),
        ] {
            let messages = ended(&frozen, Some(at(before)));
            assert_eq!(messages.each.len(), usize::from(is_news), "{before}");
            assert_eq!(messages.ping.map(|message| message.event), Some("failed"));
        }
    }

    #[test]
    fn a_refused_plan_names_the_command_that_approves_it() {
        let mut refused = report(&[("p", RunResult::Refused)]);
        refused.policies[0].refusals = vec![Refusal::MaxDeletions { planned: 9, limit: 8 }];
        refused.policies[0].digest = Some("c0ffee".to_owned());
        let messages = ended(&refused, None);
        assert_eq!(events(&messages), [("p".to_owned(), "refused")]);
        let command = "rds-retentiond approve p --plan c0ffee";
        assert_eq!(messages.each[0].command.as_deref(), Some(command));
        assert!(messages.ping.unwrap().words.contains(command));
    }

    #[test]
    fn what_returned_is_told_by_the_policy_that_deleted_it() {
        let mut report = report(&[("p", RunResult::Success)]);
        let settled = |fate| Settled {
            policy: "gone".into(),
            project: "prod".into(),
            fate,
            size_bytes: 1,
        };
        report.settled_earlier = vec![
            settled(Fate::Returned),
            settled(Fate::Confirmed),
            settled(Fate::Returned),
        ];
        let messages = ended(&report, None);
        assert_eq!(
            events(&messages),
            [("p".to_owned(), "success"), ("gone".to_owned(), "returned")]
        );
        assert_eq!(messages.each[1].sent["returned"], 2);
    }
}
