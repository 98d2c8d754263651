use super::*;
use crate::config::{Schedule, delay};
use crate::retention::Zone;

pub(super) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(super) fn timing(schedule: &str, zone: Zone) -> Timing {
    Timing {
        projects: ProjectSet::Everywhere,
        schedule: Some(Schedule::parse(schedule).unwrap()),
        zone,
        delay: TimeDelta::zero(),
        catch_up: true,
    }
}

pub(super) fn name(text: &str) -> PolicyName {
    PolicyName::from(text)
}

/// A last run that began then, and came to its end.
pub(super) fn ended(at: DateTime<Utc>) -> LastBegun {
    LastBegun {
        at,
        is_interrupted: false,
        is_killed: false,
        is_open: false,
    }
}

/// One policy `p` taken on at `now`.
pub(super) fn scheduler(timing: Timing, now: &str) -> Scheduler {
    let mut scheduler = Scheduler::default();
    scheduler.adopt([(name("p"), timing)], at(now));
    let _ = scheduler.fire(at(now));
    scheduler
}

pub(super) fn nightly(now: &str) -> Scheduler {
    scheduler(timing("0 3 * * *", Zone::UTC), now)
}

pub(super) fn fired(scheduler: &mut Scheduler, now: &str) -> Option<Trigger> {
    let (_, _) = scheduler.fire(at(now));
    let runs = scheduler.start_due();
    for run in &runs {
        scheduler.finished(run.key);
    }
    runs.first().map(|run| run.trigger)
}

/// Begins what can begin: whose, and why.
pub(super) fn taken(scheduler: &mut Scheduler) -> Vec<(Vec<PolicyName>, Trigger)> {
    let runs = scheduler.start_due().into_iter();
    runs.map(|run| (run.policies, run.trigger)).collect()
}

/// Ends every run under way.
fn all_done(scheduler: &mut Scheduler) {
    for run in scheduler.running.clone() {
        scheduler.finished(run.key);
    }
}

pub(super) fn next(scheduler: &Scheduler) -> String {
    scheduler
        .next_fire()
        .map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
        .unwrap_or_default()
}

#[test]
fn a_tick_fires_once_and_the_next_is_tomorrows() {
    let mut scheduler = nightly("2026-11-23T02:00:00Z");
    assert_eq!(next(&scheduler), "2026-11-23T03:00:00Z");
    assert_eq!(fired(&mut scheduler, "2026-11-23T02:59:59Z"), None);
    assert_eq!(fired(&mut scheduler, "2026-11-23T03:00:00Z"), Some(Trigger::Cron));
    assert_eq!(fired(&mut scheduler, "2026-11-23T03:00:00Z"), None);
    assert_eq!(next(&scheduler), "2026-11-24T03:00:00Z");
}

#[test]
fn a_clock_set_back_a_little_fires_nothing_twice() {
    let mut scheduler = nightly("2026-11-23T02:00:00Z");
    assert_eq!(fired(&mut scheduler, "2026-11-23T03:00:01Z"), Some(Trigger::Cron));
    assert_eq!(fired(&mut scheduler, "2026-11-23T02:56:00Z"), None);
    assert_eq!(fired(&mut scheduler, "2026-11-23T03:00:01Z"), None);
    assert_eq!(next(&scheduler), "2026-11-24T03:00:00Z");
}

#[test]
fn a_tick_that_fired_by_a_clock_that_was_ahead_fires_again() {
    let hourly = || scheduler(timing("0 * * * *", Zone::UTC), "2026-11-22T20:00:30Z");
    for (mut scheduler, first, again) in [
        (
            nightly("2026-11-22T20:00:30Z"),
            "2026-11-23T03:00:00Z",
            "2026-11-24T03:00:00Z",
        ),
        (hourly(), "2026-11-22T21:00:00Z", "2026-11-22T22:00:00Z"),
    ] {
        assert_eq!(next(&scheduler), first);
        // Ten hours ahead for a minute.
        assert!(fired(&mut scheduler, "2026-11-23T06:01:00Z").is_some());
        assert_eq!(fired(&mut scheduler, "2026-11-22T20:02:00Z"), None);
        assert_eq!(next(&scheduler), first);
        assert_eq!(fired(&mut scheduler, first), Some(Trigger::Cron));
        assert_eq!(next(&scheduler), again);
    }
}

/// An NTP client that corrects ten hours in small steps.
#[test]
fn a_clock_set_back_in_many_small_steps_fires_again_as_well() {
    let mut scheduler = nightly("2026-11-22T20:00:00Z");
    assert_eq!(fired(&mut scheduler, "2026-11-23T03:00:00Z"), Some(Trigger::Cron));
    let mut now = at("2026-11-23T03:00:00Z");
    while now > at("2026-11-22T20:10:00Z") {
        now -= TimeDelta::minutes(4);
        let _ = scheduler.fire(now);
    }
    assert_eq!(next(&scheduler), "2026-11-23T03:00:00Z");
    assert_eq!(fired(&mut scheduler, "2026-11-23T03:00:00Z"), Some(Trigger::Cron));
}

