use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn timing(schedule: &str, zone: Zone) -> Timing {
    Timing {
        reach: Reach::Everywhere,
        schedule: Some(Schedule::parse(schedule).unwrap()),
        zone,
        delay: TimeDelta::zero(),
        catch_up: true,
    }
}

fn name(text: &str) -> PolicyName {
    PolicyName::from(text)
}

/// A last run that began then, and came to its end.
fn ended(at: DateTime<Utc>) -> LastBegun {
    LastBegun {
        at,
        is_interrupted: false,
    }
}

/// One policy `p` taken on at `now`.
fn agenda(timing: Timing, now: &str) -> Agenda {
    let mut agenda = Agenda::default();
    agenda.adopt([(name("p"), timing)], at(now));
    let _ = agenda.ring(at(now));
    agenda
}

fn nightly(now: &str) -> Agenda {
    agenda(timing("0 3 * * *", Zone::UTC), now)
}

fn rings(agenda: &mut Agenda, now: &str) -> Option<Trigger> {
    let (_, _) = agenda.ring(at(now));
    let passes = agenda.take();
    for pass in &passes {
        agenda.done(pass.key);
    }
    passes.first().map(|pass| pass.trigger)
}

/// Begins what can begin: whose, and why.
fn taken(agenda: &mut Agenda) -> Vec<(Vec<PolicyName>, Trigger)> {
    let passes = agenda.take().into_iter();
    passes.map(|pass| (pass.policies, pass.trigger)).collect()
}

/// Ends every pass under way.
fn all_done(agenda: &mut Agenda) {
    for pass in agenda.under_way.clone() {
        agenda.done(pass.key);
    }
}

fn next(agenda: &Agenda) -> String {
    agenda
        .next_ring()
        .map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
        .unwrap_or_default()
}

#[test]
fn a_tick_rings_once_and_the_next_is_tomorrows() {
    let mut agenda = nightly("2026-11-23T02:00:00Z");
    assert_eq!(next(&agenda), "2026-11-23T03:00:00Z");
    assert_eq!(rings(&mut agenda, "2026-11-23T02:59:59Z"), None);
    assert_eq!(rings(&mut agenda, "2026-11-23T03:00:00Z"), Some(Trigger::Cron));
    assert_eq!(rings(&mut agenda, "2026-11-23T03:00:00Z"), None);
    assert_eq!(next(&agenda), "2026-11-24T03:00:00Z");
}

#[test]
fn a_clock_set_back_a_little_rings_nothing_twice() {
    let mut agenda = nightly("2026-11-23T02:00:00Z");
    assert_eq!(rings(&mut agenda, "2026-11-23T03:00:01Z"), Some(Trigger::Cron));
    assert_eq!(rings(&mut agenda, "2026-11-23T02:56:00Z"), None);
    assert_eq!(rings(&mut agenda, "2026-11-23T03:00:01Z"), None);
    assert_eq!(next(&agenda), "2026-11-24T03:00:00Z");
}

#[test]
fn a_tick_that_rang_by_a_clock_that_was_ahead_rings_again() {
    let hourly = || agenda(timing("0 * * * *", Zone::UTC), "2026-11-22T20:00:30Z");
    for (mut agenda, first, again) in [
        (
            nightly("2026-11-22T20:00:30Z"),
            "2026-11-23T03:00:00Z",
            "2026-11-24T03:00:00Z",
        ),
        (hourly(), "2026-11-22T21:00:00Z", "2026-11-22T22:00:00Z"),
    ] {
        assert_eq!(next(&agenda), first);
        // Ten hours ahead for a minute.
        assert!(rings(&mut agenda, "2026-11-23T06:01:00Z").is_some());
        assert_eq!(rings(&mut agenda, "2026-11-22T20:02:00Z"), None);
        assert_eq!(next(&agenda), first);
        assert_eq!(rings(&mut agenda, first), Some(Trigger::Cron));
        assert_eq!(next(&agenda), again);
    }
}

/// An NTP client that corrects ten hours in small steps.
#[test]
fn a_clock_set_back_in_many_small_steps_rings_again_as_well() {
    let mut agenda = nightly("2026-11-22T20:00:00Z");
    assert_eq!(rings(&mut agenda, "2026-11-23T03:00:00Z"), Some(Trigger::Cron));
    let mut now = at("2026-11-23T03:00:00Z");
    while now > at("2026-11-22T20:10:00Z") {
        now -= TimeDelta::minutes(4);
        let _ = agenda.ring(now);
    }
    assert_eq!(next(&agenda), "2026-11-23T03:00:00Z");
    assert_eq!(rings(&mut agenda, "2026-11-23T03:00:00Z"), Some(Trigger::Cron));
}

