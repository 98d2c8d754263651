//! Refusals in words, by instance name, each limit once however many instances it holds back.
//!
//! [`Refusal`]'s own words name one instance by its id, for machines; these are for people.

use super::Natural;
use crate::retention::report::{PolicyReport, RefusalRecord, RunNumbers};
use crate::retention::{InstanceId, Refusal, RunReport};

/// Instances that are named; the others are a number.
const NAMED: usize = 8;
/// The same in a log line, which holds a command, too.
const NAMED_IN_A_LINE: usize = 2;

/// What one limit holds back.
#[derive(Clone, Debug)]
pub struct RefusalInWords<'a> {
    /// In words. Names are as the cloud gave them, not escaped.
    pub text: String,
    /// One of the refusals, for what lifts it ([`super::remedies::remedy`]).
    pub refusal: &'a Refusal,
}

/// Records that are kept of one policy's run.
const MOST_RECORDS: usize = 20;

/// What the guard held back of one policy in a run.
pub fn records(report: &RunReport, policy: &PolicyReport) -> Vec<RefusalRecord> {
    let said = by_limit(&policy.refusals, &|id| report.name_of(id).to_string());
    let record = |RefusalInWords { text, refusal }: RefusalInWords<'_>| RefusalRecord {
        limit: refusal.limit().to_owned(),
        message: text,
        listing: match refusal {
            Refusal::Shrink { project, instance, .. } => Some(
                instance
                    .as_ref()
                    .map_or_else(|| project.to_string(), ToString::to_string),
            ),
            _ => None,
        },
    };
    said.into_iter().take(MOST_RECORDS).map(record).collect()
}

/// What the ledger remembers of what was held back; runs of older programs left no more than the limits.
pub fn remembered(numbers: &RunNumbers) -> Vec<RefusalRecord> {
    if !numbers.refusals.is_empty() {
        return numbers.refusals.clone();
    }
    let mut limits = numbers.refused.clone();
    limits.dedup();
    let record = |limit: String| RefusalRecord {
        message: format!("refused by {limit}; the next run says more"),
        limit,
        listing: None,
    };
    limits.into_iter().map(record).collect()
}

/// The refusals with those of one kind together, in the order in which each kind comes first. `name` gives an instance's name.
pub fn by_limit<'a>(refusals: &'a [Refusal], name: &dyn Fn(&InstanceId) -> String) -> Vec<RefusalInWords<'a>> {
    grouped(refusals, name, NAMED)
}

/// The same in few words, for the log.
pub fn in_a_line<'a>(refusals: &'a [Refusal], name: &dyn Fn(&InstanceId) -> String) -> Vec<RefusalInWords<'a>> {
    grouped(refusals, name, NAMED_IN_A_LINE)
}

/// Whether a policy's line names the instance that is refused, together with the others that the same limit holds back.
pub fn is_named_with_others(refusal: &Refusal) -> bool {
    is_of_one_kind(refusal, refusal)
}

fn grouped<'a>(refusals: &'a [Refusal], name: &dyn Fn(&InstanceId) -> String, named: usize) -> Vec<RefusalInWords<'a>> {
    let mut groups: Vec<Vec<&Refusal>> = Vec::new();
    for refusal in refusals {
        match groups.iter_mut().find(|group| is_of_one_kind(group[0], refusal)) {
            Some(group) => group.push(refusal),
            None => groups.push(vec![refusal]),
        }
    }
    groups
        .into_iter()
        .map(|group| RefusalInWords {
            text: words(&group, name, named),
            refusal: group[0],
        })
        .collect()
}

/// Whether one sentence, and one way out, is enough for both. Each shrunken listing is approved by itself.
fn is_of_one_kind(a: &Refusal, b: &Refusal) -> bool {
    match (a, b) {
        (Refusal::MaxPercent { percent: a, .. }, Refusal::MaxPercent { percent: b, .. }) => a == b,
        (Refusal::RequireBackupWithin { within: a, .. }, Refusal::RequireBackupWithin { within: b, .. }) => a == b,
        _ => false,
    }
}

fn words(group: &[&Refusal], name: &dyn Fn(&InstanceId) -> String, named: usize) -> String {
    let mut by_name: Vec<(Natural<'_>, String)> = Vec::with_capacity(group.len());
    let of_each: Vec<Option<String>> = group.iter().map(|refusal| refusal.instance().map(name)).collect();
    for (refusal, name) in group.iter().zip(&of_each) {
        let Some(name) = name else { continue };
        let detail = match refusal {
            Refusal::MaxPercent { planned, of, .. } => format!("{planned} of {of}"),
            Refusal::RequireBackupWithin { newest, .. } => newest.map_or_else(
                || "none".to_owned(),
                |newest| format!("newest {} UTC", newest.format("%Y-%m-%d %H:%M")),
            ),
            _ => String::new(),
        };
        by_name.push((Natural(name), detail));
    }
    by_name.sort();
    let mut listed: Vec<String> = by_name
        .iter()
        .take(named)
        .map(|(name, detail)| format!("{} ({detail})", name.0))
        .collect();
    if let Some(more) = by_name.len().checked_sub(named).filter(|more| *more > 0) {
        listed.push(format!("and {more} more"));
    }
    let (listed, are) = (listed.join(", "), if group.len() == 1 { "is" } else { "are" });
    // A line of the log is short.
    let of = if named == NAMED_IN_A_LINE {
        ""
    } else {
        " of the COMPLETED backups"
    };
    match group[0] {
        Refusal::MaxPercent { percent, .. } => format!(
            "deletions exceed max_percent {percent}{of}; {} {are} left alone: {listed}",
            instances(group.len())
        ),
        Refusal::RequireBackupWithin { within, .. } => format!(
            "no finished full backup, manual or automated, within {within}; {} {are} left alone until one is made: {listed}",
            instances(group.len())
        ),
        Refusal::Shrink {
            instance: Some(_),
            expected,
            found,
            ..
        } => format!(
            "{}: the listing fell from {expected} to {found} manual backups: it is left alone for 7 days, or until `approve --listing`",
            of_each[0].as_deref().unwrap_or_default()
        ),
        other => other.to_string(),
    }
}

fn instances(count: usize) -> String {
    if count == 1 {
        "1 instance".to_owned()
    } else {
        format!("{count} instances")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_said_once_by_the_names_of_its_instances_in_natural_order() {
        let over = |id: &str| Refusal::MaxPercent {
            instance: id.into(),
            planned: 7,
            of: 12,
            percent: 50,
        };
        let refusals: Vec<Refusal> = (1..=12).rev().map(|nth| over(&format!("id{nth}"))).collect();
        let name = |id: &InstanceId| id.as_str().replace("id", "prod-");
        let said = by_limit(&refusals, &name);
        assert_eq!(said.len(), 1);
        let text = &said[0].text;
        assert!(
            text.contains("12 instances are left alone: prod-1 (7 of 12), prod-2 (7 of 12)"),
            "{text}"
        );
        assert!(text.ends_with("prod-8 (7 of 12), and 4 more"), "{text}");
    }

    #[test]
    fn what_needs_a_command_of_its_own_is_said_by_itself() {
        let refusals = super::super::remedies::one_of_each();
        let said = by_limit(&refusals, &|id| format!("name of {}", id.as_str()));
        assert_eq!(said.len(), refusals.len());
        let named = said.iter().filter(|said| said.text.contains("name of i1in04")).count();
        assert_eq!(named, 3, "{said:?}");
        assert!(
            said.iter().all(|said| !said.text.contains("instance i1in04")),
            "{said:?}"
        );
    }
}
