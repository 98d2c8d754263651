//! What a frozen daemon says of the freeze: on the page, in the status, in the log.

use std::fs;

use super::{Lab, eventually, policy};

#[tokio::test]
async fn a_freeze_of_the_configuration_is_ended_there_and_thaw_is_nowhere() {
    let lab = Lab::start(20).await;
    let text = lab.text(&policy("p", "* * * * * *", ""), "freeze: {reason: audit}\n");
    fs::write(lab.file(), &text).unwrap();
    let daemon = lab.run().await;
    daemon
        .reaches("guard_refusals_total{limit=\"freeze\",policy=\"p\"}", 1.0)
        .await;
    let line = text.lines().position(|line| line.starts_with("freeze:")).unwrap() + 1;
    let place = format!("take `freeze` out of {}:{line}", lab.file().display());
    let page = eventually("the page shows it", async || {
        let page = daemon.get("/").await.1;
        page.contains(&place).then_some(page)
    })
    .await;
    let status = daemon.get("/api/v1/status").await.1;
    daemon.says("frozen (audit)").await;
    for (of, text) in [("page", page), ("status", status), ("log", daemon.log())] {
        assert!(!text.contains("thaw"), "{of}: {text}");
    }
    // By command, too: then it says both.
    let mut command = lab.command();
    command.args(["freeze", "--reason", "mine", "--no-wait"]);
    assert!(command.output().unwrap().status.success());
    eventually("the page shows both", async || {
        let page = daemon.get("/").await.1;
        (page.contains(&place) && page.contains(" thaw f1</code>")).then_some(())
    })
    .await;
}
