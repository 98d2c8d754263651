//! Every key of a configuration arrives, and what is left out has the documented default.

use rds_retentiond::config::{CredentialsSetting, StateAt};
use rds_retentiond::retention::{Count, DeletedInstances, HoldTarget, KeepRule, Mode, OverLimit, Period, Span, Zone};

use super::{EVERYTHING, MINIMAL, directory, load_in, load_text};

#[test]
fn what_is_left_out_has_the_documented_default() {
    let config = load_text(MINIMAL).unwrap();
    assert_eq!(config.state, StateAt::Directory("/var/lib/rds-retentiond".into()));
    assert_eq!(config.listen, Some("127.0.0.1:9465".parse().unwrap()));
    let project = &config.projects[0];
    assert_eq!(
        project.endpoint.as_str(),
        "https://rds.ap-southeast-3.myhuaweicloud.com/"
    );
    assert_eq!(
        project.iam_endpoint.as_str(),
        "https://iam.ap-southeast-3.myhuaweicloud.com/"
    );
    assert_eq!(project.credentials, CredentialsSetting::Chain);
    assert_eq!((project.requests_per_second.get(), project.concurrency.get()), (20, 8));
    let entry = &config.policies[0];
    assert_eq!((entry.jitter, entry.catch_up), (Span::ZERO, true));
    assert_eq!(entry.schedule.as_ref().unwrap().text(), "0 3 * * *");
    let policy = &entry.policy;
    assert_eq!(policy.zone, Zone::UTC);
    assert_eq!((policy.max_age, policy.require_backup_within), (None, None));
    assert_eq!((policy.failed_after, policy.grace), (Span::days(7), Span::hours(24)));
    assert_eq!(policy.min_backups.get(), 1);
    assert_eq!(
        (policy.limits.max_deletions.get(), policy.limits.max_percent),
        (500, 50)
    );
    assert_eq!(policy.limits.over_limit, OverLimit::Refuse);
    assert_eq!(policy.select.deleted_instances, DeletedInstances::Ignore);
    assert_eq!(policy.select.projects, None);
    assert_eq!(config.warnings, []);
    assert_eq!(config.sha256.len(), 64);
}

#[test]
fn every_key_of_the_top_and_of_projects_arrives() {
    let dir = directory(&[("config.yaml", EVERYTHING.as_bytes())]);
    let config = load_in(&dir).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.state, StateAt::Directory(dir.path().join("state")));
    assert_eq!(config.listen, None);
    let [prod, eu, otc, ..] = config.projects.as_slice() else {
        panic!("five projects");
    };
    assert_eq!(prod.project_id.as_deref(), Some("054e292c9880d4992f02c0196d3ea468"));
    assert_eq!(prod.endpoint.as_str(), "https://rds.example.com:8443/");
    assert_eq!(prod.iam_endpoint.as_str(), "http://localhost:8081/");
    assert_eq!((prod.requests_per_second.get(), prod.concurrency.get()), (21, 9));
    let profile = CredentialsSetting::Profile {
        path: Some("relative.ini".into()),
        profile: Some("work".into()),
    };
    assert_eq!(prod.credentials, profile);
    assert_eq!(eu.endpoint.as_str(), "https://rds.eu-west-101.myhuaweicloud.eu/");
    let files = CredentialsSetting::Files {
        access_key_file: "ak".into(),
        secret_key_file: "sk".into(),
        security_token_file: Some("token".into()),
    };
    assert_eq!(eu.credentials, files);
    assert_eq!(otc.iam_endpoint.as_str(), "https://iam.eu-de.otc.t-systems.com/");
    let agency = CredentialsSetting::EcsAgency {
        endpoint: "http://169.254.169.254".parse().unwrap(),
    };
    assert_eq!(otc.credentials, agency);
    assert_eq!(config.projects[3].credentials, CredentialsSetting::Environment);
}

#[test]
fn every_key_of_a_policy_arrives() {
    let config = load_text(EVERYTHING).unwrap_or_else(|problems| panic!("{problems}"));
    let entry = &config.policies[0];
    assert_eq!((entry.jitter, entry.catch_up), (Span::parse("10min").unwrap(), false));
    let policy = &entry.policy;
    assert_eq!(policy.mode, Mode::Enforce);
    assert_eq!((policy.failed_after, policy.grace), (Span::ZERO, Span::ZERO));
    assert_eq!(policy.min_backups.get(), 2);
    assert_eq!(policy.max_age, Some(Span::parse("7y").unwrap()));
    assert_eq!(policy.require_backup_within, Some(Span::hours(36)));
    assert_eq!(
        (policy.limits.max_deletions.get(), policy.limits.max_percent),
        (400, 40)
    );
    assert_eq!(policy.limits.over_limit, OverLimit::OldestFirst);

    // The order of the documentation, not of the file.
    let keys: Vec<&str> = policy.keep.rules().iter().map(|rule| rule.key()).collect();
    let expected = "last hourly daily weekly monthly quarterly yearly within within_hourly within_daily within_weekly \
                    within_monthly within_quarterly within_yearly";
    assert_eq!(keys.join(" "), expected);
    assert_eq!(policy.keep.rules()[6], KeepRule::Counted(Period::Year, Count::All));
    assert_eq!(
        policy.keep.rules()[9],
        KeepRule::WithinPeriod(Period::Day, Span::days(5))
    );
    assert_eq!(policy.keep.names()[0].as_str(), "release-*");
}

#[test]
fn every_key_of_selectors_holds_and_freeze_arrives() {
    let config = load_text(EVERYTHING).unwrap_or_else(|problems| panic!("{problems}"));
    let select = &config.policies[0].policy.select;
    assert_eq!(select.projects.as_ref().unwrap().len(), 2);
    assert_eq!(select.instance_names.as_ref().unwrap()[0].as_str(), "mssql-prod-*");
    assert_eq!(
        select.instance_ids.as_ref().unwrap()[0].as_str(),
        "cd613e30d8f16adf91b7584a2265b1f5in04"
    );
    let tags: Vec<_> = select
        .tags
        .iter()
        .map(|tag| (tag.key.as_str(), tag.value.as_deref()))
        .collect();
    assert_eq!(
        tags,
        [
            ("env", Some("prod")),
            ("tier", None),
            ("level", Some("3")),
            ("note", Some(""))
        ]
    );
    assert_eq!(select.enterprise_projects.as_ref().unwrap(), &["0", "7"]);
    assert_eq!(select.exclude_instance_names[0].as_str(), "*-scratch");
    assert_eq!(
        select.exclude_instance_ids[0].as_str(),
        "00000000000000000000000000000000in04"
    );
    assert_eq!(select.backup_names.as_ref().unwrap()[0].as_str(), "*");
    assert_eq!(select.exclude_backup_names[0].as_str(), "golden-*");
    assert_eq!(
        select.deleted_instances,
        DeletedInstances::ExpireAfter(Span::parse("1y").unwrap())
    );

    // A date means the end of that day.
    assert_eq!(config.holds[0].until, Some("2027-07-01T00:00:00Z".parse().unwrap()));
    assert_eq!(config.holds[0].owner.as_deref(), Some("dba"));
    assert!(matches!(&config.holds[0].target, HoldTarget::Backup(id) if id.as_str() == "63ad3439af9776054br04"));
    assert!(
        matches!(&config.holds[1].target, HoldTarget::Matching { instance: Some(i), name: Some(n) }
        if i.as_str() == "*in04" && n.as_str() == "pre-migration-*")
    );
    assert_eq!(
        config.freeze.unwrap().until,
        Some("2026-12-31T00:00:00Z".parse().unwrap())
    );
}
