//! Is all well: the headline, the tab's icon, and the few numbers that matter.

use std::fmt::Write as _;

use chrono::Datelike;
use maud::{Markup, html};

use super::holds::{LONGEST_REASON, SOON_DAYS, ends_soon};
use super::html::clip;
use super::layout::money;
use crate::retention::report::Tally;
use crate::retention::{FreezeSources, Zone};
use crate::status::{Counts, FreezeStatus, Health, KnownBackups, Status, health};
use crate::wording::numbers::{count, number, size};
use crate::wording::remedies::{Remedy, end_freeze};
use crate::wording::times::{common_zone, day_zoned, distance, until};

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
    pub(super) fn draw(&self, status: &Status, zone: Zone) -> Markup {
        let class = match self.health {
            Health::Good => "good",
            Health::Bad => "bad",
            Health::Frozen => "cold",
            Health::New => "flat",
        };
        html! {
            section.hero aria-labelledby="state" {
                div class={ "say " (class) } {
                    svg viewBox="0 0 24 24" aria-hidden="true" { circle cx="12" cy="12" r="10.8" {} path d=(self.sign()) {} }
                    div role="status" {
                        h2 id="state" { (self.title) }
                        @for freeze in status.freezes.iter().take(MOST_FREEZES) { (draw_freeze(freeze, status, zone)) }
                        @if status.freezes.len() > MOST_FREEZES {
                            p { "and " (count((status.freezes.len() - MOST_FREEZES) as u64, "freeze")) " more" }
                        }
                        p { (next(status)) }
                        (ending(status))
                    }
                }
                (tiles(status))
            }
        }
    }
}

fn draw_freeze(FreezeStatus { id, place, freeze }: &FreezeStatus, status: &Status, zone: Zone) -> Markup {
    let sources = FreezeSources {
        placed: id.iter().cloned().collect(),
        configured: place.clone(),
    };
    html! {
        p {
            strong { "Frozen" }
            @if let Some(at) = freeze.until { " " (until(at, zone)) " (" (distance(at, status.at)) ")" }
            ": " (clip(&freeze.reason, LONGEST_REASON)) ". Nothing is deleted."
        }
        p {
            "To end it: "
            @match end_freeze(&sources, &status.program()) {
                Remedy::Command(command) => code { (command) },
                Remedy::Words(words) => (words),
            }
        }
    }
}

/// Which policies have run, and which is next.
fn next(status: &Status) -> String {
    let policies = &status.policies;
    let ran = policies.iter().filter(|policy| policy.last_run.is_some()).count();
    let mut line = if ran == policies.len() {
        "Every policy has run.".to_owned()
    } else {
        let have = if policies.len() == 1 { "has" } else { "have" };
        format!("{ran} of {} {have} run.", count(policies.len() as u64, "policy"))
    };
    if let Some(policy) = policies.iter().find(|policy| policy.running_since.is_some()) {
        let _ = write!(line, " {} is running now.", policy.policy);
    } else if let Some((at, policy)) = policies
        .iter()
        .filter_map(|policy| Some((policy.next_run?, policy)))
        .min_by_key(|(at, _)| *at)
    {
        let _ = write!(line, " Next: {}, {}.", policy.policy, distance(at, status.at));
    }
    if !policies.is_empty() && policies.iter().all(|policy| policy.mode == "dry-run") {
        line += " All of them are dry runs: nothing is deleted.";
    }
    line
}

fn ending(status: &Status) -> Markup {
    let ending = status.holds.iter().filter(|hold| ends_soon(hold, status.at)).count();
    html! {
        @if ending > 0 {
            p {
                a href="#holds" {
                    @if ending == 1 { "1 hold ends" } @else { (ending) " holds end" }
                    " within " (SOON_DAYS) " days."
                }
            }
        }
    }
}

