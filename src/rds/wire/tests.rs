//! Every spelling the API reference names, and what must not be believed.

use super::*;
use crate::rds::backups_from_json;

fn entry(json: &str) -> Backup {
    let page = format!(r#"{{"backups": [{json}]}}"#);
    let page: BackupPage<'_> = serde_json::from_str(&page).unwrap();
    let Many::Items(items) = page.items else {
        panic!("no items")
    };
    items[0].listed().unwrap()
}

#[test]
fn reads_the_documented_entry() {
    let backup = entry(
        r#"{"id": "43e4feaab48f11e89039fa163ebaa7e4br04", "instance_id": "c5cdfc5b3de14bcabb72fb8bf55b1f56in04", "name": "night\u006cy",
            "type": "manual", "size": 2803, "status": "COMPLETED", "begin_time": "2026-08-06T12:41:14+0800",
            "end_time": "2026-08-06T12:43:14+0000", "datastore": {"type": "SQLServer", "version": "2017_SE"},
            "databases": [{"name": "db2"}, {"name": "db1"}], "brand_new": {"deep": [1, {}]}}"#,
    );
    let expected = Backup {
        id: "43e4feaab48f11e89039fa163ebaa7e4br04".into(),
        name: "nightly".into(),
        kind: BackupKind::Manual,
        engine: Engine::SqlServer,
        status: BackupStatus::Completed,
        begin: Some("2026-08-06T04:41:14Z".parse().unwrap()),
        size_bytes: 2803 * 1024,
        databases: Databases::from_names(["db1", "db2"]),
        end: Some("2026-08-06T12:43:14Z".parse().unwrap()),
        doubt: None,
    };
    assert_eq!(backup, expected);
}

