//! Refused access keys on a shared state: the API locks a key after five refusals in a row, whichever daemon sent the requests.

use std::fmt::Write as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use rds_retentiond::simulator::Op;

use super::postgres_server::server;
use super::world::{World, ids};

fn refused(world: &World) -> usize {
    let calls = world.simulator.calls();
    calls.iter().filter(|call| call.status == Some(401)).count()
}

/// Killed when dropped.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn daemons(world: &World, count: usize) -> Vec<Daemon> {
    let start = |_| {
        let mut command = world.command(&["run"]);
        Daemon(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    };
    (0..count).map(start).collect()
}

/// Each has policies whose projects no other one of it has, so that all of them have a lease and ask at the same time.
#[tokio::test]
async fn two_refusals_of_a_key_count_for_all_daemons_and_the_right_secret_is_used_at_once() {
    let Some(server) = server() else { return };
    let mut world = World::new(&[10]).await;
    let database = server.database();
    let first = world.simulator.config_yaml();
    let (mut projects, mut policies) = (first.clone(), String::new());
    for number in 0..4 {
        if number > 0 {
            let other = first
                .replace("projects:\n", "")
                .replace("name: simulator", &format!("name: other{number}"))
                .replace(world.simulator.project_id(), &format!("{number:032x}"));
            projects.push_str(&other);
        }
        let project = if number == 0 {
            "simulator".to_owned()
        } else {
            format!("other{number}")
        };
        let _ = write!(
            policies,
            "\n  - {{name: p{number}, mode: enforce, schedule: \"* * * * * *\", select: {{projects: [{project}]}}, keep: {{last: 3}}, \
             grace: 0s, limits: {{max_percent: 100}}}}"
        );
    }
    world.configure(&projects, &policies, "");
    let text = std::fs::read_to_string(world.config_file()).unwrap();
    let state = format!("state: {{postgres: \"{}\"}}", server.url(&database));
    std::fs::write(world.config_file(), text.replace("state_dir: state", &state)).unwrap();
    world.set_env("HUAWEICLOUD_SDK_SK", "not-the-secret");
    let wrong = daemons(&world, 3);
    for round in 0.. {
        if refused(&world) >= 2 {
            break;
        }
        assert!(round < 300, "no request was refused");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // All of them have had their turn.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((refused(&world), world.simulator.lockouts()), (2, 0));
    // A person elsewhere who plans with the same wrong secret.
    world.run(&["plan"]).await.exits(77);
    assert_eq!(refused(&world), 2);
    drop(wrong);
    assert_eq!(world.simulator.calls_of(Op::DeleteBatch).len(), 0);
    // Their members and leases end by themselves; that takes 30 s.
    server.psql(&database, "DELETE FROM member; UPDATE lease SET expires = now()");
    let good = world.simulator.secret_key().to_owned();
    world.set_env("HUAWEICLOUD_SDK_SK", &good);
    let right = daemons(&world, 1);
    for round in 0.. {
        if world.deleted().len() == 7 {
            break;
        }
        assert!(round < 600, "the right secret is not used");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(right);
    world.deleted_exactly(&ids(1, 3..10));
    assert_eq!(refused(&world), 2);
}
