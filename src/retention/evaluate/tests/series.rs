//! Partial backups and the floor of each series.

use super::*;

#[test]
fn partial_backups_never_use_up_the_slots_of_full_ones() {
    let backups = [
        partial("p3", "2026-01-06T00:00:00Z", &["sales"]),
        partial("p2", "2026-01-05T00:00:00Z", &["sales"]),
        backup("full2", "2026-01-04T00:00:00Z"),
        partial("p1", "2026-01-03T00:00:00Z", &["sales", "hr"]),
        backup("full1", "2026-01-02T00:00:00Z"),
    ];
    let fates = fates(
        &policy(&[KeepRule::Last(count(1))]),
        &backups,
        &[],
        "2026-02-01T00:00:00Z",
    );
    // full2 by the full series and hr's (p1 gave way to it), p3 by sales'.
    assert_eq!(kept(&fates), ["full2", "p3"]);
    assert_eq!(reasons(&fates["p3"])[0].series, Some(Series::Database("sales".into())));
    let series: Vec<_> = reasons(&fates["full2"])
        .iter()
        .map(|r| r.series.clone().unwrap())
        .collect();
    assert_eq!(series, [Series::Full, Series::Database("hr".into())]);
}

#[test]
fn the_floor_holds_in_every_series() {
    let mut policy = policy(&[KeepRule::Last(count(1))]);
    policy.min_backups = NonZeroU32::new(2).unwrap();
    policy.max_age = Some(span("1d"));
    let backups = [
        partial("p", "2026-01-03T00:00:00Z", &["sales"]),
        backup("b", "2026-01-02T00:00:00Z"),
        backup("a", "2026-01-01T00:00:00Z"),
    ];
    assert_eq!(
        kept(&fates(&policy, &backups, &[], "2027-01-01T00:00:00Z")),
        ["a", "b", "p"]
    );
}
