//! Compares every call that reached the API with the chain.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rds_retentiond::simulator::Op;
use serde_json::Value;

use super::node::Round;
use super::{Kind, factor, scaled};

/// What a round showed.
pub struct Findings {
    pub violations: Vec<String>,
    pub kept: PathBuf,
    /// Deletion requests, and ids in them.
    pub requests: usize,
    pub ids: usize,
    /// From what was done to the holder to the first request of another one.
    pub takeovers: Vec<Duration>,
    /// Whether all that was due was deleted in the end, and how long after all was well again.
    pub done: Option<Duration>,
    /// Requests that were answered 401.
    pub refusals: usize,
}

impl Findings {
    /// Of a round that came to no end.
    pub fn broken(error: &tokio::task::JoinError) -> Self {
        Self {
            violations: vec![error.to_string()],
            kept: PathBuf::new(),
            requests: 0,
            ids: 0,
            takeovers: Vec::new(),
            done: None,
            refusals: 0,
        }
    }
}

struct Intent {
    at: DateTime<Utc>,
    seq: i64,
}

/// Rows of the chain, whoever has them.
fn rows(text: &str) -> Vec<Value> {
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn time(row: &Value) -> DateTime<Utc> {
    row["at"].as_str().and_then(|at| at.parse().ok()).unwrap_or_default()
}

pub async fn check(round: &mut Round, delay: Duration) -> Findings {
    let mut violations = Vec::new();
    round.stop().await;
    let (exported, text) = round.operator(&["audit", "export"]).await;
    if !exported {
        violations.push(format!("the chain cannot be exported: {text}"));
    }
    let (verified, said) = round.operator(&["audit", "verify"]).await;
    if !verified {
        violations.push(format!("the chain does not verify: {said}"));
    }
    let chain = rows(&text);
    let lost = rows(round.lost_chain.as_deref().unwrap_or_default());
    let calls = round.world.simulator.calls_of(Op::DeleteBatch);

    // A request begins within 5 s of its intent. A network that stands still may keep it for as long as its client waits.
    let arrives_within = scaled(if round.kind == Kind::Api { 25.0 } else { 5.0 });
    let arrives_within = TimeDelta::from_std(arrives_within + Duration::from_millis(400)).unwrap();
    without_intent(&chain, &lost, &calls, arrives_within, &mut violations);
    two_holders(round, &calls, delay, &mut violations);
    after_a_freeze(&chain, &calls, arrives_within, &mut violations);

    let due = Round::due();
    let asked: BTreeSet<String> = calls.iter().flat_map(|call| call.backup_ids.iter().cloned()).collect();
    violations.extend(asked.difference(&due).map(|id| format!("{id} was never due")));
    let refusals = round
        .world
        .simulator
        .calls()
        .iter()
        .filter(|call| call.status == Some(401))
        .count();
    if refusals > 2 {
        violations.push(format!("{refusals} requests with a refused key"));
    }
    if round.done.is_none() {
        violations.push(format!(
            "only {} of {} deleted in the end",
            round.world.deleted().len(),
            due.len()
        ));
    }
    // One of each call's ids says enough.
    violations.dedup();
    Findings {
        kept: if violations.is_empty() {
            PathBuf::new()
        } else {
            round.keep_logs(&text)
        },
        violations,
        requests: calls.len(),
        ids: calls.iter().map(|call| call.backup_ids.len()).sum(),
        takeovers: takeovers(round, &calls),
        done: round.done,
        refusals,
    }
}

type Calls = [rds_retentiond::simulator::Call];

/// Every id has an intent, and the request arrived soon after it.
fn without_intent(
    chain: &[Value],
    lost: &[Value],
    calls: &Calls,
    arrives_within: TimeDelta,
    violations: &mut Vec<String>,
) {
    let mut intents: HashMap<String, Vec<Intent>> = HashMap::new();
    for row in chain.iter().chain(lost).filter(|row| row["kind"] == "intent") {
        for item in row["body"]["items"].as_array().into_iter().flatten() {
            let seq = row["seq"].as_i64().unwrap_or_default();
            let id = item["backup"].as_str().unwrap_or_default().to_owned();
            intents.entry(id).or_default().push(Intent { at: time(row), seq });
        }
    }
    for call in calls {
        for id in &call.backup_ids {
            let earlier = intents
                .get(id)
                .into_iter()
                .flatten()
                .filter(|intent| intent.at <= call.at);
            match earlier.max_by_key(|intent| intent.at) {
                None => violations.push(format!("call {}: an id has no earlier intent", call.number)),
                Some(intent) if call.at - intent.at > arrives_within => violations.push(format!(
                    "call {}: arrived {} ms after its intent {}",
                    call.number,
                    (call.at - intent.at).num_milliseconds(),
                    intent.seq
                )),
                Some(_) => {}
            }
        }
    }
}

/// No id is sent by a second holder where the first one's request was done, or may still be.
fn two_holders(round: &Round, calls: &Calls, delay: Duration, violations: &mut Vec<String>) {
    // A request ends within 20 s; what a killed client asked, the simulator forgets by then.
    let may_last = TimeDelta::from_std(scaled(20.0).max(delay)).unwrap();
    let mut before: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, call) in calls.iter().enumerate() {
        for id in &call.backup_ids {
            let sent = before.entry(id).or_default();
            for earlier in sent.iter().map(|place| &calls[*place]) {
                let is_refused = matches!(earlier.status, Some(401 | 429));
                if earlier.claimed == call.claimed || is_refused || round.kind == Kind::Key {
                    continue;
                }
                if earlier.done || call.at - earlier.at < may_last {
                    violations.push(format!(
                        "call {} by {:?} repeats call {} by {:?}, {} ms later (the first was{} done)",
                        call.number,
                        call.claimed,
                        earlier.number,
                        earlier.claimed,
                        (call.at - earlier.at).num_milliseconds(),
                        if earlier.done { "" } else { " not" }
                    ));
                }
            }
            sent.push(place);
        }
    }
}

