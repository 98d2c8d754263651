//! Lists and decides, once more where what came out changes what is known.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::clock_jump::ClockJumpDetector;
use super::conflicts::Conflicts;
use super::policy_run::{Grace, PolicyRun};
use super::policy_runs::PolicyRuns;
use super::scan_result::Scan;
use super::{Error, GracePeriods, RunContext, RunRequest, in_use, scan};
use crate::blocking::blocking;
use crate::retention::{Hold, Policy, PolicyName};

/// Lists and decides. Where it then comes out that listings contradict each other, or that what is due is in use, all of it is done
/// again: that is rare; each time more is known, and at most until the run's time is over. Last, what there is to say of the tasks.
pub(super) async fn decide(
    request: &RunRequest,
    context: &RunContext,
    running: &[usize],
    deadline: Instant,
    clock_jump: ClockJumpDetector,
) -> Result<(Scan, Conflicts, PolicyRuns, Vec<String>), Error> {
    let mut conflicts = Conflicts::default();
    let mut of_tasks = None;
    loop {
        let mut policy_runs = open_policy_runs(request, context, running.to_vec())?;
        let mut scan = scan::scan(request, context, &mut policy_runs, deadline, clock_jump, &mut conflicts).await?;
        if let Some(known) = conflicts.once_more(request, context)? {
            conflicts = known;
        } else if let Some(notices) = of_tasks {
            return Ok((scan, conflicts, policy_runs, notices));
        } else {
            let (in_use, notices) = in_use::read(context, &policy_runs, &mut scan.progress, deadline).await;
            if in_use.is_empty() {
                return Ok((scan, conflicts, policy_runs, notices));
            }
            of_tasks = Some(notices);
            conflicts = conflicts.with_in_use(in_use);
        }
        request.rows.forget();
    }
}

/// The holds in force: the configuration's and those placed by command.
fn holds(context: &RunContext, now: DateTime<Utc>) -> Result<Vec<Hold>, Error> {
    let mut holds = context.config.holds.clone();
    if let Some(ledger) = &context.ledger {
        holds.extend(blocking(|| ledger.active_holds(now))?);
    }
    Ok(holds)
}

fn open_policy_runs(request: &RunRequest, context: &RunContext, running: Vec<usize>) -> Result<PolicyRuns, Error> {
    let all: Vec<Arc<Policy>> = context.config.all_policies().cloned().collect();
    let mut graces: HashMap<PolicyName, GracePeriods> = HashMap::new();
    if let Some(ledger) = &context.ledger {
        for place in &running {
            let entry = &context.config.policies[*place];
            let periods = blocking(|| GracePeriods::load(ledger, entry, &context.config.holds, request.now))?;
            graces.insert(entry.policy.name.clone(), periods);
        }
    }
    let open = |policy: &Arc<Policy>| {
        let grace = Grace::Known(graces.remove(&policy.name).unwrap_or_default());
        PolicyRun::new(Arc::clone(policy), grace, request.now, request.rows.clone())
    };
    Ok(PolicyRuns::new(
        all,
        running,
        holds(context, request.now)?,
        request,
        open,
    ))
}
