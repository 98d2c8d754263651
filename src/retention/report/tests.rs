//! The words of reports are a contract, and numbers are sums.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::DateTime;

use super::super::*;
use super::*;

#[test]
fn words_are_those_of_the_contract() {
    let accepted = Fate::Answered(Outcome::Accepted);
    let rejected = Fate::Answered(Outcome::Rejected {
        code: "DBS.1".to_owned(),
        message: String::new(),
    });
    let unanswered = Fate::Answered(Outcome::Unanswered { why: String::new() });
    assert_eq!(
        [accepted, rejected, unanswered, Fate::Confirmed, Fate::Returned].map(|fate| fate.key()),
        Fate::KEYS
    );
    assert_eq!(
        Fate::KEYS,
        ["accepted", "rejected", "unanswered", "confirmed", "returned"]
    );
    assert_eq!(
        RunResult::ALL.map(RunResult::as_str),
        ["success", "partial", "failed", "refused", "skipped"]
    );
    assert_eq!(
        RunResult::ALL.map(RunResult::has_read),
        [true, true, false, true, false]
    );
    let wait = Action::Wait {
        reason: ExpireReason::NotKept,
        since: None,
        due_at: None,
    };
    assert_eq!(
        [Action::Keep(Vec::new()), wait, Action::Delete(ExpireReason::NotKept)].map(|action| action.key()),
        ["keep", "wait", "delete"]
    );
    let skips = [
        SkipReason::Listing,
        SkipReason::Shrink,
        SkipReason::NotAllowed,
        SkipReason::Unreachable,
        SkipReason::Budget,
        SkipReason::Refused,
        SkipReason::Guard(Box::new(Refusal::MaxDeletions { planned: 9, limit: 8 })),
    ];
    assert_eq!(
        skips.each_ref().map(SkipReason::key),
        [
            "listing",
            "shrink",
            "not_allowed",
            "unreachable",
            "budget",
            "refused",
            "max_deletions"
        ]
    );
}

#[test]
fn what_the_api_writes_is_read_and_written_as_it_is() {
    let reasons = [
        ExpireReason::NotKept,
        ExpireReason::MaxAge,
        ExpireReason::Failed,
        ExpireReason::InstanceDeleted,
    ];
    assert_eq!(
        reasons.map(ExpireReason::key),
        ["not_kept", "max_age", "failed", "instance_deleted"]
    );
    assert_eq!(
        reasons.map(|reason| ExpireReason::from_key(reason.key())),
        reasons.map(Some)
    );
    assert_eq!(ExpireReason::from_key("anything"), None);
    for word in ["BUILDING", "COMPLETED", "FAILED", "DELETING", "NEW", ""] {
        assert_eq!(BackupStatus::parse(word).as_str(), word);
        assert_eq!(
            matches!(BackupStatus::parse(word), BackupStatus::Other(_)),
            ["NEW", ""].contains(&word)
        );
    }
    for word in ["auto", "manual", "fragment", "incremental", "new", ""] {
        assert_eq!(BackupKind::parse(word).as_str(), word);
        assert_eq!(
            matches!(BackupKind::parse(word), BackupKind::Other(_)),
            ["new", ""].contains(&word)
        );
    }
    assert_eq!(Engine::parse("SQLServer"), Engine::parse("sqlserver"));
    assert_eq!(Engine::parse("mysql"), Engine::MySql);
    assert_eq!(Engine::parse("MongoDB"), Engine::Other("MongoDB".into()));
}

fn row(id: &str) -> BackupRow {
    BackupRow {
        instance: Arc::new(Instance {
            engine: Engine::SqlServer,
            project: "prod".into(),
            id: "i1in04".into(),
            name: "mssql".into(),
            tags: Vec::new(),
            enterprise_project: None,
            life: InstanceLife::Listed,
        }),
        backup: Backup {
            id: id.into(),
            name: id.into(),
            kind: BackupKind::Manual,
            engine: Engine::SqlServer,
            status: BackupStatus::Completed,
            begin: None,
            size_bytes: 1,
            databases: Databases::All,
            end: None,
            doubt: None,
        },
        action: Action::Keep(Vec::new()),
        expires_at: None,
        fate: None,
    }
}

fn policy(sent: [(&str, &[(&str, u64)]); 2], rows: Vec<BackupRow>) -> PolicyReport {
    let fates = |fates: &[(&str, u64)]| Sent {
        fates: fates.iter().map(|(fate, count)| ((*fate).to_owned(), *count)).collect(),
        ..Sent::default()
    };
    PolicyReport {
        rows,
        sent: sent
            .into_iter()
            .map(|(project, sent)| (project.into(), fates(sent)))
            .collect(),
        ..PolicyReport::new("production".into(), Mode::Enforce, Zone::UTC, RunResult::Success)
    }
}

#[test]
fn a_report_sums_over_policies_and_projects_and_marks_every_row_of_a_backup() {
    let one = policy(
        [("a", &[("accepted", 2), ("rejected", 5)]), ("b", &[("accepted", 3)])],
        vec![row("b1"), row("b2")],
    );
    let two = policy([("a", &[("accepted", 10)]), ("b", &[])], vec![row("b2")]);
    let at = DateTime::UNIX_EPOCH;
    let mut report = RunReport {
        policies: vec![one, two],
        ..RunReport::new(at)
    };
    assert_eq!(
        ["accepted", "rejected", "confirmed"].map(|fate| report.sent(fate)),
        [15, 5, 0]
    );
    report.mark(&HashMap::from([("b2".into(), Arc::new(Fate::Confirmed))]));
    let fates: Vec<_> = report
        .policies
        .iter()
        .flat_map(|policy| &policy.rows)
        .map(|row| row.fate.clone())
        .collect();
    let confirmed = || Some(Arc::new(Fate::Confirmed));
    assert_eq!(fates, [None, confirmed(), confirmed()]);
}

#[test]
fn a_tally_counts_and_adds_and_never_runs_over() {
    let mut tally = Tally::default();
    for bytes in [7, 5, u64::MAX] {
        tally.add(bytes);
    }
    assert_eq!(
        tally,
        Tally {
            count: 3,
            bytes: u64::MAX
        }
    );
    let mut tally = Tally::default();
    for bytes in [7, 5] {
        tally.add(bytes);
    }
    assert_eq!(tally.bytes, 12);
}

#[test]
fn tallies_are_added() {
    let tally = |count, bytes| Tally { count, bytes };
    assert_eq!(tally(2, 30).and(tally(5, 700)), tally(7, 730));
}

#[test]
fn instances_are_summed_over_projects() {
    let counts = |managed, unmanaged, overlapping, failed| InstanceCounts {
        managed,
        unmanaged,
        overlapping,
        failed,
    };
    let all = [counts(1, 20, 300, 4_000), counts(5, 60, 700, 8_000)];
    assert_eq!(all.iter().sum::<InstanceCounts>(), counts(6, 80, 1_000, 12_000));
}