fn after_a_freeze(chain: &[Value], calls: &Calls, arrives_within: TimeDelta, violations: &mut Vec<String>) {
    let mut frozen_since: Option<DateTime<Utc>> = None;
    for row in chain {
        match row["kind"].as_str().unwrap_or_default() {
            "freeze" => frozen_since = Some(time(row)),
            "thaw" => {
                if let Some(since) = frozen_since.take() {
                    let late = calls
                        .iter()
                        .filter(|call| call.at > since + arrives_within && call.at < time(row));
                    violations.extend(late.map(|call| format!("call {} in a freeze since {since}", call.number)));
                }
            }
            "intent" if frozen_since.is_some() => violations.push(format!("intent {} in a freeze", row["seq"])),
            _ => {}
        }
    }
}

fn takeovers(round: &Round, calls: &Calls) -> Vec<Duration> {
    let next = |(at, holder): &(DateTime<Utc>, usize)| {
        let by_another = |call: &&rds_retentiond::simulator::Call| {
            call.at > *at
                && call
                    .claimed
                    .as_deref()
                    .and_then(|key| round.sender(key))
                    .is_some_and(|node| node != *holder)
        };
        (calls.iter().find(by_another)?.at - *at).to_std().ok()
    };
    round.marks.iter().filter_map(next).collect()
}

/// A line a kind.
pub fn table(found: &[(Kind, Vec<Findings>)]) -> String {
    let mut text = format!(
        "{:<13} {:>6} {:>10} {:>9} {:>8} {:>8} {:>6} {:>9} {:>9} {:>7}\n",
        "kind", "rounds", "violations", "completed", "requests", "ids", "401", "median s", "worst s", "n"
    );
    for (kind, rounds) in found {
        let sum = |of: fn(&Findings) -> usize| rounds.iter().map(of).sum::<usize>();
        let mut takeovers: Vec<f64> = rounds
            .iter()
            .flat_map(|of| &of.takeovers)
            .map(|took| took.as_secs_f64() * f64::from(factor()))
            .collect();
        takeovers.sort_by(f64::total_cmp);
        let shown = |place: Option<usize>| {
            place
                .and_then(|place| takeovers.get(place))
                .map_or("-".to_owned(), |took| format!("{took:.1}"))
        };
        let _ = writeln!(
            text,
            "{:<13} {:>6} {:>10} {:>9} {:>8} {:>8} {:>6} {:>9} {:>9} {:>7}",
            kind.name(),
            rounds.len(),
            sum(|of| of.violations.len()),
            sum(|of| usize::from(of.done.is_some())),
            sum(|of| of.requests),
            sum(|of| of.ids),
            sum(|of| of.refusals),
            shown(takeovers.len().checked_sub(1).map(|last| last / 2)),
            shown(takeovers.len().checked_sub(1)),
            takeovers.len()
        );
    }
    text + "take-over: from what was done to the holder to the first request of another, as if times were not shortened\n"
}