#[test]
fn what_is_missing_null_or_of_a_wrong_type_is_unknown() {
    let other = |text: &str| {
        (
            BackupStatus::Other(text.into()),
            BackupKind::Other(text.into()),
            Engine::Other(text.into()),
        )
    };
    for json in [
        r#"{"id": "a"}"#,
        r#"{"id ": " a ", "name": null, "type": null, "size": null, "status": null, "begin_time": null, "datastore": null, "databases": null}"#,
        r#"{"id": "a", "name": 7, "type": true, "size": -1, "status": ["COMPLETED"], "begin_time": 1, "datastore": "SQLServer"}"#,
        r#"{"id": "a", "name": {}, "type": {"a": 1}, "size": "lots", "status": 1.5, "begin_time": "soon", "datastore": [{"type": "SQLServer"}]}"#,
        r#"{"id": "a", "datastore": 7, "datastore": {"type": "SQLServer"}}"#,
        r#"{"id": "a", "status": "COMPLETED", "status": "FAILED", "type": "manual", "type": "auto", "datastore": {"type": 3}}"#,
    ] {
        let backup = entry(json);
        assert_eq!(backup.id.as_str(), "a");
        assert_eq!((backup.status, backup.kind, backup.engine), other(""), "{json}");
        assert_eq!(
            (backup.begin, backup.size_bytes, &*backup.name),
            (None, 0, ""),
            "{json}"
        );
        assert_eq!(backup.databases, Databases::Absent, "{json}");
    }
    assert_eq!(
        entry(r#"{"id": "a", "status": "completed"}"#).status,
        BackupStatus::Other("completed".into())
    );
}

#[test]
fn databases_are_all_some_or_not_known() {
    let databases = |json: &str| entry(&format!(r#"{{"id": "a", "databases": {json}}}"#)).databases;
    assert_eq!(databases("[]"), Databases::All);
    assert_eq!(databases("null"), Databases::Absent);
    assert_eq!(
        databases(r#"["x", {"name": "y", "size": 3}]"#),
        Databases::from_names(["x", "y"])
    );
    for json in [
        r#"[{"name": null}]"#,
        r#"["x", 3]"#,
        r#"["x", null]"#,
        "[{}]",
        r#"[""]"#,
        r#"[["x"]]"#,
        r#"{"name": "x"}"#,
        r#""x""#,
        "true",
    ] {
        assert_eq!(databases(json), Databases::Unreadable, "{json}");
    }
}

#[test]
fn sizes_are_kilobytes_in_any_spelling() {
    let size = |json: &str| entry(&format!(r#"{{"id": "a", "size": {json}}}"#)).size_bytes;
    for (json, kb) in [
        ("3", 3),
        ("\"4\"", 4),
        ("\" 5 \"", 5),
        ("6.9", 6),
        ("\"7.5\"", 7),
        ("-8", 0),
        ("\"9MB\"", 0),
        ("\"-1\"", 0),
    ] {
        assert_eq!(size(json), kb * 1024, "{json}");
    }
    assert_eq!(size("18446744073709551615"), u64::MAX);
    assert_eq!(size("1e300"), u64::MAX);
}

#[test]
fn reads_times_in_every_spelling() {
    for (text, utc) in [
        ("2026-10-01T19:00:00+0000", "2026-10-01T19:00:00Z"),
        ("2026-10-01T19:00:00+0800", "2026-10-01T11:00:00Z"),
        ("2026-10-01T19:00:00-05:30", "2026-10-02T00:30:00Z"),
        ("2026-10-01T19:00:00Z", "2026-10-01T19:00:00Z"),
        ("2026-10-01T19:00:00", "2026-10-01T19:00:00Z"),
        ("2026-10-01 19:00:00", "2026-10-01T19:00:00Z"),
        (" 2026-10-01T19: 00:00 +0000 ", "2026-10-01T19:00:00Z"),
        ("2026-10-01T19:00:00.125Z", "2026-10-01T19:00:00.125Z"),
        ("2026-10-01T19:00:00.123456789123+01", "2026-10-01T18:00:00.123456789Z"),
        ("2024-02-29T00:00:00+0100", "2024-02-28T23:00:00Z"),
    ] {
        assert_eq!(parse_time(text), Some(utc.parse().unwrap()), "{text}");
    }
}

#[test]
fn a_time_that_cannot_be_read_is_none() {
    for text in [
        "",
        "null",
        "2026-10-01",
        "2026-10-01T19:00",
        "2026-02-30T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-10-01T24:00:00Z",
        "2026-10-01T19:00:60Z",
        "2026/10/01T19:00:00Z",
        "2026-10-01T19:00:00+08000",
        "2026-10-01T19:00:00+2400",
        "2026-10-01T19:00:00 CST",
        "2026-10-01T19:00:00.Z",
        "+026-10-01T19:00:00Z",
        "1664650800",
        "2026-10-01T19-00-00Z",
        "२०२६-10-01T19:00:00Z",
        "2026-10-01T19:00:00+0860",
    ] {
        assert_eq!(parse_time(text), None, "{text}");
    }
    assert_eq!(parse_time(&"9".repeat(500)), None);
}

#[test]
fn retained_backups_are_complete_only_with_both_times() {
    let retained = |json: &str| {
        let page: BackupPage<'_> = serde_json::from_str(json).unwrap();
        let Many::Items(items) = page.items else {
            panic!("no items")
        };
        assert_eq!(page.total.whole(), Some(1));
        items[0].retained(&Engine::SqlServer).unwrap()
    };
    let manual = retained(
        r#"{"total": 1, "backups": {"id": "m", "name": "kept", "type": "Snapshot", "size": "12", "begin_time": "2026-01-02T03:04:05+0000",
            "end_time": "2026-01-02T03:05:06+0000", "describe": "x"}}"#,
    );
    assert_eq!(
        (&manual.kind, &manual.status, &manual.engine),
        (&BackupKind::Manual, &BackupStatus::Completed, &Engine::SqlServer)
    );
    assert_eq!((manual.databases, manual.size_bytes), (Databases::Unknown, 12 * 1024));
    let unfinished = retained(
        r#"{"total_count": "1", "backups": [{"id": "m", "type": "Snapshot", "begin_time": "2026-01-02T03:04:05+0000"}]}"#,
    );
    assert_eq!(unfinished.status, BackupStatus::Other("".into()));
    let auto = retained(r#"{"total": 1, "backups": [{"id": "d", "type": "Db", "datastore": {"type": "MySQL"}}]}"#);
    assert_eq!((auto.kind, auto.engine), (BackupKind::Auto, Engine::MySql));
}

#[test]
fn a_file_of_backups_is_read_in_both_shapes() {
    let list = r#"[{"id": "a", "instance_id": "i1"}, {"id": "b", "instance_id": "i1"}, {"id": "c"}, {"instance_id": "i1", "id": "a"}]"#;
    for text in [list.to_owned(), format!(r#"{{"total_count": 4, "backups": {list}}}"#)] {
        let rows = backups_from_json(text.as_bytes()).unwrap();
        let ids: Vec<_> = rows
            .iter()
            .flat_map(|(i, of)| {
                of.iter()
                    .map(move |b| (i.as_ref().map(InstanceId::as_str), b.id.as_str()))
            })
            .collect();
        assert_eq!(ids, [(Some("i1"), "a"), (Some("i1"), "b"), (None, "c")]);
    }
    assert_eq!(backups_from_json(b"[]").unwrap(), []);
}

#[test]
fn mistakes_in_a_file_are_named_by_index_line_and_column() {
    for (text, message) in [
        (
            "[\n {\"id\": \"a\"},\n {\"name\": \"x\"}]",
            "entry 1 has no id at line 3 column 15",
        ),
        ("[{\"id\": \"a\"}, null]", "entry 1 has no id at line 1 column 19"),
        (
            "[{\"id\": \"a\"},\n {\"id\": \"a\", \"size\": 1}]",
            "entry 1 differs from an earlier one with its id a at line 2 column 24",
        ),
        (
            "[{\"id\": \"a\"}, {\"id\" 3}]",
            "entry 1: expected `:` at line 1 column 21",
        ),
        ("{\"backup\": []}", "missing field `backups` at line 1 column 14"),
        (
            "{\"backups\": [], \"backups\": []}",
            "the key `backups` occurs twice at line 1 column 25",
        ),
        ("[] x", "trailing characters at line 1 column 4"),
        (
            "7",
            "invalid type: integer `7`, expected an array of backups, or an object with the key `backups` at line 1 column 1",
        ),
    ] {
        assert_eq!(backups_from_json(text.as_bytes()).unwrap_err(), message, "{text}");
    }
    assert!(backups_from_json(b"").is_err());
    assert!(backups_from_json(b"{\"backups\": {\"backups\": 3}}").is_err());
}

#[test]
fn instances_keep_what_policies_select_by() {
    let json = r#"{"instances": [{"id": "x in04", "name": "mssql-1", "type": "Ha", "datastore": {"type": "sqlserver"},
        "tags": [{"key": "env", "value": "prod"}, {"key": "bare"}, {"value": "no key"}, 3], "enterprise_project_id": "0", "nodes": null},
        {"id": "r", "type": "Replica", "datastore": {"type": "MySQL"}, "tags": null}, {"name": "no id"}], "total_count": 3}"#;
    let page: InstancePage<'_> = serde_json::from_str(json).unwrap();
    let Many::Items(items) = page.items else {
        panic!("no items")
    };
    let project = ProjectName::from("p");
    let first = items[0].listed(&project).unwrap();
    assert_eq!(
        first.instance.tags,
        [("env".into(), "prod".into()), ("bare".into(), String::new())]
    );
    assert_eq!(
        (&*first.instance.name, first.instance.enterprise_project.as_deref()),
        ("mssql-1", Some("0"))
    );
    assert_eq!(
        (first.is_replica, first.instance.engine, first.instance.life),
        (false, Engine::SqlServer, InstanceLife::Listed)
    );
    let second = items[1].listed(&project).unwrap();
    assert_eq!((second.is_replica, second.instance.engine), (true, Engine::MySql));
    assert_eq!(items[2].listed(&project), None);
}

/// A page without its list is not an empty one, and two ids that differ in case only are one.
#[test]
fn a_page_without_its_list_and_ids_that_differ_in_case_are_not_believed() {
    use super::super::listings::{instance_page, listed_page, retained_page};
    use super::super::pagination::Reading;

    let (project, instance) = ("p".into(), InstanceId::from("i"));
    let backups = |body: &str| listed_page(body.as_bytes(), &instance, &BackupKind::Manual);
    for list in ["", r#""backups": null, "instances": null, "#] {
        let body = format!("{{{list}\"total_count\": 0}}");
        assert!(backups(&body).is_err(), "{body}");
        assert!(
            retained_page(body.as_bytes(), &instance, &Engine::SqlServer).is_err(),
            "{body}"
        );
        assert!(instance_page(body.as_bytes(), &project).is_err(), "{body}");
    }
    let read = |pages: &[&[&str]], totals: &[usize]| {
        let mut reading = Reading::default();
        let mut last = Ok(false);
        for (ids, total) in pages.iter().zip(totals) {
            let entry = |id: &&str| format!(r#"{{"id": "{id}", "instance_id": "i", "type": "manual"}}"#);
            let entries: Vec<String> = ids.iter().map(entry).collect();
            let body = format!(r#"{{"backups": [{}], "total_count": {total}}}"#, entries.join(","));
            last = reading.take(backups(&body).unwrap());
        }
        last
    };
    assert_eq!(read(&[&[]], &[0]), Ok(true));
    assert_eq!(read(&[&["a", "b"], &["c"]], &[3, 3]), Ok(true));
    // The same id twice, in another spelling; a page twice; totals that shrink, grow, or are those of the page alone; a blank in an id.
    assert!(read(&[&["a", "A"]], &[2]).is_err());
    assert!(read(&[&["a"], &["A"]], &[2, 2]).is_err());
    assert!(read(&[&["a", "b"], &["a", "b"]], &[4, 4]).is_err());
    assert!(read(&[&["a", "b"], &["a", "b"]], &[3, 2]).is_err());
    assert!(read(&[&["a", "b"], &["c"]], &[4, 3]).is_err());
    assert!(read(&[&["a", "b"], &["c"]], &[3, 4]).is_err());
    assert!(read(&[&["a", "b"]], &[1]).is_err());
    assert!(read(&[&["a b"]], &[1]).is_err());
}
