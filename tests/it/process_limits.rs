//! A process that may not write files of any size: an error with an exit code, never a signal, and nothing is sent that is not
//! recorded.

use std::process::Command;

use super::world::{Ran, World, ids, output};

/// Runs a command under a limit of the shell's `ulimit`.
async fn limited(world: &World, limit: &str, args: &[&str]) -> Ran {
    let plain = world.command(args);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", &format!("ulimit {limit}; exec \"$0\" \"$@\"")])
        .arg(plain.get_program())
        .args(plain.get_args())
        .env_clear()
        .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    output(limited).await
}

#[tokio::test]
async fn a_file_that_may_not_grow_is_an_error_and_where_it_may_it_deletes() {
    for blocks in [0, 1, 64, 200, 400, 420, 440] {
        let world = World::new(&[53; 4]).await;
        let limit = format!("-f {blocks}");
        let ran = limited(&world, &limit, &["apply", "--format", "json"]).await;
        assert_eq!(ran.code, 1, "{blocks}: {ran:?}");
        assert!(
            ran.stderr.contains("ulimit -f") || ran.stderr.contains("File too large"),
            "{blocks}: {ran:?}"
        );
        let recorded = world.run(&["audit", "export"]).await.stdout;
        let sent = world.asked();
        assert!(sent.iter().all(|id| recorded.contains(id)), "{blocks}: {sent:?}");
        world.apply().await.exits(0);
        world.run(&["audit", "verify"]).await.exits(0);
    }
    let world = World::new(&[8]).await;
    limited(&world, "-f 100000", &["apply"]).await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
}