#[test]
fn a_start_under_a_clock_that_was_ahead_loses_no_tick() {
    let mut scheduler = nightly("2026-11-23T10:00:00Z");
    assert_eq!(next(&scheduler), "2026-11-24T03:00:00Z");
    // It is really yesterday evening.
    assert_eq!(fired(&mut scheduler, "2026-11-22T20:00:00Z"), None);
    assert_eq!(next(&scheduler), "2026-11-23T03:00:00Z");
}

#[test]
fn a_clock_that_was_a_year_ahead_does_not_silence_for_a_year() {
    let mut scheduler = nightly("2027-11-23T02:00:00Z");
    assert_eq!(fired(&mut scheduler, "2027-11-23T03:00:00Z"), Some(Trigger::Cron));
    let (skipped, was_ahead) = scheduler.fire(at("2026-11-23T02:00:00Z"));
    assert!(was_ahead && skipped.is_empty());
    assert_eq!(next(&scheduler), "2026-11-23T03:00:00Z");
}

#[test]
fn what_fires_while_it_runs_is_skipped_and_what_fires_beside_waits() {
    let mut scheduler = Scheduler::default();
    let minute = timing("* * * * *", Zone::UTC);
    let five = timing("*/5 * * * *", Zone::UTC);
    scheduler.adopt([(name("a"), minute), (name("b"), five)], at("2026-11-23T02:58:30Z"));
    assert!(scheduler.fire(at("2026-11-23T02:59:00Z")).0.is_empty());
    assert_eq!(taken(&mut scheduler), [(vec![name("a")], Trigger::Cron)]);
    // 03:00: `a` still runs, so its tick is skipped; `b` waits for the end of the run.
    let (skipped, _) = scheduler.fire(at("2026-11-23T03:00:00Z"));
    assert_eq!(skipped, [SkippedTick::Busy(name("a"))]);
    assert_eq!(taken(&mut scheduler), [], "one run at a time for a project");
    assert!(scheduler.is_waiting(&name("b")));
    // 03:05: `b` still waits; both are busy, and one run will serve.
    let (skipped, _) = scheduler.fire(at("2026-11-23T03:05:00Z"));
    assert_eq!(skipped, [SkippedTick::Busy(name("a")), SkippedTick::Busy(name("b"))]);
    all_done(&mut scheduler);
    assert_eq!(taken(&mut scheduler), [(vec![name("b")], Trigger::Cron)]);
}

#[test]
fn policies_due_together_run_together() {
    let mut scheduler = Scheduler::default();
    let policies = ["a", "b", "c"].map(|policy| (name(policy), timing("0 3 * * *", Zone::UTC)));
    scheduler.adopt(policies, at("2026-11-23T02:00:00Z"));
    let _ = scheduler.fire(at("2026-11-23T03:00:00Z"));
    assert_eq!(
        taken(&mut scheduler),
        [(["a", "b", "c"].map(name).to_vec(), Trigger::Cron)]
    );
}

#[test]
fn jitter_is_stable_spread_and_within_its_bound() {
    let of = |host: &str, policy: &str| delay(host, &name(policy), 600).num_seconds();
    assert_eq!(of("host-1", "production"), of("host-1", "production"));
    let delays: Vec<i64> = (0..200).map(|host| of(&format!("host-{host}"), "production")).collect();
    assert!(delays.iter().all(|delay| (0..=600).contains(delay)));
    assert!(delays.iter().any(|delay| *delay < 60) && delays.iter().any(|delay| *delay > 540));
    assert_ne!(of("ab", "c"), of("a", "bc"));
    assert_eq!(delay("host", &name("p"), 0), TimeDelta::zero());
    assert!(delay("host", &name("p"), u64::MAX) < TimeDelta::days(400));
}

#[test]
fn a_delayed_tick_is_not_lost_by_a_restart_before_it_fires() {
    let late = Timing {
        delay: TimeDelta::minutes(10),
        ..timing("0 3 * * *", Zone::UTC)
    };
    let mut scheduler = scheduler(late, "2026-11-23T03:05:00Z");
    assert!(!scheduler.catch_up(
        &name("p"),
        &ended(at("2026-11-22T03:10:00Z")),
        at("2026-11-23T03:05:00Z")
    ));
    assert_eq!(next(&scheduler), "2026-11-23T03:10:00Z");
    assert_eq!(fired(&mut scheduler, "2026-11-23T03:10:00Z"), Some(Trigger::Cron));
    assert_eq!(next(&scheduler), "2026-11-24T03:10:00Z");
}

