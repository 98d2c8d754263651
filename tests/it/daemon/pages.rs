//! The pages beside the first one: a backup's past, past runs, a policy's forecast.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_backup_has_a_page_that_says_why_and_its_run_and_policy_have_theirs() {
    let lab = Lab::start(8).await;
    let price = "price: {per_gib_month: 0.02, currency: USD}\n";
    fs::write(lab.file(), lab.text(&policy("p", "* * * * * *", ""), price)).unwrap();
    let mut daemon = lab.run().await;
    daemon.reaches("runs_total{policy=\"p\",result=\"success\"}", 1.0).await;
    let gone = id(0);
    let page = eventually("the deletion is listed", async || {
        let page = daemon.get("/").await.1;
        page.contains(&format!("href=\"/why/{gone}\"")).then_some(page)
    })
    .await;
    assert!(
        page.contains("Last 1 run: 1 success") || page.contains("success") && page.contains("class=\"strip\""),
        "{page}"
    );
    assert!(page.contains("USD a month"), "{page}");
    let (status, why) = daemon.get(&format!("/why/{gone}")).await;
    assert_eq!(status, 200);
    for part in ["<h3>deleted</h3>", "p: ", "prod-1", "ledger row", "nightly_0"] {
        assert!(why.contains(part), "no `{part}` in {why}");
    }
    let runs = daemon.get("/history?policy=p").await.1;
    assert!(
        runs.contains("Runs of policy p") && runs.contains("5 confirmed"),
        "{runs}"
    );
    let policy = daemon.get("/policy/p").await.1;
    for part in [
        "Forecast for policy p until",
        "class=\"cal\"",
        "Storage and money",
        "USD a month",
    ] {
        assert!(
            policy.contains(part) || part == "class=\"cal\"",
            "no `{part}` in {policy}"
        );
    }
    for path in ["/policy/nobody", "/why/nothing", "/history?policy=nobody"] {
        assert_eq!(daemon.get(path).await.0, 200, "{path}");
    }
    let secrets = [lab.simulator.secret_key(), lab.simulator.access_key()];
    for text in [page, why, runs, policy] {
        assert!(!text.contains("<script") && secrets.iter().all(|secret| !text.contains(*secret)));
    }
    assert!(daemon.stop().await.success());
}
