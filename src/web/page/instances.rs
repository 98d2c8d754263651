//! The instances of the last runs: a line and a timeline each. With few backups their tables are folded below the timelines;
//! with many, they are on each instance's own page (`instance`).

use std::collections::BTreeMap;
use std::sync::Arc;

use maud::{Markup, PreEscaped, html};

use super::backup_table;
use super::html::{cleaned, clip, encoded};
use super::layout::{LONGEST_NAME, MAX_LENGTH};
use super::timeline::{self, Axis, MarkKind};
use crate::retention::report::{Action, BackupRow, PolicyReport};
use crate::retention::{BackupId, Instance, InstanceId, InstanceLife, KeptBy, ProjectName, RunReport, Zone};
use crate::status::Status;
use crate::wording::Natural;
use crate::wording::numbers::{count, number};

/// With more backups than this on a page, marks of one reason share an element and tables have pages of their own.
const EACH: usize = 400;
/// Instances without a policy that are named.
const MOST_UNMANAGED: usize = 100;

/// An instance with what the last run of each policy says of its backups.
pub(super) struct ShownInstance<'a> {
    pub(super) instance: &'a Arc<Instance>,
    pub(super) policies: Vec<&'a str>,
    /// Every row of every policy.
    said: Vec<&'a BackupRow>,
}

type Key<'a> = (&'a ProjectName, Natural<'a>, &'a InstanceId);

/// The last run of each policy, its own part of it: a run may be several policies'.
pub(super) fn parts(status: &Status) -> impl Iterator<Item = &PolicyReport> {
    status.reports.iter().flat_map(|(policy, report)| {
        let own = report.policies.iter();
        own.filter(move |part| part.policy == *policy)
    })
}