fn tile(title: &str, value: &str, more: &str, cost: Option<String>) -> Markup {
    html! {
        div { dt { (title) } dd { (value) " " small { (more) @if let Some(cost) = cost { br; (cost) " a month" } } } }
    }
}

/// What is held back has a tile of its own: it is there, and it costs.
fn storage_tiles(status: &Status, known: &[KnownBackups]) -> Markup {
    let sum = |pick: fn(&Counts) -> u64| {
        known
            .iter()
            .map(|known| pick(&known.counts))
            .fold(0, u64::saturating_add)
    };
    let held_back = known
        .iter()
        .fold(Tally::default(), |sum, known| sum.and(known.held_back));
    let due = known.iter().fold(Tally::default(), |sum, known| sum.and(known.due));
    let left = Tally {
        count: due.count.saturating_sub(held_back.count),
        bytes: due.bytes.saturating_sub(held_back.bytes),
    };
    let (keep, wait) = (sum(|it| it.bytes.keep), sum(|it| it.bytes.wait));
    html! {
        (tile("Backups kept", &number(sum(|it| it.keep)), &size(keep), money(status, keep)))
        (tile("In the grace period", &number(sum(|it| it.wait)), &size(wait), money(status, wait)))
        @if held_back.count > 0 {
            (tile("Refused or frozen", &number(held_back.count), &format!("{} expired, still there", size(held_back.bytes)), money(status, held_back.bytes)))
        }
        @if left.count > 0 {
            (tile("Due, still there", &number(left.count), &format!("{}, left over or not seen to be gone yet", size(left.bytes)), money(status, left.bytes)))
        }
    }
}

fn tiles(status: &Status) -> Markup {
    let known: Vec<KnownBackups> = status
        .policies
        .iter()
        .filter_map(|policy| policy.last_run.as_ref()?.known)
        .collect();
    if known.is_empty() && status.instances.is_none() {
        return Markup::default();
    }
    let unconfirmed = status
        .unconfirmed
        .values()
        .fold(0, |sum: u64, more| sum.saturating_add(*more));
    html! {
        dl.tiles {
            @if let Some(instances) = status.instances {
                @let parts = [(instances.failed, "not read"), (instances.unmanaged, "without a policy")];
                @let more: Vec<String> = parts.iter().filter(|(of, _)| *of > 0).map(|(of, what)| format!("{} {what}", number(*of))).collect();
                (tile("Instances", &number(instances.managed), &if more.is_empty() { "every one has a policy".to_owned() } else { more.join(", ") }, None))
            }
            @if !known.is_empty() { (storage_tiles(status, &known)) }
            (freed(status))
            @if unconfirmed > 0 { (tile("Unconfirmed", &number(unconfirmed), "accepted, not seen to be gone yet", None)) }
        }
        @if status.instances.is_some_and(|instances| instances.overlapping > 0) {
            // Said, not hidden: the sums are of policies.
            p.one.d { "Backups that two policies select are counted by both." }
        }
    }
}

/// What was freed, and saved this month where the price is known.
fn freed(status: &Status) -> Markup {
    let Some(first) = status.storage.first() else {
        return Markup::default();
    };
    let zone = common_zone(status.policies.iter().map(|policy| policy.zone));
    let sum = |days: &mut dyn Iterator<Item = u64>| days.fold(0, u64::saturating_add);
    let freed = sum(&mut status.storage.iter().map(|day| day.freed_bytes));
    let today = status.at.date_naive();
    let is_this_month =
        |day: &&crate::status::StorageDay| (day.day.year(), day.day.month()) == (today.year(), today.month());
    let this_month = sum(&mut status.storage.iter().filter(is_this_month).map(|day| day.freed_bytes));
    html! {
        (tile("Freed", &size(freed), &format!("since {}", day_zoned(first.first_run, zone)), None))
        @if let Some(saved) = money(status, this_month) {
            (tile("Saved by this month's deletions", &format!("{saved} a month"), &format!("{} freed", size(this_month)), None))
        }
    }
}
