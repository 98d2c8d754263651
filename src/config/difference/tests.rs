//! Edits of one key, and what each means.

use super::*;
use crate::config::{Environment, load};

fn config(policies: &str) -> Config {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yaml");
    std::fs::write(&file, format!("version: 1\nstate_dir: /nowhere\npolicies:\n{policies}")).unwrap();
    load(&file, &Environment::default()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn policy(name: &str, rest: &str) -> String {
    format!("  - {{name: {name}, mode: enforce, {rest}}}\n")
}

/// What a change of one policy's keys means.
fn change(old: &str, new: &str) -> (Vec<&'static str>, Keeps) {
    let changes = policies(&config(&policy("p", old)), &config(&policy("p", new)));
    let [change] = changes.as_slice() else {
        panic!("{changes:?}")
    };
    assert_eq!((change.policy.as_str(), change.what), ("p", "changed"));
    (change.keys.clone(), change.keeps)
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn rules_say_more_or_less() {
    for (old, new, key, keeps) in [
        ("keep: {daily: 7}", "keep: {daily: 8}", "keep", Keeps::More),
        ("keep: {daily: 7}", "keep: {daily: 6}", "keep", Keeps::Less),
        ("keep: {daily: 7}", "keep: {daily: all}", "keep", Keeps::More),
        ("keep: {daily: 7}", "keep: {daily: 7, weekly: 1}", "keep", Keeps::More),
        ("keep: {daily: 7, weekly: 1}", "keep: {daily: 7}", "keep", Keeps::Less),
        ("keep: {daily: 7, weekly: 1}", "keep: {daily: 9}", "keep", Keeps::Both),
        ("keep: {within: 4w}", "keep: {within: 28d}", "keep", Keeps::Same),
        ("keep: {within: 4w}", "keep: {within: 1mo}", "keep", Keeps::More),
        (
            "keep: {last: 1}",
            "keep: {last: 1, names: [\"x-*\"]}",
            "keep",
            Keeps::More,
        ),
        (
            "keep: {last: 1, names: [\"x-*\"]}",
            "keep: {last: 1, names: [\"y-*\"]}",
            "keep",
            Keeps::Both,
        ),
        (
            "keep: {last: 1}",
            "keep: {last: 1}, max_age: 1y",
            "max_age",
            Keeps::Less,
        ),
        (
            "keep: {last: 1}, max_age: 1y",
            "keep: {last: 1}",
            "max_age",
            Keeps::More,
        ),
        (
            "keep: {last: 1}, max_age: 1y",
            "keep: {last: 1}, max_age: 2y",
            "max_age",
            Keeps::More,
        ),
        (
            "keep: {last: 1}",
            "keep: {last: 1}, failed_after: 1d",
            "failed_after",
            Keeps::Less,
        ),
        (
            "keep: {last: 1}",
            "keep: {last: 1}, min_backups: 2",
            "min_backups",
            Keeps::More,
        ),
        ("keep: {last: 1}", "keep: {last: 1}, grace: 0s", "grace", Keeps::Less),
        (
            "keep: {last: 1}",
            "keep: {last: 1}, require_backup_within: 3d",
            "require_backup_within",
            Keeps::More,
        ),
        (
            "keep: {last: 1}, require_backup_within: 3d",
            "keep: {last: 1}, require_backup_within: 5d",
            "require_backup_within",
            Keeps::Less,
        ),
        (
            "keep: {last: 1}, require_backup_within: 3d",
            "keep: {last: 1}",
            "require_backup_within",
            Keeps::Less,
        ),
        (
            "keep: {last: 1}",
            "keep: {last: 1}, limits: {max_deletions: 7}",
            "limits",
            Keeps::More,
        ),
        (
            "keep: {last: 1}",
            "keep: {last: 1}, limits: {max_deletions: 7, over_limit: oldest-first}",
            "limits",
            Keeps::Both,
        ),
        (
            "keep: {last: 1}",
            "keep: {last: 1}, limits: {max_percent: 51}",
            "limits",
            Keeps::Less,
        ),
        ("keep: {within: 30d}", "keep: {within: 1mo}", "keep", Keeps::Unclear),
        ("keep: {within: 24h}", "keep: {within: 1d}", "keep", Keeps::Unclear),
        ("keep: {within: 24h}", "keep: {within: 4d}", "keep", Keeps::More),
        ("keep: {within: 12mo}", "keep: {within: 1y}", "keep", Keeps::Same),
        (
            "keep: {last: 1}",
            "keep: {last: 1}, timezone: Asia/Singapore",
            "timezone",
            Keeps::Unclear,
        ),
        (
            "keep: {last: 1}, select: {backups: {names: [b]}}",
            "keep: {last: 1}, select: {instances: {names: [a]}}",
            "select",
            Keeps::Unclear,
        ),
        (
            "keep: {last: 1}",
            "keep: {last: 1}, schedule: \"0 3 * * *\"",
            "schedule",
            Keeps::Same,
        ),
    ] {
        assert_eq!(change(old, new), (vec![key], keeps), "{old} → {new}");
    }
}

#[test]
fn a_selector_covers_more_or_fewer() {
    let change = |mode: &str, others: &str, old: &str, new: &str| {
        let of = |select: &str| {
            let one = policy("p", &format!("keep: {{last: 1}}, select: {{{select}}}"));
            config(&(one.replace("enforce", mode) + others))
        };
        let changes = policies(&of(old), &of(new));
        assert_eq!(
            changes.iter().flat_map(|change| &change.keys).collect::<Vec<_>>(),
            [&"select"]
        );
        changes[0].keeps
    };
    let other = policy("other", "keep: {last: 1}");
    for (wide, narrow) in [
        ("deleted_instances: ignore", "instances: {names: [a]}"),
        ("instances: {names: [a, b]}", "instances: {names: [b]}"),
        ("instances: {ids: [a, b]}", "instances: {ids: [a]}"),
        ("instances: {names: [a]}", "instances: {names: [a], tags: {env: prod}}"),
        (
            "instances: {tags: {x: y}}",
            "instances: {tags: {x: y}, exclude_names: [a]}",
        ),
        ("instances: {exclude_ids: [a]}", "instances: {exclude_ids: [b, a]}"),
        ("deleted_instances: include", "instances: {enterprise_projects: [a]}"),
        ("deleted_instances: include", "deleted_instances: ignore"),
    ] {
        let both = [(wide, narrow), (narrow, wide)];
        let found = |mode: &str, others: &str| both.map(|(old, new)| change(mode, others, old, new));
        assert_eq!(found("enforce", ""), [Keeps::More, Keeps::Less], "{wide} → {narrow}");
        // What another policy lets go is no longer protected.
        assert_eq!(
            found("enforce", &other),
            [Keeps::Both, Keeps::Both],
            "{wide} → {narrow}"
        );
        assert_eq!(
            found("dry-run", &other),
            [Keeps::Less, Keeps::More],
            "{wide} → {narrow}"
        );
    }
    let (wide, narrow) = (
        "backups: {names: [a, b]}",
        "backups: {names: [a, b], exclude_names: [c]}",
    );
    assert_eq!(change("enforce", "", wide, narrow), Keeps::More);
    let turned = "backups: {names: [b, a]}";
    assert_eq!(change("enforce", "", wide, turned), Keeps::Same);
    assert_eq!(change("dry-run", &other, wide, turned), Keeps::Same);
    assert_eq!(change("enforce", "", narrow, wide), Keeps::Less);
    assert_eq!(change("dry-run", &other, narrow, wide), Keeps::Unclear);
    for (old, new) in [
        ("instances: {names: [a]}", "instances: {names: [b]}"),
        (
            "instances: {names: [a, b]}",
            "instances: {names: [a], ids: [c]}, backups: {names: [d]}, deleted_instances: include",
        ),
        ("deleted_instances: include", "deleted_instances: {expire_after: 1y}"),
    ] {
        assert_eq!(change("enforce", "", old, new), Keeps::Unclear, "{old} → {new}");
    }
}

#[test]
fn policies_come_and_go() {
    let keep = "keep: {last: 1}";
    let old = config(&(policy("gone", keep) + &policy("stays", keep)));
    let trial = policy("trial", keep).replace("enforce", "dry-run");
    let new = config(&(policy("stays", keep) + &policy("fresh", keep) + &trial));
    let found: Vec<_> = policies(&old, &new)
        .into_iter()
        .map(|change| (change.policy.as_str().to_owned(), change.what, change.keeps))
        .collect();
    assert_eq!(
        found,
        [
            ("fresh".to_owned(), "added", Keeps::Both),
            ("gone".to_owned(), "removed", Keeps::Both),
            ("trial".to_owned(), "added", Keeps::More),
        ]
    );
    assert_eq!(policies(&old, &old), []);
}

#[test]
fn enforcing_keeps_less() {
    let enforce = policy("p", "keep: {last: 1}");
    let dry = enforce.replace("enforce", "dry-run");
    let keeps = |old: &str, new: &str| policies(&config(old), &config(new))[0].keeps;
    assert_eq!(keeps(&dry, &enforce), Keeps::Less);
    assert_eq!(keeps(&enforce, &dry), Keeps::More);
}

#[test]
fn holds_and_the_freeze_keep_more_or_less() {
    let with = |more: &str| {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.yaml");
        let policy = policy("p", "keep: {last: 1}");
        std::fs::write(
            &file,
            format!("version: 1\nstate_dir: /nowhere\n{more}\npolicies:\n{policy}"),
        )
        .unwrap();
        load(&file, &Environment::default()).unwrap_or_else(|problems| panic!("{problems}"))
    };
    let hold = |target: &str| format!("holds: [{{{target}, reason: r}}]");
    for (short, long) in [
        ("", "freeze: {reason: r, until: 2027-01-01T00:00:00Z}"),
        (
            "freeze: {reason: r, until: 2027-01-01T00:00:00Z}",
            "freeze: {reason: s, until: 2027-01-01T00:00:01Z}",
        ),
        (
            "freeze: {reason: r, until: 2027-01-01T00:00:00Z}",
            "freeze: {reason: r}",
        ),
        ("", &hold("backup: b1")),
        (
            &hold("backup: b1, until: 2027-01-01T00:00:00Z"),
            &hold("backup: B1, until: 2027-01-02T00:00:00Z"),
        ),
        (&hold("backup: b1, until: 2027-01-01T00:00:00Z"), &hold("backup: b1")),
        (&hold("instance: i, name: n"), &hold("name: n")),
    ] {
        assert_eq!(whole(&with(short), &with(long)), Keeps::More, "{short} → {long}");
        assert_eq!(whole(&with(long), &with(short)), Keeps::Less, "{long} → {short}");
    }
    for (one, other) in [
        (hold("backup: b1"), hold("backup: b2")),
        (hold("name: n"), hold("name: m")),
        (
            hold("instance: i, until: 2027-01-01T00:00:00Z"),
            hold("instance: i, name: n"),
        ),
        // What the pattern covers is unknown.
        (hold("backup: b1"), hold("name: \"*\"")),
    ] {
        assert_eq!(whole(&with(&one), &with(&other)), Keeps::Both, "{one} → {other}");
    }
    let said = hold("backup: b1").replace("reason: r", "reason: s, owner: dba");
    assert_eq!(whole(&with(&hold("backup: b1")), &with(&said)), Keeps::Same);
}
