//! Whose time zone rules are followed: the newest at hand. An hour's difference deletes another backup.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::world::{World, decided};

const VANCOUVER: &str = "America/Vancouver";
const DAILY: &str = "
  - name: p
    mode: enforce
    timezone: America/Vancouver
    keep: {daily: 2}
    grace: 0s
    limits: {max_percent: 100}
";

/// A `TZif` file (RFC 9636, version 2): the offset before all changes, the changes, and the rule for the future.
fn tzif(first: i32, changes: &[(i64, i32)], rule: &str) -> Vec<u8> {
    let header = |times: usize, types: usize, letters: usize| {
        let mut header = b"TZif2".to_vec();
        header.extend([0; 15]);
        for count in [0, 0, 0, times, types, letters] {
            header.extend(u32::try_from(count).unwrap().to_be_bytes());
        }
        header
    };
    let mut file = header(0, 1, 1);
    file.extend([0; 7]);
    file.extend(header(changes.len(), changes.len() + 1, 4));
    file.extend(changes.iter().flat_map(|(at, _)| at.to_be_bytes()));
    file.extend((1..=changes.len()).map(|nth| u8::try_from(nth).unwrap()));
    for offset in [first].into_iter().chain(changes.iter().map(|(_, offset)| *offset)) {
        file.extend(offset.to_be_bytes());
        file.extend([0, 0]);
    }
    file.extend(b"ABC\0\n");
    file.extend(rule.as_bytes());
    file.push(b'\n');
    file
}

fn at(text: &str) -> i64 {
    text.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp()
}

/// Since March 2026 British Columbia has left its clocks alone.
fn newer_rules() -> Vec<u8> {
    let changes = [
        (at("2025-11-02T09:00:00Z"), -8 * 3_600),
        (at("2026-03-08T10:00:00Z"), -7 * 3_600),
    ];
    tzif(-7 * 3_600, &changes, "PDT7")
}

/// As it was until then.
fn older_rules() -> Vec<u8> {
    let changes = [
        (at("2025-11-02T09:00:00Z"), -8 * 3_600),
        (at("2026-03-08T10:00:00Z"), -7 * 3_600),
    ];
    tzif(-7 * 3_600, &changes, "PST8PDT,M3.2.0,M11.1.0")
}

/// A zoneinfo directory with one zone, or none.
fn zoneinfo(world: &mut World, zone: Option<&[u8]>) -> PathBuf {
    let dir = world.dir().join("zoneinfo");
    fs::create_dir_all(dir.join("America")).unwrap();
    fs::write(dir.join("UTC"), tzif(0, &[], "UTC0")).unwrap();
    if let Some(bytes) = zone {
        fs::write(dir.join(VANCOUVER), bytes).unwrap();
    }
    world.set_env("TZDIR", dir.to_str().unwrap());
    dir
}

async fn kept(world: &World) -> BTreeSet<String> {
    let times = [
        "2026-11-25T20:00:00+0000",
        "2026-11-26T20:00:00+0000",
        "2026-11-27T06:30:00+0000",
        "2026-11-27T07:30:00+0000",
    ];
    let entry = |(nth, begin): (usize, &str)| {
        json!({"id": format!("b{nth}"), "instance_id": "i1in04", "name": "n", "type": "manual", "status": "COMPLETED", "size": 1,
               "begin_time": begin, "end_time": begin, "datastore": {"type": "SQLServer", "version": "2019_SE"}})
    };
    let backups: Vec<_> = times.into_iter().enumerate().map(entry).collect();
    let file = world.dir().join("backups.json");
    fs::write(&file, json!(backups).to_string()).unwrap();
    let args = ["plan", "--format", "json", "--at", "2026-11-28T00:00:00Z", "--backups"];
    let report = world
        .run(&[&args[..], &[file.to_str().unwrap()]].concat())
        .await
        .exits(0)
        .json();
    let (kept, gone) = (decided(&report, "p", "keep"), decided(&report, "p", "delete"));
    assert_eq!((kept.len(), gone.len()), (2, 2), "the twin: what no rule keeps goes");
    kept
}

fn set(ids: [&str; 2]) -> BTreeSet<String> {
    ids.map(str::to_owned).into()
}

