//! The instances of the last runs: a line and a timeline each. With few backups their tables are folded below the timelines;
//! with many, they are on each instance's own page (`instance`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::backup_table;
use super::html::{clip, text};
use super::layout::{END_OF_TABLE, LONGEST_NAME, MAX_LENGTH};
use super::timeline::{self, Axis, MarkKind};
use crate::retention::report::{Action, BackupRow, PolicyReport};
use crate::retention::{BackupId, Instance, InstanceId, InstanceLife, KeptBy, ProjectName};
use crate::status::Status;
use crate::wording::Natural;
use crate::wording::numbers::{count, number};

/// With more backups than this on a page, marks of one reason share an element and tables have pages of their own.
const EACH: usize = 400;

/// An instance with what the last pass of each policy says of its backups.
pub(super) struct Shown<'a> {
    pub(super) instance: &'a Arc<Instance>,
    pub(super) policies: Vec<&'a str>,
    /// Every row of every policy.
    said: Vec<&'a BackupRow>,
}

type Key<'a> = (&'a ProjectName, Natural<'a>, &'a InstanceId);

/// The last pass of each policy, its own part of it: a pass may be several policies'.
fn parts(status: &Status) -> impl Iterator<Item = &PolicyReport> {
    status.reports.iter().flat_map(|(policy, report)| {
        let own = report.policies.iter();
        own.filter(move |part| part.policy == *policy)
    })
}

/// All instances by project and name, or those with one id.
pub(super) fn gather<'a>(status: &'a Status, id: Option<&str>) -> Vec<Shown<'a>> {
    let mut instances: BTreeMap<Key<'_>, Shown<'_>> = BTreeMap::new();
    for part in parts(status) {
        // Rows of one instance lie together: one look-up for all of them.
        for rows in part.rows.chunk_by(|a, b| Arc::ptr_eq(&a.instance, &b.instance)) {
            let instance = &rows[0].instance;
            if id.is_some_and(|id| id != instance.id.as_str()) {
                continue;
            }
            let key = (&instance.project, Natural(&instance.name), &instance.id);
            let shown = instances.entry(key).or_insert_with(|| Shown {
                instance,
                policies: Vec::new(),
                said: Vec::new(),
            });
            if shown.policies.last() != Some(&part.policy.as_str()) {
                shown.policies.push(part.policy.as_str());
            }
            shown.said.extend(rows);
        }
    }
    instances.into_values().collect()
}

impl<'a> Shown<'a> {
    /// One row a backup, newest first.
    pub(super) fn rows(&self) -> Vec<&'a BackupRow> {
        let mut by_id: BTreeMap<&BackupId, &BackupRow> = BTreeMap::new();
        for row in &self.said {
            let known = by_id.entry(&row.backup.id).or_insert(row);
            // Of a backup in two scopes, the row that says more: what is sent, else what a rule of its own keeps.
            if row.fate.is_some() || (known.fate.is_none() && only_by_others(known)) {
                *known = row;
            }
        }
        let mut rows: Vec<&BackupRow> = by_id.into_values().collect();
        rows.sort_by(|a, b| {
            let (a, b) = (&a.backup, &b.backup);
            b.begin.cmp(&a.begin).then_with(|| a.id.cmp(&b.id))
        });
        rows
    }

    /// Where it is, and whose.
    pub(super) fn place(&self) -> String {
        let deleted = match self.instance.life {
            InstanceLife::Listed => String::new(),
            InstanceLife::Deleted { missed_since } => {
                format!(" · deleted, missed since {}", missed_since.format("%Y-%m-%d"))
            }
        };
        let policies = self.policies.join(", ");
        format!(
            "{} · {}{deleted}",
            text(self.instance.project.as_str()),
            text(&policies)
        )
    }
}

fn only_by_others(row: &BackupRow) -> bool {
    matches!(&row.action, Action::Keep(reasons)
        if reasons.iter().all(|reason| matches!(reason.keeper, KeptBy::Policy(_))))
}

/// `11 keep · 29 deleted`
pub(super) fn totals(rows: &[&BackupRow]) -> String {
    let mut kinds: BTreeMap<MarkKind, u64> = BTreeMap::new();
    let mut fates: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows {
        match &row.fate {
            None => *kinds.entry(MarkKind::of(row)).or_default() += 1,
            Some(fate) => *fates.entry(timeline::outcome(fate)).or_default() += 1,
        }
    }
    let kinds = kinds.iter().map(|(kind, count)| (kind.word(), *count));
    let said: Vec<String> = kinds
        .chain(fates)
        .map(|(word, count)| format!("{} {word}", number(count)))
        .collect();
    said.join(" · ")
}

