//! Keys that were refused: how often they are tried, and when again.

use super::super::credentials::fingerprint;
use super::*;

fn key(secret: &str) -> Fingerprint {
    fingerprint("AKID", secret, None)
}

async fn waits<T>(future: impl Future<Output = T>) -> bool {
    tokio::time::timeout(Duration::from_secs(1), future).await.is_err()
}

async fn refused(guard: &KeyLockout, key: &Fingerprint, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    guard.enter(key).await.expect("not blocked").refused(false, now)
}

#[tokio::test(start_paused = true)]
async fn an_unproven_key_is_tried_by_one_request_at_a_time() {
    let (guard, k) = (KeyLockout::default(), key("k"));
    let early = guard.enter(&k).await.unwrap();
    assert!(waits(guard.enter(&k)).await, "a key never seen before is unproven");
    guard.invalidate(&k);
    early.proven();
    drop(early);
    let alone = guard.enter(&k).await.unwrap();
    assert!(
        waits(guard.enter(&k)).await,
        "an answer from before the doubt settles nothing"
    );
    assert!(!waits(guard.enter(&key("other"))).await, "other keys are not held up");
    alone.proven();
    let second = guard.enter(&k).await.unwrap();
    let third = guard.enter(&k).await.unwrap();
    drop((alone, second, third));
}

#[tokio::test(start_paused = true)]
async fn two_refusals_block_and_are_reported_before_any_other_request_starts() {
    let reported = Arc::new(Mutex::new(Vec::new()));
    let observed = Arc::clone(&reported);
    let guard = KeyLockout::new(Arc::new(move |refusal| observed.lock().unwrap().push(refusal.clone())));
    let (now, k) = (crate::clock::now(), key("k"));
    assert_eq!(refused(&guard, &k, now).await, None);
    assert_eq!(reported.lock().unwrap().len(), 1);
    let second = guard.enter(&k).await.unwrap();
    let waiting = tokio::spawn({
        let (guard, k) = (guard.clone(), k.clone());
        async move { guard.enter(&k).await.map(drop) }
    });
    tokio::task::yield_now().await;
    let until = now + TimeDelta::minutes(15);
    assert_eq!(second.refused(true, now), Some(until));
    assert_eq!(reported.lock().unwrap()[1].blocked_until, Some(until));
    drop(second);
    assert!(waiting.await.unwrap().is_err(), "what waited fails at once");
    let restarted = KeyLockout::default();
    restarted.restore(reported.lock().unwrap().clone(), now);
    assert!(restarted.enter(&k).await.is_err());
    assert_eq!(restarted.blocked_until(&k, now), Some(until));
    assert!(
        restarted.enter(&fingerprint("AKID2", "k", None)).await.is_ok(),
        "another access key is another key"
    );
    tokio::time::advance(BLOCKED_FOR).await;
    for guard in [guard, restarted] {
        assert_eq!(guard.blocked_until(&k, until), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_secret_is_tried_once_and_five_refusals_are_the_end_for_the_hour() {
    let (guard, now) = (KeyLockout::default(), crate::clock::now());
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    assert_eq!(refused(&guard, &key("1"), now).await, None);
    assert!(refused(&guard, &key("1"), now).await.is_some());
    for nth in 2..=4 {
        tokio::time::advance(minutes(1)).await;
        let until = refused(&guard, &key(&nth.to_string()), now).await;
        let left = if nth == 4 { minutes(57) } else { BLOCKED_FOR };
        assert_eq!(until, Some(now + left), "{nth}");
    }
    assert!(guard.enter(&key("right")).await.is_err());
    assert!(guard.enter(&fingerprint("OTHER", "right", None)).await.is_ok());
    tokio::time::advance(minutes(57)).await;
    assert!(guard.enter(&key("right")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_changed_is_a_changed_key_and_one_that_was_proven_is_tried_twice() {
    let (guard, now) = (KeyLockout::default(), crate::clock::now());
    let with = |token| fingerprint("AKID", "s", Some(token));
    assert_eq!(refused(&guard, &with("a"), now).await, None);
    assert!(refused(&guard, &with("a"), now).await.is_some());
    guard.enter(&with("b")).await.unwrap().proven();
    assert_eq!(refused(&guard, &with("b"), now).await, None);
    assert!(refused(&guard, &with("b"), now).await.is_some());
}

/// Each block and each refusal was noted under a clock in 2043.
#[tokio::test(start_paused = true)]
async fn what_a_wrong_clock_noted_counts_for_no_longer_than_it_would() {
    let now = crate::clock::now();
    let noted = |nth: i64| RefusedKey {
        key: key(&nth.to_string()),
        at: now + TimeDelta::days(6000 + nth),
        blocked_until: Some(now + TimeDelta::days(6001 + nth)),
    };
    let guard = KeyLockout::default();
    guard.restore((1..=4).map(noted), now);
    assert_eq!(guard.blocked_until(&key("1"), now), None);
    guard.restore((1..=5).map(noted), now);
    assert_eq!(guard.blocked_until(&key("right"), now), Some(now + HOUR));
    tokio::time::advance(HOUR).await;
    assert_eq!(guard.blocked_until(&key("right"), now), None);
}

#[tokio::test(start_paused = true)]
async fn a_proof_between_two_refusals_starts_the_count_again() {
    let (guard, now, k) = (KeyLockout::default(), crate::clock::now(), key("k"));
    for _ in 0..4 {
        assert_eq!(refused(&guard, &k, now).await, None);
        guard.enter(&k).await.unwrap().proven();
    }
    assert!(refused(&guard, &k, now).await.is_some(), "the fifth within the hour");
}
