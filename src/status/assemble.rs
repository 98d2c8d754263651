//! Puts a [`Status`] together from what a configuration, the ledger and a daemon say.

use chrono::{DateTime, Utc};

use super::daemon_state::DaemonState;
use super::problems::{members_that_differ, obstacles, of_policies, skipped, stale_ledger};
use super::recent::Recent;
use super::snapshot::{ConfigStatus, FreezeStatus, LastRun, PolicyStatus, Status, StorageDay};
use crate::config::{Config, PolicyEntry};
use crate::ledger::{self, Ledger, PlacedFreeze, RunFilter, SharedState};
use crate::notify::ending_among;
use crate::retention::report::InstanceCounts;
use crate::retention::{Freeze, Hold, PolicyName};
use crate::wording::money::Price;
use crate::wording::run_messages::ending;

/// Runs that are read for storage over time: a year of one daily policy, or forty days of ten.
const STORAGE_RUNS: u32 = 400;

/// What the ledger said last; other processes may have changed it.
#[derive(Clone, Debug, Default)]
pub(super) struct LedgerView {
    pub(super) read_at: Option<DateTime<Utc>>,
    pub(super) placed_holds: Vec<Hold>,
    pub(super) freezes: Vec<PlacedFreeze>,
    pub(super) storage: Vec<StorageDay>,
    /// Who works on it, where several machines may.
    pub(super) shared: Option<SharedState>,
    pub(super) recent: Recent,
}

/// Storage by day, from past runs.
pub(super) fn storage(ledger: &Ledger) -> Result<Vec<StorageDay>, ledger::Error> {
    let filter = RunFilter {
        policy: None,
        limit: Some(STORAGE_RUNS),
    };
    Ok(StorageDay::of_runs(&ledger.runs(&filter)?))
}

/// What a configuration says.
pub(super) struct Configured {
    pub(super) status: ConfigStatus,
    pub(super) policies: Vec<PolicyStatus>,
    pub(super) holds: Vec<Hold>,
    pub(super) price: Option<Price>,
    /// With its place.
    pub(super) freeze: Option<(Freeze, String)>,
}

impl Configured {
    /// Of one in force.
    pub(super) fn of(config: &Config, state: &DaemonState, loaded_at: DateTime<Utc>) -> Self {
        Self {
            status: ConfigStatus {
                path: config.path.clone(),
                sha256: config.sha256.clone(),
                loaded_at,
                last_reload_ok: state.config_problems.is_empty(),
                problems: state.config_problems.clone(),
                waiting: state.config_waiting.clone(),
            },
            policies: config.policies.iter().map(|entry| policy(state, entry)).collect(),
            holds: config.holds.clone(),
            price: config.price.clone(),
            freeze: config.configured_freeze(),
        }
    }
}

/// Everything together.
pub(super) fn assemble(
    configured: Configured,
    view: LedgerView,
    state: &DaemonState,
    started_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Status {
    let freezes = freezes(configured.freeze, view.freezes, now);
    let obstacles = obstacles(state);
    let instances = (!state.instances.is_empty()).then(|| state.instances.values().sum::<InstanceCounts>());
    let holds: Vec<Hold> = configured.holds.into_iter().chain(view.placed_holds).collect();
    let notices = state
        .notices
        .iter()
        .cloned()
        .chain(endings(&holds, &freezes, now))
        .collect();
    Status {
        version: env!("CARGO_PKG_VERSION"),
        started_at,
        at: now,
        ready: obstacles.is_empty(),
        problems: obstacles
            .into_iter()
            .chain(stale_ledger(view.read_at, now))
            .chain(members_that_differ(view.shared.as_ref()))
            .chain(of_policies(state, &configured.policies))
            .collect(),
        ledger_read_at: view.read_at,
        config: configured.status,
        policies: configured.policies,
        holds: holds.into_iter().filter(|hold| hold.is_active(now)).collect(),
        freeze: Freeze::longest(freezes.iter().map(|of| of.freeze.clone())),
        freezes,
        unmanaged: instances.map(|counts| counts.unmanaged),
        instances,
        unconfirmed: state.unconfirmed.clone(),
        skipped: skipped(state),
        storage: view.storage,
        price: configured.price,
        recent: view.recent,
        notices,
        shared: view.shared,
        reports: state.reports.clone(),
    }
}

/// That holds and freezes end soon: what they keep goes then, where no policy keeps it.
fn endings(holds: &[Hold], freezes: &[FreezeStatus], now: DateTime<Utc>) -> Vec<String> {
    let freezes = freezes
        .iter()
        .map(|of| (&of.freeze, of.id.as_deref().unwrap_or_default()));
    let soon = ending_among(holds.iter(), freezes, now);
    soon.iter().map(|of| ending(&of.what, &of.reason, of.until)).collect()
}

/// The freezes in force: the configuration's and those placed by command.
fn freezes(configured: Option<(Freeze, String)>, placed: Vec<PlacedFreeze>, now: DateTime<Utc>) -> Vec<FreezeStatus> {
    let configured = configured.into_iter().map(|(freeze, place)| FreezeStatus {
        id: None,
        place: Some(place),
        freeze,
    });
    let placed = placed.into_iter().map(|placed| FreezeStatus {
        id: Some(placed.id),
        place: None,
        freeze: placed.freeze,
    });
    let all = configured.chain(placed);
    all.filter(|of| of.freeze.is_active(now)).collect()
}

fn policy(state: &DaemonState, entry: &PolicyEntry) -> PolicyStatus {
    let name = &entry.policy.name;
    PolicyStatus {
        policy: name.clone(),
        mode: entry.policy.mode.as_str(),
        schedule: entry.schedule.as_ref().map(|schedule| schedule.text().to_owned()),
        zone: entry.policy.zone,
        next_run: state.next.get(name).copied().flatten(),
        waiting: state.waiting.contains(name),
        running_since: state.running.get(name).copied(),
        last_run: last_run(state, name),
        last_success: state.last_success.get(name).copied(),
        goes_next: None,
    }
}

/// The last run of a policy. An approval or two days may have passed since.
pub(super) fn last_run(state: &DaemonState, policy: &PolicyName) -> Option<LastRun> {
    let mut last = state.last.get(policy)?.clone();
    if let Some(refusal) = &mut last.refusal {
        let open = state.guard_open.get(policy).filter(|_| refusal.is_approvable());
        refusal.waits = open.is_some();
        refusal.digest = open.cloned().flatten();
    }
    Some(last)
}
