//! Ticks that were missed, slept through or interrupted: made up for once, and only where that is wanted.

use super::tests::{at, ended, fired, name, next, nightly, scheduler, taken, timing};
use super::*;
use crate::retention::Zone;

#[test]
fn a_backlog_becomes_one_run_the_newest() {
    let mut scheduler = scheduler(timing("* * * * *", Zone::UTC), "2026-11-23T02:00:00Z");
    // The host slept for nine hours.
    let (skipped, was_ahead) = scheduler.fire(at("2026-11-23T11:00:30Z"));
    assert!(skipped.is_empty() && !was_ahead);
    assert_eq!(
        taken(&mut scheduler),
        [(vec![name("p")], Trigger::Cron)],
        "11:00:00 is not late"
    );
    assert_eq!(next(&scheduler), "2026-11-23T11:01:00Z");
}

#[test]
fn a_tick_slept_through_is_made_up_for_only_where_that_is_wanted() {
    let mut scheduler = nightly("2026-11-23T02:00:00Z");
    assert_eq!(fired(&mut scheduler, "2026-11-23T09:00:00Z"), Some(Trigger::CatchUp));
    let mut strict = self::scheduler(
        Timing {
            catch_up: false,
            ..timing("0 3 * * *", Zone::UTC)
        },
        "2026-11-23T02:00:00Z",
    );
    let (skipped, _) = strict.fire(at("2026-11-23T09:00:00Z"));
    assert_eq!(skipped, [SkippedTick::Missed(name("p"), at("2026-11-23T03:00:00Z"))]);
    assert_eq!(taken(&mut strict), []);
    assert_eq!(next(&strict), "2026-11-24T03:00:00Z");
}

#[test]
fn a_year_of_missed_seconds_is_searched_quickly() {
    let every_second = timing("* * * * * *", Zone::of("Europe/Berlin"));
    let first = at("2025-11-23T00:00:00Z");
    let found = newest(&every_second, first, at("2026-11-23T00:00:00.900Z"));
    assert_eq!(found, at("2026-11-23T00:00:00Z"));
    let cluster = timing("* * 3 * * *", Zone::UTC);
    let found = newest(&cluster, at("2026-11-20T03:00:00Z"), at("2026-11-23T10:00:00Z"));
    assert_eq!(found, at("2026-11-23T03:59:59Z"));
}

#[test]
fn a_tick_missed_while_down_is_made_up_for_once() {
    let mut scheduler = nightly("2026-11-23T09:00:00Z");
    let now = at("2026-11-23T09:00:00Z");
    assert!(scheduler.catch_up(&name("p"), &ended(at("2026-11-22T03:00:00.120Z")), now));
    assert_eq!(fired(&mut scheduler, "2026-11-23T09:00:00Z"), Some(Trigger::CatchUp));
    assert_eq!(fired(&mut scheduler, "2026-11-23T09:00:01Z"), None);
    // The next start finds that run in the ledger.
    let mut again = nightly("2026-11-23T10:00:00Z");
    assert!(!again.catch_up(&name("p"), &ended(now), at("2026-11-23T10:00:00Z")));
    assert_eq!(fired(&mut again, "2026-11-23T10:00:00Z"), None);
}

#[test]
fn nothing_was_missed_when_the_last_run_is_of_the_last_tick() {
    for last in [
        "2026-11-23T03:00:00Z",
        "2026-11-23T03:00:00.999Z",
        "2026-11-23T08:59:00Z",
    ] {
        let mut scheduler = nightly("2026-11-23T09:00:00Z");
        assert!(
            !scheduler.catch_up(&name("p"), &ended(at(last)), at("2026-11-23T09:00:00Z")),
            "{last}"
        );
    }
}

#[test]
fn a_run_that_was_interrupted_is_made_up_for_once_and_only_where_that_is_wanted() {
    let (started, now) = (at("2026-11-23T03:00:00.120Z"), at("2026-11-23T03:10:00Z"));
    let last = |is_interrupted| LastBegun {
        at: started,
        is_interrupted,
        is_killed: is_interrupted,
        is_open: false,
    };
    for (catch_up, is_interrupted, wanted) in [(true, true, true), (true, false, false), (false, true, false)] {
        let timing = Timing {
            catch_up,
            ..timing("0 3 * * *", Zone::UTC)
        };
        let mut scheduler = scheduler(timing, "2026-11-23T03:10:00Z");
        assert_eq!(scheduler.catch_up(&name("p"), &last(is_interrupted), now), wanted);
        let trigger = wanted.then_some(Trigger::CatchUp);
        assert_eq!(fired(&mut scheduler, "2026-11-23T03:10:00Z"), trigger);
        assert_eq!(next(&scheduler), "2026-11-24T03:00:00Z");
    }
}

/// Of a daemon that lives or not: the run that is queued asks for that run's own tick, and finds out once it may delete.
#[test]
fn a_run_that_is_not_finished_is_made_up_for_by_its_own_tick() {
    let mut scheduler = nightly("2026-11-23T03:10:00Z");
    let last = LastBegun {
        is_open: true,
        ..ended(at("2026-11-23T03:00:00.120Z"))
    };
    let now = at("2026-11-23T03:10:00Z");
    assert!(scheduler.catch_up(&name("p"), &last, now));
    let runs = scheduler.start_due();
    assert_eq!(runs[0].ticks, [(name("p"), last.at)]);
    assert_eq!(next(&scheduler), "2026-11-24T03:00:00Z");
}

#[test]
fn a_run_dated_ahead_of_now_silences_nothing() {
    let mut scheduler = nightly("2026-11-23T02:00:00Z");
    assert!(!scheduler.catch_up(
        &name("p"),
        &ended(at("2027-06-01T00:00:00Z")),
        at("2026-11-23T02:00:00Z")
    ));
    assert_eq!(fired(&mut scheduler, "2026-11-23T03:00:00Z"), Some(Trigger::Cron));
}
