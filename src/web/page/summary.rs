//! Is all well: the headline, the tab's icon, and the few numbers that matter.

use std::fmt::Write as _;

use super::holds::{LONGEST_REASON, SOON_DAYS, ends_soon};
use super::html::{clip, text, time};
use crate::retention::FreezeSources;
use crate::retention::report::Tally;
use crate::status::{Counts, FreezeStatus, Health, Status, health};
use crate::wording::numbers::{count, number, size};
use crate::wording::remedies::{Remedy, end_freeze};
use crate::wording::times::distance;

/// Freezes that are listed.
const MOST_FREEZES: usize = 5;

/// The headline.
pub(super) struct PageSummary {
    pub(super) health: Health,
    /// For the headline and the title of the window.
    pub(super) title: String,
}

impl PageSummary {
    /// With the number of things that need a look.
    pub(super) fn of(status: &Status, waiting: usize) -> Self {
        let (health, title) = health(status, waiting);
        Self { health, title }
    }

    /// The picture of the browser's tab, as a `data:` address: the page stays one request, and a row of tabs tells.
    pub(super) fn icon(&self) -> String {
        let colour = match self.health {
            Health::Good => "12795c",
            Health::Bad => "c8283c",
            Health::Frozen => "0a62c9",
            Health::New => "6b7582",
        };
        format!(
            "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'%3E%3Crect width='24' height='24' rx='6' fill='%23{colour}'/%3E\
             %3Cpath d='{}' fill='none' stroke='%23fff' stroke-width='2.6' stroke-linecap='round' stroke-linejoin='round'/%3E%3C/svg%3E",
            self.sign()
        )
    }

    fn sign(&self) -> &'static str {
        match self.health {
            Health::Good => "M6.5 12.5l4 4 7-8.5",
            Health::Bad => "M12 6v7.5M12 17.5h0",
            Health::Frozen => "M12 5v14M6 8.5l12 7M18 8.5l-12 7",
            Health::New => "M12 7v5.5l3.5 2",
        }
    }

    /// The headline with what is next, and the numbers.
    pub(super) fn draw(&self, out: &mut String, status: &Status) {
        let class = match self.health {
            Health::Good => "good",
            Health::Bad => "bad",
            Health::Frozen => "cold",
            Health::New => "flat",
        };
        let _ = write!(
            out,
            "<section class=\"hero\" aria-labelledby=\"state\"><div class=\"say {class}\">\
             <svg viewBox=\"0 0 24 24\" aria-hidden=\"true\"><circle cx=\"12\" cy=\"12\" r=\"10.8\"/><path d=\"{}\"/></svg>\
             <div role=\"status\"><h2 id=\"state\">{}</h2>",
            self.sign(),
            self.title
        );
        for line in lines(status) {
            let _ = write!(out, "<p>{line}</p>");
        }
        out.push_str("</div></div>");
        tiles(out, status);
        out.push_str("</section>");
    }
}

