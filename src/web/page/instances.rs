//! The instances of the last passes: a line and a picture each, with the table behind it folded.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::timeline::{self, Axis, Kind};
use super::words::{number, size, text, why};
use crate::daemon::Status;
use crate::retention::report::{Action, Row};
use crate::retention::{BackupId, Instance, InstanceId, InstanceLife, Keeper, ProjectName};

/// With more backups than this on a page, marks of one reason share an element and tables list only what is not plainly kept.
const EACH: usize = 450;
/// So many rows of such a table at most.
const MOST_ROWS: usize = 12;
/// No further instance is begun on a page that is this long; the next page has them.
const LONGEST: usize = 175 * 1024;

/// An instance with what the last pass of each policy says of its backups.
struct Shown<'a> {
    instance: &'a Arc<Instance>,
    policies: Vec<&'a str>,
    /// One row a backup, newest first.
    rows: Vec<&'a Row>,
}

type Key<'a> = (&'a ProjectName, &'a str, &'a InstanceId);

fn gather(status: &Status) -> Vec<Shown<'_>> {
    let mut instances: BTreeMap<Key<'_>, (Shown<'_>, BTreeMap<&BackupId, &Row>)> = BTreeMap::new();
    for (policy, report) in &status.reports {
        // A pass may be several policies'; each policy's own part of it counts.
        let own = report.policies.iter().filter(|part| part.policy == *policy);
        for row in own.flat_map(|part| &part.rows) {
            let Instance { project, name, id, .. } = &*row.instance;
            let (shown, rows) = instances.entry((project, &**name, id)).or_insert_with(|| {
                let shown = Shown {
                    instance: &row.instance,
                    policies: Vec::new(),
                    rows: Vec::new(),
                };
                (shown, BTreeMap::new())
            });
            if shown.policies.last() != Some(&policy.as_str()) {
                shown.policies.push(policy.as_str());
            }
            let known = rows.entry(&row.backup.id).or_insert(row);
            // Of a backup in two scopes, the row that says more: what is sent, else what a rule of its own keeps.
            if row.fate.is_some() || (known.fate.is_none() && only_by_others(known)) {
                *known = row;
            }
        }
    }
    let mut all = Vec::with_capacity(instances.len());
    for (mut shown, rows) in instances.into_values() {
        shown.rows = rows.into_values().collect();
        shown.rows.sort_by(|a, b| {
            let (a, b) = (&a.backup, &b.backup);
            b.begin.cmp(&a.begin).then_with(|| a.id.cmp(&b.id))
        });
        all.push(shown);
    }
    all
}

fn only_by_others(row: &Row) -> bool {
    matches!(&row.action, Action::Keep(reasons) if reasons.iter().all(|reason| matches!(reason.keeper, Keeper::Policy(_))))
}

/// Draws the instances from the `from`th on, as many as the page takes.
pub(super) fn draw(out: &mut String, status: &Status, from: usize) {
    let all = gather(status);
    if all.is_empty() {
        out.push_str(if status.policies.iter().any(|policy| policy.last_run.is_some()) {
            "<p>The last runs are not kept in detail: the process was started after them, or the fleet is large. <code>rds-retentiond plan</code> shows every backup.</p>"
        } else {
            "<p>No run yet. After the first one every instance is shown here.</p>"
        });
        return;
    }
    let backups: usize = all.iter().map(|shown| shown.rows.len()).sum();
    let each = backups <= EACH;
    let axis = Axis::over(all.iter().flat_map(|shown| shown.rows.iter().copied()), status.at);
    let _ = write!(
        out,
        "<p class=\"d\">{} with {}, as of the last run of each policy. Left is the oldest, right is now; the recent past is drawn wider.</p>",
        counted(all.len(), "instance"),
        counted(backups, "backup"),
    );
    out.push_str(&axis.symbol());
    timeline::legend(out);
    out.push_str(&axis.scale());
    let mut next = from.min(all.len());
    let begin = next;
    while let Some(shown) = all.get(next) {
        if out.len() > LONGEST && next > begin {
            break;
        }
        draw_one(out, shown, &axis, each);
        next += 1;
    }
    if begin > 0 || next < all.len() {
        let _ = write!(
            out,
            "<nav aria-label=\"Pages of instances\"><p>Instances {} to {next} of {}.",
            begin + 1,
            all.len()
        );
        if begin > 0 {
            out.push_str(" <a href=\"/#instances\">The first ones</a>");
        }
        if next < all.len() {
            let _ = write!(out, " <a href=\"/?from={next}#instances\">The next ones</a>");
        }
        out.push_str("</p></nav>");
    }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{} {noun}{}", number(count as u64), if count == 1 { "" } else { "s" })
}

