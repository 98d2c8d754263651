//! Deleted instances whose backups remain, in sentences.

use std::collections::BTreeMap;

use super::money::Price;
use super::numbers::{count, size};
use crate::retention::orphan::Orphan;
use crate::retention::{ProjectName, total_bytes};

/// So many are named in one sentence.
const NAMED: usize = 10;

/// One sentence a project.
pub fn sentences(orphans: &[Orphan], price: Option<&Price>) -> BTreeMap<ProjectName, String> {
    let mut projects: BTreeMap<&ProjectName, Vec<&Orphan>> = BTreeMap::new();
    for orphan in orphans {
        projects.entry(&orphan.project).or_default().push(orphan);
    }
    let sentence = |(project, of): (&ProjectName, Vec<&Orphan>)| {
        let some: Vec<String> = of.iter().take(NAMED).map(|orphan| named(orphan)).collect();
        let more = match of.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let bytes = total_bytes(of.iter().map(|orphan| orphan.bytes));
        let cost = price.map(|price| format!(" ({} a month)", price.of(bytes)));
        let sentence = format!(
            "project {project}: backups of {} remain, {} in all{}: {}{more}; `deleted_instances` says what a policy does with them",
            count(of.len() as u64, "deleted instance"),
            size(bytes),
            cost.unwrap_or_default(),
            some.join(", "),
        );
        (project.clone(), sentence)
    };
    projects.into_iter().map(sentence).collect()
}

fn named(orphan: &Orphan) -> String {
    let (backups, bytes) = (count(orphan.backups, "backup"), size(orphan.bytes));
    let unselected = if orphan.is_selected {
        ""
    } else {
        ", selected by no policy"
    };
    format!(
        "{} ({}: {backups}, {bytes}{unselected})",
        orphan.instance_name, orphan.instance_id
    )
}

/// The API did not say which there are.
pub fn unknown(project: &ProjectName, why: &str) -> String {
    format!("project {project}: whether backups of deleted instances remain is not known: {why}")
}

/// Of so many more it was not asked what remains.
pub fn unread(project: &ProjectName, more: usize) -> String {
    let more = count(more as u64, "deleted instance");
    format!("project {project}: what remains of {more} more was not read; `retain-backups` of the API says it")
}
