//! What the page says to look at: refusals with their remedies, and the headline above them.

use super::*;

/// The guard refused this in the last run of the policy.
fn refuse(status: &mut Status, refusals: Vec<Refusal>, digest: &str) {
    let mut report = RunReport::clone(&status.reports["production"]);
    report.policies[0].refusals = refusals;
    report.policies[0].digest = Some(digest.to_owned());
    status.policies[0].last_run = Some(LastRun::of(&report, &report.policies[0]));
    status.reports.insert("production".into(), Arc::new(report));
}

#[test]
fn a_refusal_comes_with_the_command_that_lifts_it() {
    let mut status = status(1, 9);
    assert!(first(&status).contains("All is well"));
    refuse(
        &mut status,
        vec![Refusal::MaxDeletions { planned: 9, limit: 8 }],
        "c0ffee",
    );
    status.config.path = "/tmp/my config.yaml".into();
    let page = first(&status);
    assert!(page.contains("<h2 id=\"state\">1 thing needs a look</h2>"), "{page}");
    assert!(page.contains("<pre>rds-retentiond --config '/tmp/my config.yaml' approve production --plan c0ffee</pre>"));
    // After a restart there is no report; the command is said all the same.
    status.reports.clear();
    let page = first(&status);
    assert!(
        page.contains("1 thing needs a look") && page.contains("approve production --plan c0ffee</pre>"),
        "{page}"
    );
}

#[test]
fn a_hundred_instances_over_max_percent_are_one_thing_with_one_command() {
    let mut status = status(1, 9);
    let over = |nth: usize| Refusal::MaxPercent {
        instance: format!("{nth}in04").into(),
        planned: 9,
        of: 10,
        percent: 50,
    };
    refuse(&mut status, (0..100).map(over).collect(), "c0ffee");
    let skip = |id: &str, reason: &str| SkipRecord {
        project: "prod".into(),
        instance_id: Some(id.into()),
        instance_name: None,
        reason: reason.to_owned(),
        message: "total_count does not agree".to_owned(),
    };
    // The same is listed as an instance left alone.
    status.skipped = vec![skip("3in04", "max_percent"), skip("7in04", "listing")];
    let page = first(&status);
    assert!(
        page.contains("2 things need a look") && page.contains("100 instances are left alone: 0in04 (9 of 10)"),
        "{page}"
    );
    assert_eq!(page.matches("approve production --plan c0ffee</pre>").count(), 1);
    assert!(
        page.contains("<h3>Left alone</h3><p>instance 7in04 (prod): listing"),
        "{page}"
    );
}

#[test]
fn a_refused_plan_that_waits_is_said_although_the_last_run_failed() {
    let mut status = status(1, 9);
    status.problems.push(StatusProblem {
        about: "guard",
        policy: Some("production".into()),
        message: "its plan was refused and waits".to_owned(),
    });
    let page = first(&status);
    assert!(page.contains("<h3>Refused, policy production</h3>"), "{page}");
}

#[test]
fn the_headline_tells_the_four_moods_apart() {
    let mut status = status(1, 9);
    let head = |status: &Status| {
        let page = first(status);
        let (_, rest) = page.split_once("<h2 id=\"state\">").unwrap();
        rest.split_once("</h2>").unwrap().0.to_owned()
    };
    assert_eq!(head(&status), "All is well");
    status.freeze = Some(Freeze {
        reason: "audit".to_owned(),
        until: None,
    });
    status.freezes = vec![FreezeStatus {
        id: Some("f1".to_owned()),
        place: None,
        freeze: status.freeze.clone().unwrap(),
    }];
    assert_eq!(head(&status), "Frozen");
    // What the freeze refuses is not another thing to look at.
    status.policies[0].last_run.as_mut().unwrap().refusal = Some(RefusalStatus {
        limit: "freeze".to_owned(),
        message: "frozen".to_owned(),
        waits: false,
        digest: None,
    });
    status.problems.push(StatusProblem {
        about: "guard",
        policy: Some("production".into()),
        message: "freeze: frozen".to_owned(),
    });
    assert_eq!(head(&status), "Frozen");
    assert!(first(&status).contains("rds-retentiond thaw f1</code>"));
    status.problems.clear();
    status.config.last_reload_ok = false;
    assert_eq!(head(&status), "1 thing needs a look");
    status.ready = false;
    assert_eq!(head(&status), "It cannot do its work");
    (status.ready, status.config.last_reload_ok, status.freeze) = (true, true, None);
    status.policies[0].last_run = None;
    status.reports.clear();
    assert_eq!(head(&status), "No run yet");
    assert!(!first(&status).contains("All is well"));
}

/// The terminal shows the same remedies: see `each_refusal_is_shown_with_the_remedy_that_the_page_shows`.
#[test]
fn each_refusal_is_shown_with_the_remedy_that_the_terminal_shows() {
    for refusal in one_of_each() {
        let mut status = status(1, 9);
        let wanted = remedy(&refusal, "production", Some("c0ffee"), "rds-retentiond");
        if let Refusal::Freeze { sources, .. } = &refusal {
            let freeze = Freeze {
                reason: "audit".to_owned(),
                until: None,
            };
            let of = |id: Option<&String>, place: Option<&String>| FreezeStatus {
                id: id.cloned(),
                place: place.cloned(),
                freeze: freeze.clone(),
            };
            status.freezes = sources.configured.iter().map(|place| of(None, Some(place))).collect();
            status
                .freezes
                .extend(sources.placed.iter().map(|id| of(Some(id), None)));
            status.freeze = Some(freeze);
            // Each freeze has a line of its own.
            for part in wanted.to_string().split(", and ") {
                assert!(first(&status).contains(&text(part)), "{part}");
            }
            assert_eq!(first(&status).contains("thaw"), !sources.placed.is_empty());
            continue;
        }
        refuse(&mut status, vec![refusal], "c0ffee");
        let page = first(&status);
        assert!(page.contains(&text(&wanted.to_string())), "{wanted}: {page}");
    }
}