async fn world() -> World {
    let world = World::new(&[]).await;
    world.configure("", DAILY, "");
    world
}

#[tokio::test]
async fn the_rules_of_tzdir_decide_which_backup_is_of_which_day() {
    let mut world = world().await;
    zoneinfo(&mut world, Some(&newer_rules()));
    assert_eq!(kept(&world).await, set(["b2", "b3"]));
    zoneinfo(&mut world, Some(&older_rules()));
    assert_eq!(
        kept(&world).await,
        set(["b0", "b3"]),
        "the host's rules are followed whatever is compiled in"
    );
}

#[tokio::test]
async fn without_tzdir_the_newest_rules_at_hand_are_followed() {
    let world = world().await;
    assert_eq!(kept(&world).await, set(["b2", "b3"]));
    let check = world.run(&["check"]).await.exits(0).stdout;
    assert!(check.contains("time zone rules: 20"), "{check}");
}

#[tokio::test]
async fn a_host_without_zoneinfo_falls_back_to_the_rules_compiled_in_and_check_warns() {
    let mut world = world().await;
    world.set_env("TZDIR", world.dir().join("none").to_str().unwrap().to_owned().as_str());
    assert_eq!(kept(&world).await, set(["b2", "b3"]));
    let check = world.run(&["check"]).await.exits(0).stdout;
    assert!(check.contains("compiled in; this host has no zoneinfo"), "{check}");
    assert!(
        check.contains("warning: ") && check.contains("install tzdata"),
        "{check}"
    );
    world.run(&["check", "--strict"]).await.exits(78);
    let json = world.run(&["check", "--format", "json"]).await.exits(0).json();
    assert_eq!(json["zones"]["source"], "compiled");
    assert_eq!(json["zones"]["host_dir"], json!(null));
    // UTC needs no rules.
    world.configure("", &DAILY.replace(VANCOUVER, "UTC"), "");
    let check = world.run(&["check"]).await.exits(0).stdout;
    assert!(!check.contains("zoneinfo: time zones follow"), "{check}");
}

#[tokio::test]
async fn a_damaged_file_is_not_followed_and_said_aloud() {
    let whole = older_rules();
    let mut leaps = whole.clone();
    let second = 44 + 7;
    leaps[second + 20 + 11] = 1;
    leaps.splice(leaps.len() - 25..leaps.len() - 25, [0; 12]);
    let damaged = [
        &whole[..60],
        b"",
        b"TZif2",
        &whole[..whole.len() - 3],
        &leaps,
        &vec![b'x'; 1 << 20],
    ];
    for bytes in damaged {
        let mut world = world().await;
        zoneinfo(&mut world, Some(bytes));
        assert_eq!(kept(&world).await, set(["b2", "b3"]), "{} bytes", bytes.len());
        let check = world.run(&["check"]).await.exits(0).stdout;
        let said = check.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            said.contains("the rules of the time zone `America/Vancouver` cannot be used"),
            "{check}"
        );
        assert!(said.contains("zoneinfo/America/Vancouver: "), "{check}");
        world.run(&["check", "--strict"]).await.exits(78);
    }
}

#[tokio::test]
async fn what_is_no_regular_file_is_damage_and_waits_for_nobody() {
    let mut world = world().await;
    let file = zoneinfo(&mut world, None).join(VANCOUVER);
    fs::create_dir(&file).unwrap();
    assert_eq!(kept(&world).await, set(["b2", "b3"]));
    fs::remove_dir(&file).unwrap();
    std::process::Command::new("mkfifo").arg(&file).status().unwrap();
    assert_eq!(kept(&world).await, set(["b2", "b3"]));
    let check = world.run(&["check"]).await.exits(0).stdout;
    assert!(check.contains("it is not a regular file"), "{check}");
    fs::remove_file(&file).unwrap();
    // A link, as packages lay them for old names, is followed.
    fs::write(file.with_file_name("Other"), older_rules()).unwrap();
    std::os::unix::fs::symlink("Other", &file).unwrap();
    assert_eq!(kept(&world).await, set(["b0", "b3"]));
}