/// All instances by project and name, or those with one id.
pub(super) fn gather<'a>(status: &'a Status, id: Option<&str>) -> Vec<ShownInstance<'a>> {
    let mut instances: BTreeMap<Key<'_>, ShownInstance<'_>> = BTreeMap::new();
    for part in parts(status) {
        // Rows of one instance lie together: one look-up for all of them.
        for rows in part.rows.chunk_by(|a, b| Arc::ptr_eq(&a.instance, &b.instance)) {
            let instance = &rows[0].instance;
            if id.is_some_and(|id| id != instance.id.as_str()) {
                continue;
            }
            let key = (&instance.project, Natural(&instance.name), &instance.id);
            let shown = instances.entry(key).or_insert_with(|| ShownInstance {
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

impl<'a> ShownInstance<'a> {
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
        format!("{} · {policies}{deleted}", self.instance.project)
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

/// The address of an instance's own page.
pub(super) fn address(id: &InstanceId) -> String {
    format!("/?instance={}", encoded(id.as_str()))
}

/// Draws the instances whose names hold `filter`, from the `from`th on, as many as fit beside `used` bytes.
pub(super) fn draw(status: &Status, (filter, from): (Option<&str>, usize), used: usize, zone: Zone) -> Markup {
    let all = gather(status, None);
    if all.is_empty() {
        return html! { (nothing(status)) (without_policy(status)) };
    }
    let is_shown = |shown: &ShownInstance<'_>| filter.is_none_or(|part| shown.instance.name.contains(part));
    let (instances, all_backups) = (all.len(), all.iter().map(|shown| shown.said.len()).sum::<usize>());
    let all: Vec<ShownInstance<'_>> = all.into_iter().filter(is_shown).collect();
    let backups: usize = all.iter().map(|shown| shown.said.len()).sum();
    let each = backups <= EACH;
    let every = all.iter().flat_map(|shown| &shown.said);
    let axis = Axis::over(every.filter_map(|row| row.backup.begin), status.at);
    let top = cleaned(html! {
        p.d {
            (count(instances as u64, "instance")) " with " (count(all_backups as u64, "backup"))
            ", as of the last run of each policy. From the oldest backup on the left to now on the right; the recent past is drawn wider. Point at a mark for its rule"
            @if each { ", or open the table below it." } @else { "; an instance's name leads to the table of its backups." }
        }
        (without_policy(status))
        (search(filter))
        @if let (Some(part), true) = (filter, all.is_empty()) { (not_known(status, part)) }
        @if !all.is_empty() { (axis.symbol()) (timeline::legend()) (axis.scale("axis")) }
    });
    let begin = from.min(all.len());
    let (mut next, mut drawn) = (begin, String::new());
    while let Some(shown) = all.get(next) {
        let article = cleaned(draw_one(shown, &axis, each, zone)).0;
        if used + top.0.len() + drawn.len() + article.len() > MAX_LENGTH && next > begin {
            break;
        }
        drawn.push_str(&article);
        next += 1;
    }
    let first = filter.map_or_else(|| "/".to_owned(), |part| format!("/?instance={}", encoded(part)));
    html! {
        (top)
        div.list { (PreEscaped(drawn)) }
        @if begin > 0 || next < all.len() { (pages("instances", (begin, next, all.len()), &first)) }
    }
}

/// The field that looks for a name.
fn search(filter: Option<&str>) -> Markup {
    html! {
        form.find action="/" method="get" role="search" {
            label for="find" { "Name" }
            input id="find" name="instance" value=[filter] maxlength="120" autocomplete="off";
            button { "Show" }
            @if filter.is_some() { a href="/#instances" { "All instances" } }
        }
    }
}

/// That no instance has this id or such a name.
fn not_known(status: &Status, part: &str) -> Markup {
    let part = clip(part, LONGEST_NAME);
    html! {
        p { "Not known: the last runs did not see an instance " code { (part) } ", or the fleet is too large to keep every decision in memory." }
        pre { (status.program()) " plan --instance " (crate::wording::remedies::shell_word(part)) }
    }
}

/// Why there is nothing to draw.
fn nothing(status: &Status) -> Markup {
    html! {
        p.d {
            @if parts(status).next().is_some() {
                "The fleet is too large to keep every decision in memory: " code { (status.program()) " plan" } " shows them all, "
                code { "--instance ID" } " those of one."
            } @else if status.policies.iter().any(|policy| policy.last_run.is_some()) {
                "This process has not run a policy yet; after the next run every instance is shown here. "
                code { (status.program()) " plan" } " shows every backup now."
            } @else {
                "No run yet. After the first one every instance is shown here."
            }
        }
    }
}

/// The instances that no policy selects, by the newest run that listed their project.
fn unmanaged(status: &Status) -> Vec<&Instance> {
    let mut newest: BTreeMap<&ProjectName, &RunReport> = BTreeMap::new();
    for report in status.reports.values() {
        for project in report.instances.keys() {
            let known = newest.entry(project).or_insert(report);
            if report.at > known.at {
                *known = report;
            }
        }
    }
    let mut found: Vec<&Instance> = newest
        .into_iter()
        .flat_map(|(project, report)| {
            let of = report
                .unmanaged
                .iter()
                .filter(move |instance| instance.project == *project);
            of.map(|instance| &**instance)
        })
        .collect();
    found.sort_by_key(|instance| (Natural(&instance.name), &instance.id));
    found
}

/// What nothing is ever deleted of, and what no policy has in scope.
fn without_policy(status: &Status) -> Markup {
    let named = unmanaged(status);
    let counted = status.unmanaged.unwrap_or(0).max(named.len() as u64);
    let unselected: Vec<(&ProjectName, u64)> = status
        .policies
        .iter()
        .filter_map(|policy| policy.last_run.as_ref())
        .flat_map(|run| &run.unselected)
        .fold(
            BTreeMap::new(),
            |mut sum: BTreeMap<&ProjectName, u64>, (project, more)| {
                *sum.entry(project).or_default() += more;
                sum
            },
        )
        .into_iter()
        .filter(|(_, backups)| *backups > 0)
        .collect();
    html! {
        @if counted > 0 {
            details.free open[named.len() <= 12] {
                summary { "No policy selects " (count(counted, "instance")) "; nothing of theirs is ever deleted" }
                @if named.is_empty() { p.d { "Their names are known after the next run." } }
                ul.names {
                    @for instance in named.iter().take(MOST_UNMANAGED) {
                        li { bdi { (clip(&instance.name, LONGEST_NAME)) } " " span.d { (instance.project.as_str()) } }
                    }
                    @if named.len() > MOST_UNMANAGED { li.d { "and " (number((named.len() - MOST_UNMANAGED) as u64)) " more" } }
                }
            }
        }
        @for (project, backups) in unselected {
            p { "Project " (project.as_str()) ": no policy has " (count(backups, "backup")) " of its managed instances in scope (" code { "select.backups" } "); they are never deleted." }
        }
    }
}

/// Where one is among many, and the way on. `address` is the first page's.
pub(super) fn pages(what: &str, (begin, next, all): (usize, usize, usize), address: &str) -> Markup {
    let joint = if address.contains('?') { "&" } else { "?" };
    html! {
        nav.pages aria-label={ "Pages of " (what) } {
            span {
                (what[..1].to_uppercase()) (&what[1..]) " " (number(begin as u64 + 1)) " to " (number(next as u64)) " of " (number(all as u64))
            }
            @if begin > 0 { a href={ (address) "#" (what) } { "First page" } }
            @if next < all { a href={ (address) (joint) "from=" (next) "#" (what) } { "Next page" } }
        }
    }
}

fn draw_one(shown: &ShownInstance<'_>, axis: &Axis, each: bool, zone: Zone) -> Markup {
    let rows = shown.rows();
    let name = clip(&shown.instance.name, LONGEST_NAME);
    html! {
        article {
            div {
                h3 { a href=(address(&shown.instance.id)) { bdi { (name) } } }
                p.d { (shown.place()) }
            }
            div {
                (timeline::draw(&rows, axis, each, zone))
                @if each {
                    details {
                        summary { (totals(&rows)) }
                        (backup_table::draw_table(name, &html! { @for row in &rows { (backup_table::draw_row(row, zone)) } }))
                    }
                } @else {
                    p { (totals(&rows)) }
                }
            }
        }
    }
}
