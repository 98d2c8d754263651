//! What `check` warns of: legal, but hardly meant. Through the built binary.

use super::people::Files;

/// The warnings of one policy, without the file's name and snippet.
fn lints(policy: &str) -> Vec<String> {
    let files = Files::new();
    let text = format!("version: 1\nprojects: [{{name: prod, region: cn-north-4}}]\npolicies:\n{policy}");
    files.write("lint.yaml", &text);
    let output = files.ask("check --config lint.yaml");
    assert_eq!(
        output.status.code(),
        Some(0),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8(output.stdout).unwrap();
    let strict = files.ask("check --strict --config lint.yaml").status.code();
    assert_eq!(strict, Some(if said.contains("warning: ") { 78 } else { 0 }));
    let place = |line: &str| line.split_once(": ").map(|(_, rest)| rest.to_owned());
    let warnings = said.lines().filter_map(|line| line.strip_prefix("warning: "));
    warnings.filter_map(place).collect()
}

fn one(rest: &str) -> Vec<String> {
    lints(&format!(
        "  - {{name: p, mode: enforce, schedule: \"0 3 * * *\", {rest}}}\n"
    ))
}

#[test]
fn rules_that_never_matter_are_named() {
    let of = |keep: &str| one(&format!("keep: {{{keep}}}"));
    assert_eq!(
        of("within: 7d, within_daily: 5d"),
        ["policies[0].keep.within_daily: `within_daily` keeps nothing that `within` does not keep"]
    );
    assert_eq!(
        of("daily: 7, yearly: 1"),
        ["policies[0].keep.yearly: `yearly: 1` keeps the newest backup alone, which `daily` keeps anyway"]
    );
    assert_eq!(
        of("hourly: all, monthly: 12"),
        ["policies[0].keep.monthly: `monthly` keeps nothing that `hourly` does not keep"]
    );
    assert_eq!(of("last: 1, daily: 1").len(), 1);
    for fine in [
        "daily: 7, within: 30d",
        "last: 3, daily: 7, weekly: 4, monthly: 12, yearly: 7",
        "weekly: all, monthly: 12",
        "within: 7d, within_daily: 8d",
        // After February a month is shorter than thirty days.
        "within: 1mo, within_daily: 30d",
        "within: 30d, within_daily: 1mo",
        "within: 1d, within_daily: 24h",
        "last: 1",
    ] {
        assert_eq!(of(fine), [""; 0], "{fine}");
    }
}

#[test]
fn policies_that_delete_nothing_or_less_than_they_say_are_named() {
    assert_eq!(
        one("keep: {daily: 7, names: [\"*\"]}"),
        ["policies[0].keep.names: `names: [\"*\"]` keeps every backup: the policy never deletes anything"]
    );
    assert_eq!(
        one("keep: {last: all}"),
        ["policies[0].keep.last: `last: all` keeps every COMPLETED backup: the policy never deletes one"]
    );
    assert_eq!(one("keep: {last: all}, max_age: 1y, min_backups: 3"), [""; 0]);
    assert_eq!(
        one("keep: {last: all}, select: {deleted_instances: {expire_after: 1y}}"),
        [""; 0],
        "of a deleted instance all go"
    );
    assert_eq!(one("keep: {within: 61d}, max_age: 2mo, min_backups: 3"), [""; 0]);
    assert_eq!(one("keep: {within: 70d}, max_age: 2mo, min_backups: 3").len(), 1);
    assert_eq!(
        one("keep: {daily: 7}, select: {backups: {exclude_names: [\"*\"]}}"),
        [
            "policies[0].select.backups.exclude_names: `exclude_names: [\"*\"]` leaves out every backup: the policy selects nothing"
        ]
    );
    assert_eq!(
        one("keep: {yearly: 7}, max_age: 1y, min_backups: 3"),
        ["policies[0].max_age: `yearly: 7` reaches further back than `max_age: 1y` lets it"]
    );
    assert_eq!(one("keep: {yearly: 7}, max_age: 7y, min_backups: 3"), [""; 0]);
}

#[test]
fn schedules_that_do_not_go_with_the_grace_are_named() {
    let of = |rest: &str| lints(&format!("  - {{name: p, mode: enforce, keep: {{last: 3}}, {rest}}}\n"));
    assert_eq!(
        of("schedule: \"*/5 * * * *\""),
        ["policies[0].schedule: it runs every 5min, though an expired backup waits for `grace: 24h`"]
    );
    assert_eq!(
        of("schedule: \"@hourly\", grace: 30d"),
        ["policies[0].schedule: it runs every 1h, though an expired backup waits for `grace: 30d`"]
    );
    assert_eq!(
        of("schedule: \"@monthly\", grace: 24h"),
        ["policies[0].grace: runs are up to 31d apart, so an expired backup waits for that long and not for 24h"]
    );
    assert_eq!(
        of("schedule: \"@hourly\", jitter: 1h"),
        ["policies[0].jitter: the jitter of 1h is as long as the 1h between two runs"]
    );
    for fine in [
        // Twice a day, and not every five minutes.
        "schedule: \"0,5 3 * * *\"",
        "schedule: \"@hourly\"",
        "schedule: \"@hourly\", grace: 7d",
        "schedule: \"@weekly\"",
        "schedule: \"*/5 * * * *\", grace: 0s",
    ] {
        assert_eq!(of(fine), [""; 0], "{fine}");
    }
}

#[test]
fn an_id_that_is_asked_for_in_capitals_is_named() {
    let of = |instances: &str| {
        lints(&format!(
            "  - {{name: p, mode: dry-run, schedule: \"@daily\", keep: {{last: 3}}, select: {{instances: {{{instances}}}}}}}\n"
        ))
    };
    assert_eq!(
        of("ids: [c1in04, C2IN04]"),
        [
            "policies[0].select.instances.ids: `C2IN04` has capital letters, and the API's ids have none: it may select nothing"
        ]
    );
    // What is left out is left out in any case.
    assert_eq!(of("exclude_ids: [C2IN04]"), [""; 0]);
}

#[test]
fn two_policies_on_the_same_are_named() {
    let two = |first: &str, second: &str| {
        lints(&format!(
            "  - {{name: p, mode: enforce, schedule: \"@daily\", keep: {{last: 3}}{first}}}\n  \
             - {{name: q, mode: enforce, schedule: \"@daily\", keep: {{daily: 3}}{second}}}\n"
        ))
    };
    let a = ", select: {instances: {names: [\"a-*\"]}}";
    assert_eq!(
        two("", ""),
        ["policies[1]: it overlaps policy `p`: both select the same"]
    );
    assert_eq!(two(a, a).len(), 1);
    let some = ["policies[1]: it overlaps policy `p`: some of what it selects is selected there, too"];
    let instances = |what: &str| format!(", select: {{instances: {{{what}}}}}");
    let backups = |what: &str| format!(", select: {{backups: {{{what}}}}}");
    // One within the other, in whatever order, by whatever key.
    assert_eq!(two(a, ""), some);
    assert_eq!(two("", a), some);
    assert_eq!(two(a, &instances("names: [\"a-prod-*\", x]")), some);
    assert_eq!(
        two(
            &instances("tags: {env: prod}"),
            &instances("tags: {env: prod, team: x}")
        ),
        some
    );
    assert_eq!(
        two(&instances("tags: {env: \"*\"}"), &instances("tags: {env: prod}")),
        some
    );
    assert_eq!(
        two(&instances("ids: [i1in04, i2in04]"), &instances("ids: [i2in04, i3in04]")),
        some
    );
    assert_eq!(
        two(&backups("names: [\"nightly-*\"]"), &backups("names: [\"*\"]")),
        some
    );
    assert_eq!(two("", &instances("names: [\"a-*\", b], exclude_names: [b]")), some);
    // What may meet but need not, or cannot meet, is none.
    for (first, second) in [
        (instances("names: [\"a-*\"]"), instances("names: [\"*-z\"]")),
        (instances("names: [\"a-*\"]"), instances("tags: {env: prod}")),
        (instances("tags: {env: prod}"), instances("tags: {env: test}")),
        (instances("names: [\"a-*\"]"), instances("exclude_names: [\"a-*\"]")),
        (instances("ids: [i1in04]"), instances("exclude_ids: [i1in04]")),
        (backups("names: [\"nightly-*\"]"), backups("names: [\"weekly-*\"]")),
        (
            backups("names: [\"nightly-*\"]"),
            backups("exclude_names: [\"night*\"]"),
        ),
    ] {
        assert_eq!(two(&first, &second), [""; 0], "{first} {second}");
        assert_eq!(two(&second, &first), [""; 0], "{second} {first}");
    }
}

#[test]
fn a_policy_names_all_that_it_overlaps() {
    let policy = |name: &str, select: &str| {
        format!(
            "  - {{name: {name}, mode: enforce, schedule: \"@daily\", keep: {{last: 3}}, select: {{instances: {{{select}}}}}}}\n"
        )
    };
    let mut text = String::new();
    for letter in ["a", "b", "c", "d", "e"] {
        text.push_str(&policy(letter, &format!("names: [\"{letter}-*\"]")));
    }
    text.push_str(&policy("all", "exclude_names: [\"a-*\"]"));
    assert_eq!(
        lints(&text),
        ["policies[5]: it overlaps policies `b`, `c`, `d` and 1 more: some of what it selects is selected there, too"]
    );
}

#[test]
fn max_age_without_a_floor_is_named() {
    let floor = [
        "policies[0].max_age: `max_age` goes by the clock and beats the keep rules, and no floor is set: when backups \
                  stop being made, all but the newest one go",
    ];
    assert_eq!(one("keep: {daily: 7}, max_age: 1y"), floor);
    assert_eq!(one("keep: {daily: 7}, max_age: 1y, min_backups: 1"), [""; 0]);
    assert_eq!(one("keep: {daily: 7}"), [""; 0]);
}

/// As docs/kubernetes.md has it: the schedule is the cron job's.
#[test]
fn a_configuration_for_cron_jobs_needs_no_schedule() {
    let policy = |name: &str, rest: &str| {
        format!(
            "  - {{name: {name}, mode: enforce, keep: {{last: 3}}, select: {{backups: {{names: [{name}]}}}}{rest}}}\n"
        )
    };
    let none = ["policies[0]: the policy has no `schedule`: the daemon never runs it, only `apply` does"];
    assert_eq!(lints(&policy("a", "")), none);
    assert_eq!(lints(&(policy("a", "") + "listen: none\n")), [""; 0]);
    let scheduled = policy("b", ", schedule: \"@daily\"");
    assert_eq!(lints(&(policy("a", "") + &scheduled + "listen: none\n")), none);
}
