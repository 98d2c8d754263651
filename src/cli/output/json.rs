//! Reports as JSON, exactly as the contract names them (section 3).
//!
//! Everything is serialised by reference; what a run reports one by one is taken from `buffered`. Not for the API's JSON
//! (`rds::wire`), the ledger's, or lists of other things (`listing`). Keys that the contract does not name are added only where absence says nothing.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use serde::ser::Serializer;

use super::decision_json::DecisionJson;
use super::row_buffer::{BufferedRows, Fates, Held};
use crate::retention::orphan::Orphan;
use crate::retention::report::{GuardVerdict, InstanceCounts, Overlap, PolicyReport, Restart, Sent, Skip};
use crate::retention::view::{JsonTime, SummaryView};
use crate::retention::{Instance, InstanceId, PolicyName, ProjectName, Refusal, RunReport};
use crate::wording::sanitize;

/// Writes a report and a line feed, with the decisions that its run buffered where it holds none itself.
pub fn write_report(out: &mut dyn Write, report: &RunReport, buffered: &BufferedRows) -> io::Result<()> {
    write(out, &Report::of(report, buffered))
}

/// Writes any value as one line.
pub fn write(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    // Handed on in large pieces: the serialiser writes a few bytes at a time, which through `dyn` costs more than making them.
    let mut pieces = Pieces {
        made: Vec::with_capacity(2 * Pieces::SIZE),
        out,
    };
    // The conversion keeps the kind of an I/O error, so that a broken pipe stays one.
    sanitize::write_json(&mut pieces, value).map_err(io::Error::from)?;
    pieces.made.push(b'\n');
    pieces.flush()
}

/// Collects what is written and hands it on when there is much of it.
struct Pieces<'a> {
    made: Vec<u8>,
    out: &'a mut dyn Write,
}

impl Pieces<'_> {
    const SIZE: usize = 64 * 1024;
}

impl Write for Pieces<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.made.extend_from_slice(bytes);
        if self.made.len() < Self::SIZE {
            Ok(())
        } else {
            self.flush()
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.made)?;
        self.made.clear();
        Ok(())
    }
}

/// What each policy found, one after another.
struct Policies<'a> {
    report: &'a RunReport,
    buffered: &'a BufferedRows,
}

impl Serialize for Policies<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { report, buffered } = self;
        serializer.collect_seq(
            report
                .policies
                .iter()
                .map(|policy| PolicyJson::of(policy, (&report.fates, &report.held), buffered)),
        )
    }
}

/// The decisions of one policy: those that the report holds, or those that its run buffered.
struct Decisions<'a> {
    policy: &'a PolicyReport,
    after: (&'a Fates, &'a Held),
    buffered: &'a BufferedRows,
}

impl Serialize for Decisions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.policy.rows.is_empty() {
            self.buffered.serialize(&self.policy.policy, self.after, serializer)
        } else {
            Each(&self.policy.rows, DecisionJson::of).serialize(serializer)
        }
    }
}

/// A list whose entries are made while they are written.
struct Each<'a, T, J>(&'a [T], fn(&'a T) -> J);

impl<T, J: Serialize> Serialize for Each<'_, T, J> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(self.1))
    }
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<&'a str>,
    at: JsonTime,
    policies: Policies<'a>,
    unmanaged: Each<'a, std::sync::Arc<Instance>, InstanceJson<'a>>,
    overlaps: &'a [Overlap],
    skipped: &'a [Skip],
    // Beyond the contract.
    #[serde(skip_serializing_if = "<[Orphan]>::is_empty")]
    orphans: &'a [Orphan],
    finished_at: JsonTime,
    instances: InstanceCounts,
    calls: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    unconfirmed: &'a BTreeMap<ProjectName, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger_head: Option<&'a str>,
    /// Holds and name patterns that cover nothing.
    notices: &'a [String],
}

impl<'a> Report<'a> {
    fn of(report: &'a RunReport, buffered: &'a BufferedRows) -> Self {
        Self {
            run_id: report.run_id.as_deref(),
            at: JsonTime(report.at),
            policies: Policies { report, buffered },
            unmanaged: Each(&report.unmanaged, |instance| InstanceJson {
                project: &instance.project,
                instance_id: &instance.id,
                instance_name: &instance.name,
            }),
            overlaps: &report.overlaps,
            skipped: &report.skipped,
            orphans: &report.orphans,
            finished_at: JsonTime(report.finished_at),
            instances: report.instances.values().sum(),
            calls: report.calls,
            unconfirmed: &report.unconfirmed,
            ledger_head: report.ledger_head.as_deref(),
            notices: &report.notices,
        }
    }
}

#[derive(Serialize)]
struct InstanceJson<'a> {
    project: &'a ProjectName,
    instance_id: &'a InstanceId,
    instance_name: &'a str,
}

#[derive(Serialize)]
struct PolicyJson<'a> {
    policy: &'a PolicyName,
    mode: &'static str,
    timezone: &'static str,
    verdict: &'static str,
    refusal: Option<RefusalJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    when_enforced: Option<WhenEnforced<'a>>,
    summary: SummaryView,
    decisions: Decisions<'a>,
    // Beyond the contract.
    refusals: Vec<RefusalJson<'a>>,
    result: &'static str,
    left: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    grace_restarted: &'a BTreeMap<Restart, u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    sent: &'a BTreeMap<ProjectName, Sent>,
}

impl<'a> PolicyJson<'a> {
    fn of(report: &'a PolicyReport, after: (&'a Fates, &'a Held), buffered: &'a BufferedRows) -> Self {
        Self {
            policy: &report.policy,
            mode: report.mode.as_str(),
            timezone: report.zone.name(),
            verdict: report.verdict().as_str(),
            refusal: report.refusals.first().map(|refusal| RefusalJson::of(refusal, report)),
            when_enforced: report.when_enforced.as_deref().map(|refusals| WhenEnforced {
                verdict: GuardVerdict::of(!refusals.is_empty(), report.result.has_read()).as_str(),
                refusal: refusals.first().map(|refusal| RefusalJson::of(refusal, report)),
            }),
            summary: report.summary.into(),
            decisions: Decisions {
                policy: report,
                after,
                buffered,
            },
            refusals: report
                .refusals
                .iter()
                .map(|refusal| RefusalJson::of(refusal, report))
                .collect(),
            result: report.result.as_str(),
            left: report.left,
            grace_restarted: &report.restarted,
            sent: &report.sent,
        }
    }
}

/// What the guard would say of a dry-run policy's plan if it were enforced and every grace period were over.
#[derive(Serialize)]
struct WhenEnforced<'a> {
    verdict: &'static str,
    refusal: Option<RefusalJson<'a>>,
}

#[derive(Serialize)]
struct RefusalJson<'a> {
    limit: &'static str,
    message: String,
    /// What `approve --plan` takes; `null` where nothing can be approved.
    digest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_id: Option<&'a InstanceId>,
}

impl<'a> RefusalJson<'a> {
    fn of(refusal: &'a Refusal, policy: &'a PolicyReport) -> Self {
        Self {
            limit: refusal.limit(),
            message: refusal.to_string(),
            digest: policy.digest.as_deref().filter(|_| refusal.waits_for_approval()),
            instance_id: refusal.instance(),
        }
    }
}