/// The address of an instance's own page; good in an attribute as it is.
pub(super) fn address(id: &InstanceId) -> String {
    let encoded: String = url::form_urlencoded::byte_serialize(id.as_str().as_bytes()).collect();
    format!("/?instance={encoded}")
}

/// Draws the instances from the `from`th on, as many as the page takes.
pub(super) fn draw(out: &mut String, status: &Status, from: usize) {
    let all = gather(status, None);
    if all.is_empty() {
        out.push_str(nothing(status));
        return;
    }
    let backups: usize = all.iter().map(|shown| shown.said.len()).sum();
    let each = backups <= EACH;
    let every = all.iter().flat_map(|shown| &shown.said);
    let axis = Axis::over(every.filter_map(|row| row.backup.begin), status.at);
    let _ = write!(
        out,
        "<p class=\"d\">{} with {}, as of the last run of each policy. From the oldest backup on the left to now on the right; the recent past is drawn wider. Point at a mark for its rule{}.</p>",
        count((all.len()) as u64, "instance"),
        count((backups) as u64, "backup"),
        if each {
            ", or open the table below it"
        } else {
            "; an instance's name leads to the table of its backups"
        }
    );
    out.push_str(&axis.symbol());
    timeline::legend(out);
    out.push_str(&axis.scale());
    out.push_str("<div class=\"list\">");
    let begin = from.min(all.len());
    let mut next = begin;
    while let Some(shown) = all.get(next) {
        if out.len() > MAX_LENGTH && next > begin {
            break;
        }
        draw_one(out, shown, &axis, each);
        next += 1;
    }
    out.push_str("</div>");
    if begin > 0 || next < all.len() {
        pages(out, "instances", begin, next, all.len(), "/");
    }
}

/// Why there is nothing to draw.
fn nothing(status: &Status) -> &'static str {
    if parts(status).next().is_some() {
        "<p class=\"d\">The fleet is too large to keep every decision in memory: <code>rds-retentiond plan</code> shows them all, <code>--instance ID</code> those of one.</p>"
    } else if status.policies.iter().any(|policy| policy.last_run.is_some()) {
        "<p class=\"d\">This process has not run a policy yet; after the next run every instance is shown here. <code>rds-retentiond plan</code> shows every backup now.</p>"
    } else {
        "<p class=\"d\">No run yet. After the first one every instance is shown here.</p>"
    }
}

/// Where one is among many, and the way on. `address` is the first page's.
pub(super) fn pages(out: &mut String, what: &str, begin: usize, next: usize, all: usize, address: &str) {
    let joint = if address.contains('?') { "&amp;" } else { "?" };
    let _ = write!(
        out,
        "<nav class=\"pages\" aria-label=\"Pages of {what}\"><span>{} {} to {} of {}</span>",
        what[..1].to_uppercase() + &what[1..],
        number(begin as u64 + 1),
        number(next as u64),
        number(all as u64)
    );
    if begin > 0 {
        let _ = write!(out, "<a href=\"{address}#{what}\">First page</a>");
    }
    if next < all {
        let _ = write!(out, "<a href=\"{address}{joint}from={next}#{what}\">Next page</a>");
    }
    out.push_str("</nav>");
}

fn draw_one(out: &mut String, shown: &Shown<'_>, axis: &Axis, each: bool) {
    let rows = shown.rows();
    let name = text(clip(&shown.instance.name, LONGEST_NAME));
    let _ = write!(
        out,
        "<article><div><h3><a href=\"{}\"><bdi>{name}</bdi></a></h3><p class=d>{}</p></div><div>",
        address(&shown.instance.id),
        shown.place(),
    );
    timeline::draw(out, &rows, axis, each);
    if each {
        let _ = write!(out, "<details><summary>{}</summary>", totals(&rows));
        backup_table::open_table(out, &name);
        for row in &rows {
            backup_table::draw_row(out, row);
        }
        out.push_str(END_OF_TABLE);
        out.push_str("</details>");
    } else {
        let _ = write!(out, "<p>{}", totals(&rows));
    }
    out.push_str("</div></article>");
}
