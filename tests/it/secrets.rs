//! Secrets appear in no output, log, metric or ledger, whatever the command and however loud the log.

use std::fs;
use std::path::Path;

use super::world::{World, backup_id};

const SECRET: &str = "s3cr3t-of-this-test-0123456789";
const TOKEN: &str = "t0k3n-of-this-test-9876543210==";

/// Every file below a directory, with its bytes.
fn files(dir: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

#[tokio::test]
async fn no_secret_is_printed_logged_measured_or_written() {
    let mut world = World::with(|options| {
        options.fleet = super::world::fleet(&[8]);
        options.keys[0].secret = SECRET.to_owned();
        options.keys[0].security_token = Some(TOKEN.to_owned());
    })
    .await;
    world.set_env("HUAWEICLOUD_SDK_SECURITY_TOKEN", TOKEN);
    world.set_env("RUST_BACKTRACE", "1");
    let metrics = world.dir().join("m.prom").display().to_string();
    let backup = backup_id(1, 1);
    let commands: Vec<Vec<&str>> = vec![
        vec!["check", "--online"],
        vec!["plan", "--format", "json"],
        vec!["plan", "--wide", "--all"],
        vec!["apply", "--format", "json", "--metrics-file", &metrics],
        vec!["hold", &backup, "--reason", "x"],
        vec!["holds"],
        vec!["release", &backup],
        vec!["freeze", "--reason", "y"],
        vec!["thaw"],
        vec!["approve", "p"],
        vec!["history"],
        vec!["audit", "export"],
        vec!["audit", "verify"],
        vec!["apply", "--no-such-flag"],
    ];
    let mut said = Vec::new();
    // Good, wrong secret, wrong token, and an API that answers nonsense.
    for round in 0..4 {
        match round {
            1 => world.set_env("HUAWEICLOUD_SDK_SK", &format!("{SECRET}-wrong")),
            2 => world.set_env("HUAWEICLOUD_SDK_SECURITY_TOKEN", &format!("{TOKEN}-wrong")),
            3 => world.fault("*:body=html"),
            _ => {}
        }
        for args in &commands {
            for format in ["text", "json"] {
                let mut args = args.clone();
                args.extend(["-vvv", "--log-format", format]);
                let ran = world.run(&args).await;
                said.push((format!("{args:?} stdout"), ran.stdout.into_bytes()));
                said.push((format!("{args:?} stderr"), ran.stderr.into_bytes()));
            }
        }
    }
    let volume: usize = said.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(volume > 20_000, "the log is loud: {volume} bytes");
    assert!(
        said.iter()
            .any(|(_, bytes)| holds(bytes, &world.simulator.access_key()[..4])),
        "the key's beginning may be shown, and is somewhere"
    );
    files(world.dir(), &mut said);
    assert!(said.iter().any(|(name, _)| name.ends_with("ledger.sqlite3")));
    assert!(said.iter().any(|(name, _)| name.ends_with("m.prom")));
    for (name, bytes) in &said {
        for secret in [SECRET, TOKEN, world.simulator.access_key()] {
            assert!(!holds(bytes, secret), "{secret} in {name}");
        }
    }
    assert!(!world.deleted().is_empty(), "the commands did something");
}
