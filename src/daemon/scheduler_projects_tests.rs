//! Policies of several projects: which run side by side, and who waits for whom.

use super::tests::{at, name, timing};
use super::*;
use crate::config::Schedule;
use crate::retention::{ProjectName, Zone};

/// Policies named after the projects that they projects; `*` is all.
fn reaching(policies: &[(&str, &str)], now: &str) -> Scheduler {
    let mut scheduler = Scheduler::default();
    let timing = |projects: &str| Timing {
        projects: match projects {
            "*" => ProjectSet::Everywhere,
            only => ProjectSet::Only(only.split('+').map(ProjectName::from).collect()),
        },
        ..timing("* * * * *", Zone::UTC)
    };
    let policies = policies
        .iter()
        .map(|(policy, projects)| (name(policy), timing(projects)));
    scheduler.adopt(policies, at(now));
    scheduler
}

fn names(runs: &[ScheduledRun]) -> Vec<String> {
    let of = |run: &ScheduledRun| {
        run.policies
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("+")
    };
    runs.iter().map(of).collect()
}

#[test]
fn policies_without_a_common_project_run_side_by_side() {
    let mut scheduler = reaching(
        &[("a", "p"), ("b", "q"), ("c", "p"), ("d", "r+s"), ("e", "q+r")],
        "2026-11-23T02:58:30Z",
    );
    let _ = scheduler.fire(at("2026-11-23T02:59:00Z"));
    let started = scheduler.start_due();
    assert_eq!(names(&started), ["a+c", "b+d+e"], "`e` joins `b` and `d`");
    // The one hangs; the other goes on, each minute.
    scheduler.finished(started[0].key);
    let (skipped, _) = scheduler.fire(at("2026-11-23T03:00:00Z"));
    assert_eq!(skipped, ["b", "d", "e"].map(|busy| SkippedTick::Busy(name(busy))));
    assert_eq!(names(&scheduler.start_due()), ["a+c"]);
}

#[test]
fn who_has_waited_longer_is_not_overtaken() {
    let mut scheduler = reaching(&[("all", "*"), ("p", "p"), ("q", "q")], "2026-11-23T02:58:30Z");
    scheduler.slots.get_mut(&name("all")).unwrap().timing.schedule = Some(Schedule::parse("0 3 * * *").unwrap());
    scheduler
        .slots
        .get_mut(&name("all"))
        .unwrap()
        .plan(at("2026-11-23T02:58:30Z"));
    let _ = scheduler.fire(at("2026-11-23T02:59:00Z"));
    let started = scheduler.start_due();
    assert_eq!(names(&started), ["p", "q"]);
    let _ = scheduler.fire(at("2026-11-23T03:00:00Z"));
    scheduler.finished(started[0].key);
    let _ = scheduler.fire(at("2026-11-23T03:01:00Z"));
    // `all` waits for `q`; were `p` started again meanwhile, `all` might wait for ever.
    assert_eq!(names(&scheduler.start_due()), [""; 0]);
    scheduler.finished(started[1].key);
    assert_eq!(names(&scheduler.start_due()), ["all+p"]);
}

#[test]
fn an_edit_that_sends_a_policy_elsewhere_does_not_run_it_twice_at_once() {
    let mut scheduler = reaching(&[("a", "p")], "2026-11-23T02:58:30Z");
    let _ = scheduler.fire(at("2026-11-23T02:59:00Z"));
    let started = scheduler.start_due();
    let moved = Timing {
        projects: ProjectSet::Only([ProjectName::from("q")].into()),
        ..timing("* * * * *", Zone::UTC)
    };
    scheduler.adopt([], at("2026-11-23T02:59:10Z"));
    scheduler.adopt([(name("a"), moved)], at("2026-11-23T02:59:20Z"));
    let (skipped, _) = scheduler.fire(at("2026-11-23T03:00:00Z"));
    assert_eq!(skipped, [SkippedTick::Busy(name("a"))]);
    scheduler.finished(started[0].key);
    let _ = scheduler.fire(at("2026-11-23T03:01:00Z"));
    assert_eq!(names(&scheduler.start_due()), ["a"]);
}

#[test]
fn after_a_pass_that_failed_as_a_whole_each_policy_has_passes_of_its_own() {
    let mut scheduler = reaching(&[("a", "*"), ("b", "*"), ("c", "*")], "2026-11-23T02:58:30Z");
    let _ = scheduler.fire(at("2026-11-23T02:59:00Z"));
    let run = scheduler.start_due().remove(0);
    assert_eq!(run.policies.len(), 3);
    scheduler.finished(run.key);
    assert!(scheduler.isolate(&run));
    // At once, one after the other, and again at each tick.
    for minute in ["2026-11-23T02:59:01Z", "2026-11-23T03:00:00Z"] {
        let _ = scheduler.fire(at(minute));
        for only in ["a", "b", "c"] {
            let started = scheduler.start_due();
            assert_eq!(names(&started), [only]);
            assert!(!scheduler.isolate(&started[0]), "it is on its own already");
            scheduler.finished(started[0].key);
        }
        assert_eq!(names(&scheduler.start_due()), [""; 0]);
    }
    // A new configuration is a new chance.
    let again = ["a", "b", "c"].map(|policy| (name(policy), timing("* * * * *", Zone::UTC)));
    scheduler.adopt(again, at("2026-11-23T03:00:30Z"));
    let _ = scheduler.fire(at("2026-11-23T03:01:00Z"));
    assert_eq!(names(&scheduler.start_due()), ["a+b+c"]);
}
