//! What a refused run tells people to do, where it could send them to a command that does not help.

use super::world::{KEEP_3, World, ids};

/// A freeze that stands in the configuration is not ended by `thaw`; one that was placed by command is.
#[tokio::test]
async fn thaw_is_named_only_where_it_ends_the_freeze() {
    let world = World::new(&[8]).await;
    let freeze = "freeze: {reason: audit}";
    world.policies_and(KEEP_3, freeze);
    let file = std::fs::read_to_string(world.config_file()).unwrap();
    let line = file.lines().position(|line| line == freeze).unwrap() + 1;
    let place = format!("take `freeze` out of {}:{line}", world.config_file().display());
    for command in ["plan", "apply"] {
        let ran = world.run(&[command]).await;
        let said = unwrapped(&format!("{} {}", ran.stdout, ran.stderr));
        assert!(said.contains(&place) && !said.contains("thaw"), "{command}: {said}");
        let ran = world.run(&[command, "--format", "json"]).await;
        assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("thaw"), "{ran:?}");
    }
    let backup = super::world::backup_id(1, 5);
    let why = unwrapped(&world.run(&["why", &backup]).await.stdout);
    assert!(why.contains(&place) && !why.contains("thaw"), "{why}");

    world.run(&["freeze", "--reason", "mine"]).await.exits(0);
    let said = unwrapped(&world.run(&["apply"]).await.exits(3).stdout);
    assert!(said.contains("thaw f1, and ") && said.contains(&place), "{said}");

    world.policies(KEEP_3);
    let said = unwrapped(&world.run(&["apply"]).await.exits(3).stdout);
    assert!(said.contains("thaw f1") && !said.contains("take `freeze`"), "{said}");
    world.deleted_exactly(&ids(1, []));
    world.run(&["thaw", "f1"]).await.exits(0);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
}

/// Without the breaks at a terminal's end.
fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The SDK's other place for a project id is not followed, and whoever fills it learns so (J).
#[tokio::test]
async fn a_project_id_beside_the_configuration_that_differs_warns() {
    const WARNING: &str = "names another project id than the one that is used here";
    for (id, differs) in [("ffffffffffffffffffffffffffffffff", true), ("", false)] {
        let mut world = World::new(&[8]).await;
        let id = if differs {
            id.to_owned()
        } else {
            world.simulator.project_id().to_owned()
        };
        world.set_env("HUAWEICLOUD_SDK_PROJECT_ID", &id);
        let ran = world.apply().await.exits(0);
        assert_eq!(
            ran.stderr.matches(WARNING).count(),
            usize::from(differs),
            "{}",
            ran.stderr
        );
        world.deleted_exactly(&ids(1, 3..8));
    }
    for differs in [true, false] {
        let world = World::new(&[8]).await;
        let simulator = &world.simulator;
        let id = if differs {
            "f".repeat(32)
        } else {
            simulator.project_id().to_owned()
        };
        let (access, secret) = (simulator.access_key(), simulator.secret_key());
        let profile = world.dir().join("credentials");
        std::fs::write(
            &profile,
            format!("[basic]\nak = {access}\nsk = {secret}\nproject_id = {id}\n"),
        )
        .unwrap();
        let source = format!("{{source: profile, path: \"{}\"}}", profile.display());
        let projects = simulator.config_yaml().replace("{source: environment}", &source);
        world.configure(&projects, KEEP_3, "");
        let ran = world.apply().await.exits(0);
        assert_eq!(
            ran.stderr.matches(WARNING).count(),
            usize::from(differs),
            "{}",
            ran.stderr
        );
        world.deleted_exactly(&ids(1, 3..8));
    }
}

/// A pattern that matches nothing takes its policies' protection away (E5): the message says which, and where it stands.
#[tokio::test]
async fn an_include_pattern_that_matches_nothing_is_named_with_its_file_and_line() {
    let world = World::new(&[8]).await;
    let include = "include: [\"policies.d/*.yaml\"]";
    world.policies_and(KEEP_3, include);
    let file = std::fs::read_to_string(world.config_file()).unwrap();
    let line = file.lines().position(|line| line == include).unwrap() + 1;
    let place = format!("{}:{line}", world.config_file().display());
    for command in ["check", "apply"] {
        let ran = world.run(&[command]).await.exits(78);
        let said = unwrapped(&format!("{} {}", ran.stdout, ran.stderr));
        assert!(
            said.contains("`policies.d/*.yaml` matches no file"),
            "{command}: {said}"
        );
        assert!(said.contains(&place), "{command}, {place}: {said}");
    }
    world.deleted_exactly(&ids(1, []));
    std::fs::create_dir(world.dir().join("policies.d")).unwrap();
    std::fs::write(
        world.dir().join("policies.d/none.yaml"),
        "policies: [{name: q, mode: dry-run, keep: {last: 1}, select: {instances: {ids: [none]}}}]\n",
    )
    .unwrap();
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
}
