//! Pages of many instances and backups: each is small, and old addresses lead somewhere.

use super::*;

#[test]
fn two_hundred_instances_fit_a_page_and_the_rest_follows() {
    let status = status(200, 40);
    let page = first(&status);
    assert!(page.len() < 200_000, "{}", page.len());
    assert!(page.contains("200 instances with 8,000 backups"));
    let mut shown = page.matches("<article>").count();
    let mut next = shown;
    while next < 200 {
        let page = view(&status, "/", Some(&format!("from={next}")));
        assert!(page.len() < 200_000, "{}", page.len());
        let on_page = page.matches("<article>").count();
        assert!(
            on_page > 0 && page.contains(&format!("Instances {} to", next + 1)),
            "{next}"
        );
        (shown, next) = (shown + on_page, next + on_page);
    }
    assert_eq!(shown, 200);
    // A number beyond the end may be an old bookmark.
    assert!(view(&status, "/", Some(&format!("from={}", usize::MAX))).contains("First page"));
}

#[test]
fn an_instance_has_a_page_with_all_its_backups() {
    let status = status(3, 3000);
    let id = "cd613e30d8f16adf91b7584a00000001in04";
    assert!(first(&status).contains(&format!("href=\"/?instance={id}\"")));
    let (mut shown, mut pages) = (0, 0);
    while shown < 3000 {
        let page = view(&status, "/", Some(&format!("instance={id}&from={shown}")));
        assert!(page.len() < 200_000, "{}", page.len());
        let rows = page.matches("<tr><th scope=\"row\"><a href=\"/why/").count();
        assert!(rows > 0 && page.contains(&format!("{id}-{shown:04}br04")), "{shown}");
        (shown, pages) = (shown + rows, pages + 1);
    }
    assert_eq!(shown, 3000);
    assert!(pages > 1);
    let unknown = view(&status, "/", Some("instance=%3Cscript%3Enot-there"));
    assert!(
        unknown.contains("Not known") && !unknown.contains("<script"),
        "{unknown}"
    );
}

#[test]
fn a_page_stays_small_whatever_there_is() {
    let mut status = status(200, 40);
    let long = "x".repeat(100_000);
    for nth in 0..3000 {
        status.problems.push(StatusProblem {
            about: "instance",
            policy: None,
            message: long.clone(),
        });
        status.config.problems.push(long.clone());
        status.holds.push(Hold {
            id: Some(nth.to_string()),
            target: HoldTarget::Backup("id".into()),
            reason: long.clone(),
            owner: Some(long.clone()),
            until: None,
        });
        let policy = PolicyStatus {
            policy: format!("policy-{nth}").into(),
            ..status.policies[0].clone()
        };
        status.policies.push(policy);
    }
    status.config.last_reload_ok = false;
    let page = first(&status);
    assert!(page.len() < 200_000, "{}", page.len());
    assert!(page.contains("more") && page.contains("<article>"));
}

#[test]
fn old_addresses_lead_somewhere() {
    let overview = |from, instance: Option<&str>, is_still| {
        Some(View::Overview(Overview {
            from,
            instance: instance.map(str::to_owned),
            is_still,
        }))
    };
    assert_eq!(View::of("/", None), overview(0, None, false));
    assert_eq!(View::of("/", Some("from=x&instance=%20")), overview(0, None, false));
    assert_eq!(View::of("/", Some("from=40&refresh=off")), overview(40, None, true));
    assert_eq!(
        View::of("/", Some("a=b&instance=x%26y&from=7")),
        overview(7, Some("x&y"), false)
    );
    for name in ["production", "a/b&c=d+e f%", "=", "k=v"] {
        let encoded = html::encoded(name).replace('+', "%20");
        assert_eq!(
            View::of(&format!("/why/{encoded}"), None),
            Some(View::Why(name.into())),
            "{name}"
        );
        assert_eq!(
            View::of(&format!("/policy/{encoded}"), None),
            Some(View::Policy(name.into())),
            "{name}"
        );
    }
    assert_eq!(
        View::of("/history", Some("policy=p")),
        Some(View::History(Some("p".into())))
    );
    for none in ["/why/", "/policy/", "/nowhere", "/history/", "/why"] {
        assert_eq!(View::of(none, None), None, "{none}");
    }
    assert_eq!(View::of(&format!("/why/{}", "x".repeat(201)), None), None);
}

#[test]
fn instances_are_found_by_a_part_of_their_name() {
    let status = status(12, 2);
    let found = view(&status, "/", Some("instance=-11"));
    assert_eq!(found.matches("<article>").count(), 1, "{found}");
    assert!(found.contains("value=\"-11\"") && found.contains("12 instances with 24 backups"));
    assert_eq!(
        view(&status, "/", Some("instance=mssql")).matches("<article>").count(),
        12
    );
    let none = view(&status, "/", Some("instance=%22%3E%3Cscript%3E"));
    assert!(!none.contains("<script") && none.contains("Not known"), "{none}");
}

#[test]
fn the_page_of_a_backup_shows_its_decisions_and_hostile_ids_as_text() {
    let status = status(2, 9);
    let page = view(&status, "/why/cd613e30d8f16adf91b7584a00000001in04-0003br04", None);
    assert!(page.contains("<h3>Policy production: delete</h3>"), "{page}");
    assert!(
        page.contains(" why cd613e30d8f16adf91b7584a00000001in04-0003br04</pre>"),
        "{page}"
    );
    let unknown = view(&status, "/why/%3Cscript%3E%E2%80%AE", None);
    assert!(unknown.contains("Not known") && !unknown.contains("<script") && !unknown.contains('\u{202e}'));
}
