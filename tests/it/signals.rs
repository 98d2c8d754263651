//! Signals that come early, and to commands that do not wait for them.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::world::{KEEP_3, World};

/// A mask of signals of a process, signal 1 in the lowest bit.
fn mask_of(child: &Child, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap()
}

/// Waits until a process catches SIGHUP; what else it may do then is its own.
async fn catches_hangup(child: &Child) {
    for _ in 0..6_000 {
        if mask_of(child, "SigCgt:") & 1 == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never catches SIGHUP");
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args(["-s", name, &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

async fn output(child: Child) -> std::process::Output {
    tokio::task::spawn_blocking(move || child.wait_with_output().unwrap())
        .await
        .unwrap()
}

/// A command whose configuration comes from a pipe: it stands still, at its very beginning, until it is written.
async fn begun(world: &World, command: &str) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rds-retentiond"))
        .args(["--config", "/dev/stdin", command])
        .env_clear()
        .envs(world.simulator.environment())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    catches_hangup(&child).await;
    assert!(child.try_wait().unwrap().is_none());
    child
}

/// K13: it ended the process, and systemd calls that clean.
#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_before_the_daemon_listens_is_a_reload() {
    let world = World::new(&[5]).await;
    let mut child = begun(&world, "run").await;
    signal(&child, "HUP");
    let text = std::fs::read_to_string(world.config_file()).unwrap();
    let text = text.replace("state_dir: state", &format!("state_dir: {}", world.state().display()));
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    // Its first look finds an empty pipe, which is bad and changes nothing.
    tokio::time::sleep(Duration::from_secs(2)).await;
    signal(&child, "TERM");
    let ended = output(child).await;
    let log = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(0), "{log}");
    assert!(log.contains("SIGHUP: looking at the configuration"), "{log}");
    assert!(log.contains("stopped"), "{log}");
}

/// The first process of a container has no default action: without a handler it ignores SIGTERM.
#[tokio::test(flavor = "multi_thread")]
async fn every_command_ends_at_once_when_it_is_told_to() {
    let world = World::new(&[5]).await;
    for command in ["check", "plan", "holds", "history"] {
        for (name, code) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
            let mut child = begun(&world, command).await;
            // Held open: the end of the file would end the command, too.
            let _held = child.stdin.take();
            // A shell starts what it runs in the background so, and then it stays ignored.
            if name == "INT" && mask_of(&child, "SigIgn:") & 0b10 != 0 {
                continue;
            }
            signal(&child, name);
            let ended = output(child).await;
            assert_eq!(ended.status.code(), Some(code), "{command} {name}: {ended:?}");
        }
    }
    // While it waits for an answer.
    world.policies(KEEP_3);
    world.fault("list_instances:delay=600s");
    let mut command = world.command(&["check", "--online"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let asked = || !world.simulator.calls().is_empty();
    for _ in 0..6_000 {
        if asked() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(asked());
    signal(&child, "TERM");
    let ended = output(child).await;
    assert_eq!((ended.status.code(), ended.status.signal()), (Some(143), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nohup_ignores_stays_ignored() {
    let world = World::new(&[5]).await;
    let mut child = Command::new("sh")
        .args(["-c", "trap '' HUP; exec \"$0\" --config /dev/stdin check"])
        .arg(env!("CARGO_BIN_EXE_rds-retentiond"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // SIGTERM is caught once it is the program and no longer the shell.
    let file = format!("/proc/{}/status", child.id());
    for _ in 0..6_000 {
        let status = std::fs::read_to_string(&file).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        if status.contains("Name:\trds-retention") && u64::from_str_radix(mask.trim(), 16).unwrap() >> 14 & 1 == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    signal(&child, "HUP");
    let text = std::fs::read_to_string(world.config_file()).unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let ended = output(child).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}
