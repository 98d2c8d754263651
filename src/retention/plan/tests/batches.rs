//! Batches: of one project, fifty at most, oldest first, each id once, and only ever smaller.

use super::*;

fn passed(name: &str, instances: impl IntoIterator<Item = InstanceDue>) -> ApprovedPlan {
    let policy = Policy {
        name: name.into(),
        ..policy(limits(100_000, 100, OverLimit::Refuse))
    };
    let good = ClockCheck::Skew(TimeDelta::zero());
    plan(policy, instances)
        .approve(&Conditions {
            now: now(),
            freeze: None,
            clocks: &BTreeMap::from([("a".into(), good), ("b".into(), good)]),
            approved: &HashSet::new(),
        })
        .plan
}

#[test]
fn batches_are_of_one_project_fifty_at_most_oldest_first_each_id_once() {
    let (one, two, other) = (instance("i1", "a"), instance("i2", "a"), instance("i3", "b"));
    let plans = vec![
        passed("first", [due(&one, (0..60).rev(), 100), due(&other, [500], 100)]),
        passed("second", [due(&two, [60, 61], 100), due(&one, [0, 59], 100)]),
    ];
    let batches = ApprovedPlan::batches(plans).into_iter().flatten().collect::<Vec<_>>();
    let sizes: Vec<(&str, usize)> = batches
        .iter()
        .map(|batch| (batch.project().as_str(), batch.len()))
        .collect();
    assert_eq!(sizes, [("a", 50), ("a", 12), ("b", 1)]);
    let ids = batches[..2].iter().flat_map(Batch::ids).map(BackupId::as_str);
    assert!(ids.eq((0..62).map(|number| format!("b{number:03}")).collect::<Vec<_>>()));
    // The first plan that names an id answers for it.
    let policy_of = |id: &str| {
        let mut items = batches.iter().flat_map(Batch::items);
        items
            .find(|item| item.candidate.id.as_str() == id)
            .unwrap()
            .policy
            .to_string()
    };
    assert_eq!(
        (policy_of("b059").as_str(), policy_of("b060").as_str()),
        ("first", "second")
    );
    let touched: Vec<&str> = batches[1]
        .items()
        .iter()
        .map(|item| item.candidate.instance.id.as_str())
        .collect();
    assert_eq!(touched.len(), 12);
    let instances: Vec<String> = batches[1]
        .instances()
        .iter()
        .map(|instance| instance.id.to_string())
        .collect();
    assert_eq!(instances, ["i1", "i2"]);
}

#[test]
fn what_was_cut_off_is_counted_and_its_room_given_back() {
    let one = instance("i1", "a");
    let mut batches = ApprovedPlan::batches(vec![passed("p", [due(&one, 0..10_000, 10_000)])]).remove(0);
    assert_eq!(batches.ids(), 10_000);
    batches.left.shrink_to_fit();
    let capacity = batches.left.capacity();
    for cut in 1..=200 {
        assert_eq!(batches.next().map(|batch| batch.len()), Some(50));
        assert_eq!(batches.ids(), 10_000 - 50 * cut);
        assert!(
            batches.left.capacity() - batches.left.len() <= batch::SPARE,
            "after {cut}"
        );
        // Not each time: that would be a copy for each batch.
        let is_given_back = batches.left.capacity() < capacity;
        assert_eq!(
            is_given_back,
            capacity - batches.left.len() > batch::SPARE,
            "after {cut}"
        );
    }
    assert!(batches.next().is_none());
}

#[test]
fn a_batch_only_shrinks_and_is_split_down_to_one() {
    let one = instance("i1", "a");
    let mut batch = ApprovedPlan::batches(vec![passed("p", [due(&one, 0..5, 100)])])
        .into_iter()
        .flatten()
        .next()
        .unwrap();
    batch.retain(|item| item.candidate.id.as_str() != "b002");
    assert_eq!(batch.len(), 4);
    let (first, second) = batch.split().unwrap();
    let ids = |batch: &Batch| batch.ids().map(BackupId::to_string).collect::<Vec<_>>();
    assert_eq!(
        (ids(&first), ids(&second)),
        (
            vec!["b000".to_owned(), "b001".to_owned()],
            vec!["b003".to_owned(), "b004".to_owned()]
        )
    );
    assert_eq!(second.project().as_str(), "a");
    let (mut one, rest) = first.split().unwrap();
    assert_eq!((one.len(), rest.len()), (1, 1));
    assert!(!one.is_empty());
    one = one.split().unwrap_err();
    one.retain(|_| false);
    assert!(one.is_empty() && one.split().is_err());
}
