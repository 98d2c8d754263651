//! Whom a selector claims: AND between keys, OR within a list.

use super::super::{BackupKind, BackupStatus, Databases, Engine};
use super::*;

fn instance() -> Instance {
    Instance {
        engine: Engine::SqlServer,
        project: "prod".into(),
        id: "i1in04".into(),
        name: "mssql-prod-1".into(),
        tags: vec![
            ("env".to_owned(), "prod".to_owned()),
            ("team".to_owned(), "dba".to_owned()),
        ],
        enterprise_project: Some("0".to_owned()),
        life: InstanceLife::Listed,
    }
}

fn globs(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::parse(text).unwrap()).collect()
}

fn tag(key: &str, value: Option<&str>) -> TagFilter {
    TagFilter {
        key: key.to_owned(),
        value: value.map(str::to_owned),
    }
}

/// Everything at once, all of it true of [`instance`].
fn narrow() -> Selector {
    Selector {
        projects: Some(vec!["other".into(), "prod".into()]),
        instance_names: Some(globs(&["x*", "mssql-*"])),
        instance_ids: Some(vec!["i9in04".into(), "i1in04".into()]),
        tags: vec![tag("env", Some("prod")), tag("team", None)],
        enterprise_projects: Some(vec!["7".to_owned(), "0".to_owned()]),
        exclude_instance_names: globs(&["*-scratch"]),
        exclude_instance_ids: vec!["i2in04".into()],
        ..Selector::default()
    }
}

#[test]
fn a_key_left_out_sets_no_limit_and_every_key_given_must_agree() {
    assert!(Selector::default().claims(&instance(), Knowledge::Full));
    assert!(narrow().claims(&instance(), Knowledge::Full));
    // One key after the other says no: a name, a tag, a project. `--backups FILE` knows ids only and asks for no more.
    let by_description = [
        Selector {
            projects: Some(vec!["other".into()]),
            ..narrow()
        },
        Selector {
            instance_names: Some(globs(&["x*"])),
            ..narrow()
        },
        Selector {
            tags: vec![tag("env", Some("prod")), tag("env", Some("test"))],
            ..narrow()
        },
        Selector {
            tags: vec![tag("team", Some("prod"))],
            ..narrow()
        },
        Selector {
            tags: vec![tag("owner", None)],
            ..narrow()
        },
        Selector {
            enterprise_projects: Some(vec!["7".to_owned()]),
            ..narrow()
        },
        Selector {
            exclude_instance_names: globs(&["nothing", "*-1"]),
            ..narrow()
        },
    ];
    for selector in by_description {
        assert!(!selector.claims(&instance(), Knowledge::Full), "{selector:?}");
        assert!(selector.claims(&instance(), Knowledge::IdsOnly), "{selector:?}");
    }
    let by_id = [
        Selector {
            instance_ids: Some(vec!["i9in04".into()]),
            ..narrow()
        },
        Selector {
            exclude_instance_ids: vec!["i1in04".into()],
            ..narrow()
        },
    ];
    // In capitals it is left out too, and asked for it is not.
    let by_capitals = [
        Selector {
            instance_ids: Some(vec!["I1IN04".into()]),
            ..narrow()
        },
        Selector {
            exclude_instance_ids: vec!["I1IN04".into()],
            ..narrow()
        },
    ];
    for selector in by_id.into_iter().chain(by_capitals) {
        assert!(!selector.claims(&instance(), Knowledge::Full), "{selector:?}");
        assert!(!selector.claims(&instance(), Knowledge::IdsOnly), "{selector:?}");
    }
    // An enterprise project that the API did not give is none of those asked for.
    let without = Instance {
        enterprise_project: None,
        ..instance()
    };
    assert!(!narrow().claims(&without, Knowledge::Full));
    assert!(Selector::default().claims(&without, Knowledge::Full));
}

#[test]
fn a_deleted_instance_is_claimed_only_where_the_policy_says_so() {
    let gone = Instance {
        life: InstanceLife::Deleted {
            missed_since: chrono::DateTime::UNIX_EPOCH,
        },
        ..instance()
    };
    let claims = |deleted_instances| {
        let selector = Selector {
            deleted_instances,
            ..Selector::default()
        };
        assert!(selector.claims(&instance(), Knowledge::Full), "a living one always");
        [Knowledge::Full, Knowledge::IdsOnly].map(|knowledge| selector.claims(&gone, knowledge))
    };
    assert_eq!(claims(DeletedInstances::Ignore), [false, false]);
    assert_eq!(claims(DeletedInstances::Include), [true, true]);
    assert_eq!(claims(DeletedInstances::ExpireAfter(Span::days(365))), [true, true]);
}

#[test]
fn backups_are_taken_by_name() {
    let backup = |name: &str| Backup {
        id: "b1".into(),
        name: name.into(),
        kind: BackupKind::Manual,
        engine: Engine::SqlServer,
        status: BackupStatus::Completed,
        begin: None,
        size_bytes: 0,
        databases: Databases::All,
        end: None,
        doubt: None,
    };
    let selector = Selector {
        backup_names: Some(globs(&["nightly*", "weekly*"])),
        exclude_backup_names: globs(&["*-golden", "*-keep"]),
        ..Selector::default()
    };
    assert!(selector.takes_backup(&backup("weekly-1")));
    assert!(!selector.takes_backup(&backup("weekly-golden")));
    assert!(!selector.takes_backup(&backup("monthly")));
    assert!(Selector::default().takes_backup(&backup("monthly")));
}

#[test]
fn rules_and_modes_are_called_what_the_configuration_calls_them() {
    let all = Count::All;
    let span = Span::days(1);
    let keys = Period::ALL.map(|period| KeepRule::Counted(period, all).key());
    assert_eq!(keys, ["hourly", "daily", "weekly", "monthly", "quarterly", "yearly"]);
    let within = Period::ALL.map(|period| KeepRule::WithinPeriod(period, span).key());
    assert_eq!(within.map(|key| key.strip_prefix("within_").unwrap()), keys);
    assert_eq!(
        [KeepRule::Last(all).key(), KeepRule::Within(span).key()],
        ["last", "within"]
    );
    assert_eq!([Mode::Enforce.as_str(), Mode::DryRun.as_str()], ["enforce", "dry-run"]);
    assert_eq!(
        KeepRules::new(Vec::new(), globs(&["*"])),
        None,
        "names alone keep nothing"
    );
    let rules = KeepRules::new(vec![KeepRule::Last(all)], globs(&["golden-*"])).unwrap();
    assert_eq!(
        (rules.rules(), rules.names()),
        (&[KeepRule::Last(all)][..], &globs(&["golden-*"])[..])
    );
}