#[test]
fn a_start_under_a_clock_that_was_ahead_loses_no_tick() {
    let mut agenda = nightly("2026-11-23T10:00:00Z");
    assert_eq!(next(&agenda), "2026-11-24T03:00:00Z");
    // It is really yesterday evening.
    assert_eq!(rings(&mut agenda, "2026-11-22T20:00:00Z"), None);
    assert_eq!(next(&agenda), "2026-11-23T03:00:00Z");
}

#[test]
fn a_clock_that_was_a_year_ahead_does_not_silence_for_a_year() {
    let mut agenda = nightly("2027-11-23T02:00:00Z");
    assert_eq!(rings(&mut agenda, "2027-11-23T03:00:00Z"), Some(Trigger::Cron));
    let (passed, far_back) = agenda.ring(at("2026-11-23T02:00:00Z"));
    assert!(far_back && passed.is_empty());
    assert_eq!(next(&agenda), "2026-11-23T03:00:00Z");
}

#[test]
fn a_backlog_becomes_one_run_the_newest() {
    let mut agenda = agenda(timing("* * * * *", Zone::UTC), "2026-11-23T02:00:00Z");
    // The host slept for nine hours.
    let (passed, far_back) = agenda.ring(at("2026-11-23T11:00:30Z"));
    assert!(passed.is_empty() && !far_back);
    assert_eq!(
        taken(&mut agenda),
        [(vec![name("p")], Trigger::Cron)],
        "11:00:00 is not late"
    );
    assert_eq!(next(&agenda), "2026-11-23T11:01:00Z");
}