/// What stands below the headline.
fn lines(status: &Status) -> Vec<String> {
    let mut lines = Vec::new();
    for FreezeStatus { id, place, freeze } in status.freezes.iter().take(MOST_FREEZES) {
        let until = freeze
            .until
            .map_or_else(String::new, |until| format!(" until {}", time(until, status.at)));
        lines.push(format!(
            "<strong>Frozen</strong>{until}: {}. Nothing is deleted.",
            text(clip(&freeze.reason, LONGEST_REASON))
        ));
        let sources = FreezeSources {
            placed: id.iter().cloned().collect(),
            configured: place.clone(),
        };
        lines.push(match end_freeze(&sources, &status.program()) {
            Remedy::Command(command) => format!("To end it: <code>{}</code>", text(&command)),
            Remedy::Words(words) => format!("To end it: {}", text(&words)),
        });
    }
    if status.freezes.len() > MOST_FREEZES {
        let more = status.freezes.len() - MOST_FREEZES;
        lines.push(format!("and {} more", count((more) as u64, "freeze")));
    }
    let policies = &status.policies;
    let ran = policies.iter().filter(|policy| policy.last_run.is_some()).count();
    let mut line = if ran == policies.len() {
        "Every policy has run.".to_owned()
    } else {
        format!("{ran} of {} have run.", count((policies.len()) as u64, "policy"))
    };
    if let Some(policy) = policies.iter().find(|policy| policy.running_since.is_some()) {
        let _ = write!(line, " {} is running now.", text(policy.policy.as_str()));
    } else if let Some((at, policy)) = policies
        .iter()
        .filter_map(|policy| Some((policy.next_run?, policy)))
        .min_by_key(|(at, _)| *at)
    {
        let _ = write!(
            line,
            " Next: {}, {}.",
            text(policy.policy.as_str()),
            distance(at, status.at)
        );
    }
    if !policies.is_empty() && policies.iter().all(|policy| policy.mode == "dry-run") {
        line.push_str(" All of them are dry runs: nothing is deleted.");
    }
    lines.push(line);
    let ending = status.holds.iter().filter(|hold| ends_soon(hold, status.at)).count();
    if ending > 0 {
        lines.push(format!(
            "<a href=\"#holds\">{} within {SOON_DAYS} days.</a>",
            if ending == 1 {
                "1 hold ends".to_owned()
            } else {
                format!("{ending} holds end")
            }
        ));
    }
    lines
}

fn tiles(out: &mut String, status: &Status) {
    let known: Vec<Counts> = status
        .policies
        .iter()
        .filter_map(|policy| policy.last_run.as_ref()?.summary)
        .collect();
    if known.is_empty() && status.instances.is_none() {
        return;
    }
    let sum = |pick: fn(&Counts) -> u64| known.iter().map(pick).fold(0, u64::saturating_add);
    out.push_str("<dl class=\"tiles\">");
    let mut tile = |title: &str, value: &str, more: &str| {
        let _ = write!(out, "<div><dt>{title}<dd>{value} <small>{more}</small></div>");
    };
    if let Some(instances) = status.instances {
        let mut more = Vec::new();
        if instances.failed > 0 {
            more.push(format!("{} not read", number(instances.failed)));
        }
        if instances.unmanaged > 0 {
            more.push(format!("{} without a policy", number(instances.unmanaged)));
        }
        if more.is_empty() {
            more.push("every one has a policy".to_owned());
        }
        tile("Instances", &number(instances.managed), &more.join(", "));
    }
    tile(
        "Backups kept",
        &number(sum(|it| it.keep)),
        &size(sum(|it| it.bytes.keep)),
    );
    tile(
        "In their grace",
        &number(sum(|it| it.wait)),
        &size(sum(|it| it.bytes.wait)),
    );
    let runs = status.policies.iter().filter_map(|policy| policy.last_run.as_ref());
    let held_back = runs.fold(Tally::default(), |sum, run| sum.and(run.held_back));
    if held_back.count > 0 {
        tile("Held back", &number(held_back.count), &size(held_back.bytes));
    }
    let freed = status
        .storage
        .iter()
        .map(|day| day.freed_bytes)
        .fold(0, u64::saturating_add);
    if let Some(first) = status.storage.first() {
        tile("Freed", &size(freed), &format!("since {}", first.day));
    }
    let unconfirmed = status
        .unconfirmed
        .values()
        .fold(0, |sum: u64, more| sum.saturating_add(*more));
    if unconfirmed > 0 {
        tile("Unconfirmed", &number(unconfirmed), "accepted, not seen to be gone yet");
    }
    out.push_str("</dl>");
    if status.instances.is_some_and(|instances| instances.overlapping > 0) {
        // Said, not hidden: the sums are of policies.
        out.push_str("<p class=\"one d\">Backups that two policies select are counted by both.</p>");
    }
}
