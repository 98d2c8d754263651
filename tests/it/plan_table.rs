//! `plan` and `apply` for people: the numbers first, a line an instance of a large fleet, names instead of ids, and what an expired
//! backup lacks.

use rds_retentiond::simulator::{Fleet, Instance};

use super::world::{World, backup, ids, instance_id};

const KEEP_3_DRY: &str = "
  - name: p
    mode: dry-run
    keep: {last: 3}
";

/// Twelve instances named `prod-1` to `prod-12`, of so many backups each.
async fn fleet_of_twelve(backups: usize) -> World {
    World::with(|options| {
        let created = rds_retentiond::clock::now() - chrono::TimeDelta::days(2000);
        options.fleet = Fleet::Given {
            instances: (1..=12)
                .map(|number| Instance::sql_server(&instance_id(number), &format!("prod-{number}"), created))
                .collect(),
            backups: (1..=12)
                .flat_map(|of| (0..backups).map(move |nth| backup(of, nth)))
                .collect(),
        };
    })
    .await
}

fn place(text: &str, part: &str) -> usize {
    text.find(part).unwrap_or_else(|| panic!("no `{part}` in:\n{text}"))
}

#[tokio::test]
async fn a_large_plan_has_its_numbers_first_and_a_line_an_instance_in_natural_order() {
    let world = fleet_of_twelve(20).await;
    let plan = world.run(&["plan"]).await.exits(0).stdout;
    assert!(plan.starts_with("Summary at "), "{plan}");
    assert!(plan.lines().count() < 40, "{plan}");
    let names: Vec<&str> = plan
        .lines()
        .filter_map(|line| line.strip_prefix("  prod-"))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let wanted: Vec<String> = (1..=12).map(|number| number.to_string()).collect();
    assert_eq!(names, wanted, "{plan}");
    assert!(!plan.contains("nightly-"), "{plan}");
    // Everything on request, and everything of one instance by its name.
    let all = world.run(&["plan", "--all"]).await.exits(0).stdout;
    assert_eq!(all.matches("nightly-").count(), 240, "{all}");
    let one = world.run(&["plan", "--instance", "prod-12"]).await.exits(0).stdout;
    assert_eq!(one.matches("nightly-").count(), 20, "{one}");
    // The honest twin: what the table announces is deleted.
    world.run(&["apply", "--all"]).await.exits(0);
    let wanted = (1..=12).flat_map(|of| ids(of, 3..20)).collect();
    world.deleted_exactly(&wanted);
}

#[tokio::test]
async fn refused_instances_are_named_once_and_by_their_names() {
    let world = fleet_of_twelve(20).await;
    world.policies("\n  - name: p\n    mode: enforce\n    grace: 0s\n    keep: {last: 3}\n");
    for command in ["plan", "apply"] {
        let table = world.run(&[command]).await.stdout;
        let refused = &table[place(&table, "Refused by the guard")..place(&table, "policy p, ")];
        assert!(
            refused.contains("12 instances are left alone: prod-1 (17 of 20), prod-2 (17 of 20)"),
            "{table}"
        );
        assert!(!table[..place(&table, "policy p, ")].contains("in04"), "{table}");
        assert_eq!(table.matches("prod-1 (17 of 20)").count(), 1, "{table}");
    }
    world.deleted_exactly(&ids(1, 0..0));
    world.policies(
        "\n  - name: p\n    mode: enforce\n    grace: 0s\n    keep: {last: 3}\n    limits: {max_percent: 100}\n",
    );
    world.run(&["apply"]).await.exits(0);
    world.deleted_exactly(&(1..=12).flat_map(|of| ids(of, 3..20)).collect());
}

#[tokio::test]
async fn a_dry_run_says_how_many_of_how_many_instances_would_be_refused() {
    let world = World::new(&[20, 20, 4]).await;
    world.policies(KEEP_3_DRY);
    for command in ["plan", "apply"] {
        let table = world.run(&[command]).await.exits(0).stdout;
        assert!(table.contains("refused when enforced"), "{table}");
        assert!(
            table.contains("p: max_percent would refuse 2 of 3 instances: "),
            "{table}"
        );
        assert!(table.contains("mssql-1 (17 of 20), mssql-2 (17 of 20)"), "{table}");
    }
    world.deleted_exactly(&ids(1, 0..0));
}

#[tokio::test]
async fn an_expired_backup_says_what_it_lacks() {
    let world = World::new(&[20]).await;
    world.policies(
        "\n  - name: p\n    mode: enforce\n    grace: 0s\n    keep: {last: 2, daily: 3, within: 5d, monthly: 12}\n    limits: {max_percent: 100}\n",
    );
    let plan = world.run(&["plan", "--all"]).await.exits(0).stdout;
    let goes: Vec<&str> = plan.lines().filter(|line| line.contains("  delete  ")).collect();
    assert!(goes.len() > 10, "{plan}");
    for line in goes {
        assert!(
            line.contains("no slot left in last 2, daily 3; older than within 5d; a newer one kept in its month"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_column_in_which_nothing_is_said_is_left_out() {
    let world = World::new(&[5]).await;
    let plan = world.run(&["plan"]).await.exits(0).stdout;
    let header = plan.lines().find(|line| line.contains("BACKUP")).unwrap();
    assert!(!header.contains("UNTIL"), "{plan}");
    world.policies("\n  - name: p\n    mode: enforce\n    keep: {last: 3}\n    limits: {max_percent: 100}\n");
    let plan = world.run(&["plan"]).await.exits(0).stdout;
    let header = plan.lines().find(|line| line.contains("BACKUP")).unwrap();
    assert!(header.contains("UNTIL"), "a grace period ends: {plan}");
}