#[test]
fn a_tick_slept_through_is_made_up_for_only_where_that_is_wanted() {
    let mut agenda = nightly("2026-11-23T02:00:00Z");
    assert_eq!(rings(&mut agenda, "2026-11-23T09:00:00Z"), Some(Trigger::CatchUp));
    let mut strict = self::agenda(
        Timing {
            catch_up: false,
            ..timing("0 3 * * *", Zone::UTC)
        },
        "2026-11-23T02:00:00Z",
    );
    let (passed, _) = strict.ring(at("2026-11-23T09:00:00Z"));
    assert_eq!(passed, [Passed::Missed(name("p"), at("2026-11-23T03:00:00Z"))]);
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
fn what_rings_while_it_runs_is_skipped_and_what_rings_beside_waits() {
    let mut agenda = Agenda::default();
    let minute = timing("* * * * *", Zone::UTC);
    let five = timing("*/5 * * * *", Zone::UTC);
    agenda.adopt([(name("a"), minute), (name("b"), five)], at("2026-11-23T02:58:30Z"));
    assert!(agenda.ring(at("2026-11-23T02:59:00Z")).0.is_empty());
    assert_eq!(taken(&mut agenda), [(vec![name("a")], Trigger::Cron)]);
    // 03:00: `a` still runs, so its tick is skipped; `b` waits for the end of the pass.
    let (passed, _) = agenda.ring(at("2026-11-23T03:00:00Z"));
    assert_eq!(passed, [Passed::Busy(name("a"))]);
    assert_eq!(taken(&mut agenda), [], "one pass at a time for a project");
    assert!(agenda.is_waiting(&name("b")));
    // 03:05: `b` still waits; both are busy, and one run will serve.
    let (passed, _) = agenda.ring(at("2026-11-23T03:05:00Z"));
    assert_eq!(passed, [Passed::Busy(name("a")), Passed::Busy(name("b"))]);
    all_done(&mut agenda);
    assert_eq!(taken(&mut agenda), [(vec![name("b")], Trigger::Cron)]);
}

#[test]
fn policies_due_together_run_together() {
    let mut agenda = Agenda::default();
    let policies = ["a", "b", "c"].map(|policy| (name(policy), timing("0 3 * * *", Zone::UTC)));
    agenda.adopt(policies, at("2026-11-23T02:00:00Z"));
    let _ = agenda.ring(at("2026-11-23T03:00:00Z"));
    assert_eq!(
        taken(&mut agenda),
        [(["a", "b", "c"].map(name).to_vec(), Trigger::Cron)]
    );
}

#[test]
fn a_tick_missed_while_down_is_made_up_for_once() {
    let mut agenda = nightly("2026-11-23T09:00:00Z");
    let now = at("2026-11-23T09:00:00Z");
    assert!(agenda.catch_up(&name("p"), &ended(at("2026-11-22T03:00:00.120Z")), now));
    assert_eq!(rings(&mut agenda, "2026-11-23T09:00:00Z"), Some(Trigger::CatchUp));
    assert_eq!(rings(&mut agenda, "2026-11-23T09:00:01Z"), None);
    // The next start finds that run in the ledger.
    let mut again = nightly("2026-11-23T10:00:00Z");
    assert!(!again.catch_up(&name("p"), &ended(now), at("2026-11-23T10:00:00Z")));
    assert_eq!(rings(&mut again, "2026-11-23T10:00:00Z"), None);
}

#[test]
fn nothing_was_missed_when_the_last_run_is_of_the_last_tick() {
    for last in [
        "2026-11-23T03:00:00Z",
        "2026-11-23T03:00:00.999Z",
        "2026-11-23T08:59:00Z",
    ] {
        let mut agenda = nightly("2026-11-23T09:00:00Z");
        assert!(
            !agenda.catch_up(&name("p"), &ended(at(last)), at("2026-11-23T09:00:00Z")),
            "{last}"
        );
    }
}

#[test]
fn a_run_that_was_interrupted_is_made_up_for_once_and_only_where_that_is_wanted() {
    let (begun, now) = (at("2026-11-23T03:00:00.120Z"), at("2026-11-23T03:10:00Z"));
    let last = |is_interrupted| LastBegun {
        at: begun,
        is_interrupted,
    };
    for (catch_up, is_interrupted, wanted) in [(true, true, true), (true, false, false), (false, true, false)] {
        let timing = Timing {
            catch_up,
            ..timing("0 3 * * *", Zone::UTC)
        };
        let mut agenda = agenda(timing, "2026-11-23T03:10:00Z");
        assert_eq!(agenda.catch_up(&name("p"), &last(is_interrupted), now), wanted);
        let trigger = wanted.then_some(Trigger::CatchUp);
        assert_eq!(rings(&mut agenda, "2026-11-23T03:10:00Z"), trigger);
        assert_eq!(next(&agenda), "2026-11-24T03:00:00Z");
    }
}

#[test]
fn a_run_dated_ahead_of_now_silences_nothing() {
    let mut agenda = nightly("2026-11-23T02:00:00Z");
    assert!(!agenda.catch_up(
        &name("p"),
        &ended(at("2027-06-01T00:00:00Z")),
        at("2026-11-23T02:00:00Z")
    ));
    assert_eq!(rings(&mut agenda, "2026-11-23T03:00:00Z"), Some(Trigger::Cron));
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
fn a_delayed_tick_is_not_lost_by_a_restart_before_it_rings() {
    let late = Timing {
        delay: TimeDelta::minutes(10),
        ..timing("0 3 * * *", Zone::UTC)
    };
    let mut agenda = agenda(late, "2026-11-23T03:05:00Z");
    assert!(!agenda.catch_up(
        &name("p"),
        &ended(at("2026-11-22T03:10:00Z")),
        at("2026-11-23T03:05:00Z")
    ));
    assert_eq!(next(&agenda), "2026-11-23T03:10:00Z");
    assert_eq!(rings(&mut agenda, "2026-11-23T03:10:00Z"), Some(Trigger::Cron));
    assert_eq!(next(&agenda), "2026-11-24T03:10:00Z");
}

#[test]
fn a_jitter_longer_than_the_period_shifts_and_swallows_nothing() {
    let late = Timing {
        delay: TimeDelta::minutes(90),
        ..timing("0 * * * *", Zone::UTC)
    };
    let mut agenda = agenda(late, "2026-11-23T03:00:00Z");
    for hour in 3..6 {
        assert_eq!(next(&agenda), format!("2026-11-23T{hour:02}:30:00Z"));
        assert_eq!(
            rings(&mut agenda, &format!("2026-11-23T{hour:02}:30:00Z")),
            Some(Trigger::Cron)
        );
    }
}

#[test]
fn a_fixed_time_in_a_skipped_hour_rings_once_right_after() {
    // 29 March 2026, Berlin: 02:00 becomes 03:00 at 01:00 UTC.
    let mut agenda = agenda(timing("30 2 * * *", Zone::of("Europe/Berlin")), "2026-03-28T12:00:00Z");
    assert_eq!(rings(&mut agenda, "2026-03-29T00:59:59Z"), None);
    assert_eq!(rings(&mut agenda, "2026-03-29T01:00:00Z"), Some(Trigger::Cron));
    assert_eq!(next(&agenda), "2026-03-30T00:30:00Z");
}

#[test]
fn a_fixed_time_in_a_repeated_hour_rings_once() {
    // 25 October 2026, Berlin: 03:00 becomes 02:00 at 01:00 UTC.
    let mut agenda = agenda(timing("30 2 * * *", Zone::of("Europe/Berlin")), "2026-10-24T12:00:00Z");
    assert_eq!(rings(&mut agenda, "2026-10-25T00:30:00Z"), Some(Trigger::Cron));
    assert_eq!(rings(&mut agenda, "2026-10-25T01:30:00Z"), None);
    assert_eq!(next(&agenda), "2026-10-26T01:30:00Z");
}

/// tokio-cron-scheduler 0.15.1: the zone's offset was that of the moment when the job was made.
#[test]
fn an_hourly_schedule_rings_in_both_passes_of_a_repeated_hour() {
    let mut agenda = agenda(timing("0 * * * *", Zone::of("Europe/Berlin")), "2026-10-24T23:30:00Z");
    for hour in 0..4 {
        assert_eq!(next(&agenda), format!("2026-10-25T{hour:02}:00:00Z"));
        assert_eq!(
            rings(&mut agenda, &format!("2026-10-25T{hour:02}:00:00Z")),
            Some(Trigger::Cron)
        );
    }
}

#[test]
fn a_reload_keeps_the_tick_of_what_stays_and_plans_what_changed() {
    let now = "2026-11-23T03:00:00Z";
    let mut agenda = Agenda::default();
    let night = timing("0 3 * * *", Zone::UTC);
    agenda.adopt(
        [
            (name("stays"), night.clone()),
            (name("moves"), night.clone()),
            (name("goes"), night.clone()),
        ],
        at("2026-11-23T02:00:00Z"),
    );
    let _ = agenda.ring(at(now));
    assert_eq!(taken(&mut agenda)[0].0.len(), 3);
    agenda.adopt(
        [
            (name("stays"), night.clone()),
            (name("moves"), timing("30 3 * * *", Zone::UTC)),
            (name("comes"), night),
        ],
        at(now),
    );
    let next: BTreeMap<_, _> = agenda
        .next_rings()
        .map(|(policy, ring)| (policy.clone(), ring))
        .collect();
    assert_eq!(
        next,
        BTreeMap::from([
            (name("comes"), Some(at("2026-11-24T03:00:00Z"))),
            (name("moves"), Some(at("2026-11-23T03:30:00Z"))),
            (name("stays"), Some(at("2026-11-24T03:00:00Z"))),
        ])
    );
    // The pass goes on under the old configuration, so nothing begins beside it.
    let (passed, _) = agenda.ring(at("2026-11-23T03:30:00Z"));
    assert_eq!(passed, [Passed::Busy(name("moves"))]);
    assert_eq!(taken(&mut agenda), []);
}

#[test]
fn a_policy_that_was_removed_while_it_waited_does_not_run() {
    let mut agenda = nightly("2026-11-23T02:00:00Z");
    let _ = agenda.ring(at("2026-11-23T03:00:00Z"));
    agenda.adopt([], at("2026-11-23T03:00:00Z"));
    assert_eq!(taken(&mut agenda), []);
    assert_eq!(agenda.next_ring(), None);
}

#[test]
fn without_a_schedule_nothing_rings() {
    let manual = Timing {
        schedule: None,
        ..timing("0 3 * * *", Zone::UTC)
    };
    let mut agenda = agenda(manual, "2026-11-23T02:00:00Z");
    assert_eq!(rings(&mut agenda, "2026-11-24T09:00:00Z"), None);
    assert!(!agenda.catch_up(
        &name("p"),
        &ended(at("2026-01-01T00:00:00Z")),
        at("2026-11-23T02:00:00Z")
    ));
    agenda.start_all();
    assert_eq!(rings(&mut agenda, "2026-11-24T09:00:01Z"), Some(Trigger::Start));
}

/// Policies named after the projects that they reach; `*` is all.
fn reaching(policies: &[(&str, &str)], now: &str) -> Agenda {
    let mut agenda = Agenda::default();
    let timing = |reach: &str| Timing {
        reach: match reach {
            "*" => Reach::Everywhere,
            only => Reach::Only(only.split('+').map(ProjectName::from).collect()),
        },
        ..timing("* * * * *", Zone::UTC)
    };
    let policies = policies.iter().map(|(policy, reach)| (name(policy), timing(reach)));
    agenda.adopt(policies, at(now));
    agenda
}

fn names(passes: &[Pass]) -> Vec<String> {
    let of = |pass: &Pass| {
        pass.policies
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("+")
    };
    passes.iter().map(of).collect()
}

#[test]
fn policies_without_a_common_project_run_side_by_side() {
    let mut agenda = reaching(
        &[("a", "p"), ("b", "q"), ("c", "p"), ("d", "r+s"), ("e", "q+r")],
        "2026-11-23T02:58:30Z",
    );
    let _ = agenda.ring(at("2026-11-23T02:59:00Z"));
    let begun = agenda.take();
    assert_eq!(names(&begun), ["a+c", "b+d+e"], "`e` joins `b` and `d`");
    // The one hangs; the other goes on, each minute.
    agenda.done(begun[0].key);
    let (passed, _) = agenda.ring(at("2026-11-23T03:00:00Z"));
    assert_eq!(passed, ["b", "d", "e"].map(|busy| Passed::Busy(name(busy))));
    assert_eq!(names(&agenda.take()), ["a+c"]);
}

#[test]
fn who_has_waited_longer_is_not_overtaken() {
    let mut agenda = reaching(&[("all", "*"), ("p", "p"), ("q", "q")], "2026-11-23T02:58:30Z");
    agenda.places.get_mut(&name("all")).unwrap().timing.schedule = Some(Schedule::parse("0 3 * * *").unwrap());
    agenda
        .places
        .get_mut(&name("all"))
        .unwrap()
        .plan(at("2026-11-23T02:58:30Z"));
    let _ = agenda.ring(at("2026-11-23T02:59:00Z"));
    let begun = agenda.take();
    assert_eq!(names(&begun), ["p", "q"]);
    let _ = agenda.ring(at("2026-11-23T03:00:00Z"));
    agenda.done(begun[0].key);
    let _ = agenda.ring(at("2026-11-23T03:01:00Z"));
    // `all` waits for `q`; were `p` begun again meanwhile, `all` might wait for ever.
    assert_eq!(names(&agenda.take()), [""; 0]);
    agenda.done(begun[1].key);
    assert_eq!(names(&agenda.take()), ["all+p"]);
}

#[test]
fn an_edit_that_sends_a_policy_elsewhere_does_not_run_it_twice_at_once() {
    let mut agenda = reaching(&[("a", "p")], "2026-11-23T02:58:30Z");
    let _ = agenda.ring(at("2026-11-23T02:59:00Z"));
    let begun = agenda.take();
    let moved = Timing {
        reach: Reach::Only([ProjectName::from("q")].into()),
        ..timing("* * * * *", Zone::UTC)
    };
    agenda.adopt([], at("2026-11-23T02:59:10Z"));
    agenda.adopt([(name("a"), moved)], at("2026-11-23T02:59:20Z"));
    let (passed, _) = agenda.ring(at("2026-11-23T03:00:00Z"));
    assert_eq!(passed, [Passed::Busy(name("a"))]);
    agenda.done(begun[0].key);
    let _ = agenda.ring(at("2026-11-23T03:01:00Z"));
    assert_eq!(names(&agenda.take()), ["a"]);
}

#[test]
fn after_a_pass_that_failed_as_a_whole_each_policy_has_passes_of_its_own() {
    let mut agenda = reaching(&[("a", "*"), ("b", "*"), ("c", "*")], "2026-11-23T02:58:30Z");
    let _ = agenda.ring(at("2026-11-23T02:59:00Z"));
    let pass = agenda.take().remove(0);
    assert_eq!(pass.policies.len(), 3);
    agenda.done(pass.key);
    assert!(agenda.part(&pass));
    // At once, one after the other, and again at each tick.
    for minute in ["2026-11-23T02:59:01Z", "2026-11-23T03:00:00Z"] {
        let _ = agenda.ring(at(minute));
        for only in ["a", "b", "c"] {
            let begun = agenda.take();
            assert_eq!(names(&begun), [only]);
            assert!(!agenda.part(&begun[0]), "it is on its own already");
            agenda.done(begun[0].key);
        }
        assert_eq!(names(&agenda.take()), [""; 0]);
    }
    // A new configuration is a new chance.
    let again = ["a", "b", "c"].map(|policy| (name(policy), timing("* * * * *", Zone::UTC)));
    agenda.adopt(again, at("2026-11-23T03:00:30Z"));
    let _ = agenda.ring(at("2026-11-23T03:01:00Z"));
    assert_eq!(names(&agenda.take()), ["a+b+c"]);
}