fn draw_one(out: &mut String, shown: &Shown<'_>, axis: &Axis, each: bool) {
    let Instance {
        name,
        id,
        project,
        life,
        ..
    } = &**shown.instance;
    let count = |key: &str| {
        shown
            .rows
            .iter()
            .filter(|row| row.fate.is_none() && row.action.key() == key)
            .count()
    };
    let sent = shown.rows.iter().filter(|row| row.fate.is_some()).count();
    let _ = write!(
        out,
        "<article><header><h3><bdi>{}</bdi></h3><span class=\"d\">{} · {} · {}{}</span><span>{} keep · {} wait · {} delete{}</span></header>",
        text(name),
        text(project.as_str()),
        text(id.as_str()),
        text(&shown.policies.join(", ")),
        match life {
            InstanceLife::Listed => String::new(),
            InstanceLife::Deleted { missed_since } =>
                format!(" · deleted, missed since {}", missed_since.format("%Y-%m-%d")),
        },
        count("keep"),
        count("wait"),
        count("delete"),
        if sent > 0 {
            format!(" · {sent} sent")
        } else {
            String::new()
        },
    );
    timeline::draw(out, name, &shown.rows, axis, each);
    draw_table(out, shown, each);
    out.push_str("</article>");
}

/// The table behind the picture, folded.
fn draw_table(out: &mut String, shown: &Shown<'_>, each: bool) {
    let Instance { name, id, .. } = &**shown.instance;
    let listed: Vec<&&Row> = shown
        .rows
        .iter()
        .filter(|row| each || Kind::of(row) != Kind::Keep)
        .collect();
    let most = if each {
        listed.len()
    } else {
        listed.len().min(MOST_ROWS)
    };
    if !listed.is_empty() {
        let what = if each {
            counted(most, "backup")
        } else {
            format!("{} not plainly kept", counted(listed.len(), "backup"))
        };
        let _ = write!(
            out,
            "<details><summary>{what}<span class=\"d\"> of {}</span></summary><div class=\"s\" tabindex=\"0\" role=\"region\" aria-label=\"Backups of {}\"><table><thead><tr><th scope=\"col\">Backup<th scope=\"col\">Begun (UTC)<th scope=\"col\" class=\"n\">Size<th scope=\"col\">Decision<th scope=\"col\">Why<th scope=\"col\">Until</thead><tbody>",
            text(name),
            text(name)
        );
        for row in &listed[..most] {
            draw_row(out, row, each);
        }
        out.push_str("</tbody></table></div>");
        if most < listed.len() {
            let _ = write!(
                out,
                "<p class=\"d\">and {} more: <code>rds-retentiond plan --instance {}</code></p>",
                listed.len() - most,
                text(id.as_str())
            );
        }
        out.push_str("</details>");
    }
}

fn draw_row(out: &mut String, row: &Row, each: bool) {
    let backup = &row.backup;
    let until = match &row.action {
        Action::Keep(_) => row.expires_at,
        Action::Wait { due_at, .. } => *due_at,
        Action::Delete(_) => None,
    };
    let why = match &row.fate {
        Some(fate) => timeline::outcome(fate).to_owned(),
        None => why(&row.action, true),
    };
    let begun = backup
        .begin
        .map_or_else(|| "?".to_owned(), |begin| begin.format("%Y-%m-%d %H:%M").to_string());
    let _ = write!(out, "<tr><th scope=\"row\"><bdi>{}</bdi>", text(&backup.name));
    if each {
        let _ = write!(out, " <span class=\"d\">{}</span>", text(backup.id.as_str()));
    }
    let _ = write!(
        out,
        "<td class=\"t\">{begun}<td class=\"n\">{}<td>{}<td>{why}<td class=\"t\">{}",
        size(backup.size_bytes),
        Kind::of(row).word(),
        until.map_or_else(|| "-".to_owned(), |until| until.format("%Y-%m-%d %H:%M").to_string())
    );
}