#[test]
fn a_jitter_longer_than_the_period_shifts_and_swallows_nothing() {
    let late = Timing {
        delay: TimeDelta::minutes(90),
        ..timing("0 * * * *", Zone::UTC)
    };
    let mut scheduler = scheduler(late, "2026-11-23T03:00:00Z");
    for hour in 3..6 {
        assert_eq!(next(&scheduler), format!("2026-11-23T{hour:02}:30:00Z"));
        assert_eq!(
            fired(&mut scheduler, &format!("2026-11-23T{hour:02}:30:00Z")),
            Some(Trigger::Cron)
        );
    }
}

#[test]
fn a_fixed_time_in_a_skipped_hour_fires_once_right_after() {
    // 29 March 2026, Berlin: 02:00 becomes 03:00 at 01:00 UTC.
    let mut scheduler = scheduler(timing("30 2 * * *", Zone::of("Europe/Berlin")), "2026-03-28T12:00:00Z");
    assert_eq!(fired(&mut scheduler, "2026-03-29T00:59:59Z"), None);
    assert_eq!(fired(&mut scheduler, "2026-03-29T01:00:00Z"), Some(Trigger::Cron));
    assert_eq!(next(&scheduler), "2026-03-30T00:30:00Z");
}

#[test]
fn a_fixed_time_in_a_repeated_hour_fires_once() {
    // 25 October 2026, Berlin: 03:00 becomes 02:00 at 01:00 UTC.
    let mut scheduler = scheduler(timing("30 2 * * *", Zone::of("Europe/Berlin")), "2026-10-24T12:00:00Z");
    assert_eq!(fired(&mut scheduler, "2026-10-25T00:30:00Z"), Some(Trigger::Cron));
    assert_eq!(fired(&mut scheduler, "2026-10-25T01:30:00Z"), None);
    assert_eq!(next(&scheduler), "2026-10-26T01:30:00Z");
}

/// tokio-cron-scheduler 0.15.1: the zone's offset was that of the moment when the job was made.
#[test]
fn an_hourly_schedule_fires_in_both_passes_of_a_repeated_hour() {
    let mut scheduler = scheduler(timing("0 * * * *", Zone::of("Europe/Berlin")), "2026-10-24T23:30:00Z");
    for hour in 0..4 {
        assert_eq!(next(&scheduler), format!("2026-10-25T{hour:02}:00:00Z"));
        assert_eq!(
            fired(&mut scheduler, &format!("2026-10-25T{hour:02}:00:00Z")),
            Some(Trigger::Cron)
        );
    }
}

#[test]
fn a_reload_keeps_the_tick_of_what_stays_and_plans_what_changed() {
    let now = "2026-11-23T03:00:00Z";
    let mut scheduler = Scheduler::default();
    let night = timing("0 3 * * *", Zone::UTC);
    scheduler.adopt(
        [
            (name("stays"), night.clone()),
            (name("moves"), night.clone()),
            (name("goes"), night.clone()),
        ],
        at("2026-11-23T02:00:00Z"),
    );
    let _ = scheduler.fire(at(now));
    assert_eq!(taken(&mut scheduler)[0].0.len(), 3);
    scheduler.adopt(
        [
            (name("stays"), night.clone()),
            (name("moves"), timing("30 3 * * *", Zone::UTC)),
            (name("comes"), night),
        ],
        at(now),
    );
    let next: BTreeMap<_, _> = scheduler
        .next_fires()
        .map(|(policy, fire)| (policy.clone(), fire))
        .collect();
    assert_eq!(
        next,
        BTreeMap::from([
            (name("comes"), Some(at("2026-11-24T03:00:00Z"))),
            (name("moves"), Some(at("2026-11-23T03:30:00Z"))),
            (name("stays"), Some(at("2026-11-24T03:00:00Z"))),
        ])
    );
    // The run goes on under the old configuration, so nothing begins beside it.
    let (skipped, _) = scheduler.fire(at("2026-11-23T03:30:00Z"));
    assert_eq!(skipped, [SkippedTick::Busy(name("moves"))]);
    assert_eq!(taken(&mut scheduler), []);
}

#[test]
fn a_policy_that_was_removed_while_it_waited_does_not_run() {
    let mut scheduler = nightly("2026-11-23T02:00:00Z");
    let _ = scheduler.fire(at("2026-11-23T03:00:00Z"));
    scheduler.adopt([], at("2026-11-23T03:00:00Z"));
    assert_eq!(taken(&mut scheduler), []);
    assert_eq!(scheduler.next_fire(), None);
}

#[test]
fn without_a_schedule_nothing_fires() {
    let manual = Timing {
        schedule: None,
        ..timing("0 3 * * *", Zone::UTC)
    };
    let mut scheduler = scheduler(manual, "2026-11-23T02:00:00Z");
    assert_eq!(fired(&mut scheduler, "2026-11-24T09:00:00Z"), None);
    assert!(!scheduler.catch_up(
        &name("p"),
        &ended(at("2026-01-01T00:00:00Z")),
        at("2026-11-23T02:00:00Z")
    ));
    scheduler.start_all();
    assert_eq!(fired(&mut scheduler, "2026-11-24T09:00:01Z"), Some(Trigger::Start));
}