#[tokio::test]
async fn a_zone_that_the_host_lacks_is_taken_from_those_compiled_in_and_the_other_way_round() {
    let mut world = world().await;
    let dir = zoneinfo(&mut world, None);
    assert_eq!(kept(&world).await, set(["b2", "b3"]));
    assert!(!world.run(&["check"]).await.exits(0).stdout.contains("cannot be used"));
    fs::write(dir.join("America/Newtown"), older_rules()).unwrap();
    world.configure("", &DAILY.replace(VANCOUVER, "America/Newtown"), "");
    assert_eq!(kept(&world).await, set(["b0", "b3"]));
}

#[tokio::test]
async fn a_zone_is_an_iana_name_and_never_a_path() {
    let mut world = world().await;
    let dir = zoneinfo(&mut world, Some(&newer_rules()));
    fs::create_dir(dir.join("right")).unwrap();
    fs::write(world.dir().join("Outside"), newer_rules()).unwrap();
    for name in ["posixrules", "localtime", "right/UTC", "Factory"] {
        fs::write(dir.join(name), newer_rules()).unwrap();
    }
    let absolute = dir.join(VANCOUVER);
    let odd = [
        "../Outside",
        "America/../America/Vancouver",
        "../../etc/passwd",
        "posixrules",
        "localtime",
        "right/UTC",
        "Factory",
        "america/vancouver",
        "America",
        "America/Nowhere",
        "./UTC",
        absolute.to_str().unwrap(),
    ];
    for name in odd {
        world.configure("", &DAILY.replace(VANCOUVER, &format!("\"{name}\"")), "");
        world.run(&["check"]).await.exits(78).says("is not an IANA time zone");
    }
    world.configure("", &DAILY.replace(VANCOUVER, "America/Vancuver"), "");
    world
        .run(&["check"])
        .await
        .exits(78)
        .says("did you mean `America/Vancouver`?");
}

#[tokio::test]
async fn check_and_version_print_the_edition() {
    let compiled = rds_retentiond::retention::Zone::compiled_edition();
    let mut world = world().await;
    let dir = zoneinfo(&mut world, Some(&newer_rules()));
    let say = async |world: &World| {
        let check = world.run(&["check"]).await.exits(0).stdout;
        let check = check.split_whitespace().collect::<Vec<_>>().join(" ");
        let version = world.run(&["--version"]).await.exits(0).stdout;
        let line = version.lines().nth(1).expect("a second line").to_owned();
        assert!(check.contains(&line), "{line}\n{check}");
        assert_eq!(world.run(&["-V"]).await.exits(0).stdout.lines().count(), 1);
        line
    };
    let of = |edition: &str, dir: &Path| {
        format!(
            "time zone rules: {edition}, this host's ({}); compiled in: {compiled}",
            dir.display()
        )
    };
    assert_eq!(say(&world).await, of("unknown edition", &dir));
    fs::write(dir.join("version"), "2099a\n").unwrap();
    assert_eq!(say(&world).await, of("2099a", &dir));
    fs::write(dir.join("+VERSION"), "2099b\n").unwrap();
    assert_eq!(say(&world).await, of("2099b", &dir));
    fs::write(dir.join("tzdata.zi"), "# version 2099c\n# redo posix_only\n").unwrap();
    assert_eq!(say(&world).await, of("2099c", &dir));
    fs::write(dir.join("tzdata.zi"), "# version \u{1b}[31m2099\n").unwrap();
    assert_eq!(say(&world).await, of("2099b", &dir));
    let json = world.run(&["check", "--format", "json"]).await.exits(0).json();
    assert_eq!(json["zones"]["edition"], "2099b");
}

#[tokio::test]
async fn check_shows_the_next_run_by_the_newer_rules() {
    let mut world = world().await;
    let policy = DAILY.replace("keep:", "schedule: \"0 3 29 11 *\"\n    keep:");
    world.configure("", &policy, "");
    zoneinfo(&mut world, Some(&newer_rules()));
    let next = async |world: &World| {
        let check = world.run(&["check", "--format", "json"]).await.exits(0).json();
        check["policies"][0]["next_run"].as_str().unwrap().to_owned()
    };
    let newer = next(&world).await;
    assert!(newer.ends_with("-11-29T10:00:00Z"), "{newer}");
    zoneinfo(&mut world, Some(&older_rules()));
    let older = next(&world).await;
    assert!(older.ends_with("-11-29T11:00:00Z"), "{older}");
}
