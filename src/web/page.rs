//! The pages: HTML documents made from what is known, without script and without anything from elsewhere.
//!
//! Pure. The first one answers, in this order: is all well; what needs an operator, with the command that helps; what is deleted next;
//! how each policy does; what is stored, was deleted and is held; what happens to which backup. Names come from the cloud and are hostile:
//! `html!` escapes them, and [`html::cleaned`] spells out the rest. A page is less than 200 kB, however large the fleet: what does not
//! fit is on the next one (`/?from=N`), and every instance (`/?instance=ID`), policy (`/policy/NAME`) and backup (`/why/ID`) has its own.

mod alerts;
mod backup_table;
mod deletions;
mod first_steps;
mod forecast;
mod history;
mod holds;
mod html;
mod instance;
mod instances;
mod layout;
mod policies;
mod storage;
mod strip;
mod summary;
mod timeline;
mod tonight;
mod why;

use std::sync::Arc;

use maud::{Markup, html};
use sha2::{Digest, Sha256};

use self::html::{cleaned, clip, instant, time};
use self::layout::{LONGEST_NAME, section};
use crate::ledger::PastDeletion;
use crate::operations::forecast_picture::ForecastPicture;
use crate::operations::history::HistoryEntry;
use crate::operations::next_runs::NextRun;
use crate::retention::{BackupId, PolicyName, Zone};
use crate::status::{Status, alerts};
use crate::wording::times::{common_zone, moment};

pub use self::history::MOST_RUNS;

const STYLE: &str = include_str!("page/style.css");
/// The first page loads itself again after so many seconds.
const REFRESH: u32 = 60;
/// A longer name in an address is not looked for.
const LONGEST_ADDRESS: usize = 200;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    /// Everything.
    Overview(Overview),
    /// The forecast of a policy.
    Policy(PolicyName),
    /// What is known of a backup.
    Why(BackupId),
    /// Past runs, of one policy or of all.
    History(Option<PolicyName>),
}

/// What is asked of the first page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// The instances, or of one instance the backups, from this one on, counted from 0.
    pub from: usize,
    /// The instance with this id, else those whose names hold it.
    pub instance: Option<String>,
    /// It does not load itself again.
    pub is_still: bool,
}

impl View {
    /// From the path and query of a request; `None` where there is no page. Of the query, what is not understood is left out: an old
    /// bookmark still leads somewhere.
    pub fn of(path: &str, query: Option<&str>) -> Option<Self> {
        let name = |part: &str| Some(decoded(part)).filter(|name| !name.is_empty() && name.len() <= LONGEST_ADDRESS);
        let pairs = || url::form_urlencoded::parse(query.unwrap_or("").as_bytes());
        if let Some(part) = path.strip_prefix("/policy/") {
            return Some(Self::Policy(PolicyName::from(name(part)?.as_str())));
        }
        if let Some(part) = path.strip_prefix("/why/") {
            return Some(Self::Why(BackupId::from(name(part)?.as_str())));
        }
        match path {
            "/history" => {
                let policy = pairs().find(|(key, value)| key == "policy" && !value.is_empty());
                Some(Self::History(policy.map(|(_, value)| PolicyName::from(&*value))))
            }
            "/" => {
                let mut overview = Overview::default();
                for (key, value) in pairs() {
                    match &*key {
                        "from" => overview.from = value.parse().unwrap_or(0),
                        "instance" if !value.trim().is_empty() => overview.instance = Some(value.trim().to_owned()),
                        "refresh" => overview.is_still = value == "off",
                        _ => {}
                    }
                }
                Some(Self::Overview(overview))
            }
            _ => None,
        }
    }
}

/// A part of a path as its percent signs mean it.
fn decoded(part: &str) -> String {
    let query = part.replace('+', "%2B").replace('&', "%26");
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.next().map_or_else(String::new, |(key, value)| {
        if value.is_empty() {
            key.into_owned()
        } else {
            format!("{key}={value}")
        }
    })
}

/// What a page is made from.
pub struct PageData<'a> {
    /// What is known of the process and its last runs.
    pub status: &'a Status,
    /// What the next runs delete; `None` where the last listings are not in memory.
    pub next_runs: Option<Arc<[NextRun]>>,
    /// The forecast of the policy that is asked for, where there is one.
    pub picture: Option<Arc<ForecastPicture>>,
    /// The past of the backup that is asked for.
    pub past: Vec<PastDeletion>,
    /// The past runs that are asked for.
    pub runs: Vec<HistoryEntry>,
}

impl<'a> PageData<'a> {
    /// Of a status alone.
    pub fn of(status: &'a Status) -> Self {
        Self {
            status,
            next_runs: None,
            picture: None,
            past: Vec::new(),
            runs: Vec::new(),
        }
    }
}

/// A page.
pub fn render(data: &PageData<'_>, view: &View) -> String {
    let status = data.status;
    let zone = common_zone(status.policies.iter().map(|policy| policy.zone));
    let cards = alerts(status);
    let summary = summary::PageSummary::of(status, cards.len());
    let is_refreshed = matches!(view, View::Overview(overview) if !overview.is_still);
    let (title, main) = match view {
        View::Overview(overview) => match instance_of(status, overview) {
            Some(shown) => (
                clip(&shown.instance.name, LONGEST_NAME).to_owned(),
                instance::draw(status, &shown, overview.from, zone),
            ),
            None => (
                summary.title.clone(),
                self::overview(data, overview, (&summary, &cards), zone),
            ),
        },
        View::Policy(policy) => (format!("Policy {policy}"), policy_page(data, policy)),
        View::Why(id) => (
            clip(id.as_str(), LONGEST_NAME).to_owned(),
            why::draw(status, id, &data.past, zone),
        ),
        View::History(policy) => (
            "Runs".to_owned(),
            history::draw(status, policy.as_ref(), &data.runs, zone),
        ),
    };
    let is_first = matches!(view, View::Overview(_)) && main.0.contains("id=\"state\"");
    let head = html! {
        @if is_refreshed && is_first {
            // In the demo's time-lapse a minute is a year.
            meta http-equiv="refresh" content=(if crate::clock::is_ahead() { 2 } else { REFRESH });
        }
        title { (title) " - rds-retentiond" }
        link rel="icon" href=(summary.icon());
    };
    let body = html! {
        header.top {
            h1 { a href="/" { "rds-retentiond" } }
            (navigation(is_first))
        }
        main { (main) }
        (footer(status, is_first.then_some(is_refreshed), zone))
    };
    document(head, body)
}

/// A forecast as a document of its own, with all it needs in it.
pub fn forecast_document(picture: &ForecastPicture) -> String {
    let head = html! { title { "Forecast for " (picture.subject) } };
    let body = html! {
        header.top { h1 { "rds-retentiond" } }
        main { (forecast::draw(picture)) }
        footer {
            p {
                "Version " (env!("CARGO_PKG_VERSION")) ", made from what was there at " (moment(picture.from, picture.zone)) " "
                (picture.zone.name()) "."
            }
        }
    };
    document(head, body)
}

fn document(head: Markup, body: Markup) -> String {
    let (head, body) = (cleaned(head).0, cleaned(body).0);
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         {head}<style>{STYLE}</style></head><body>{body}</body></html>"
    )
}

/// The one instance that is asked for by its id, or by a name that no other instance has a part of.
fn instance_of<'a>(status: &'a Status, overview: &Overview) -> Option<instances::ShownInstance<'a>> {
    let asked = overview.instance.as_deref()?;
    instances::gather(status, Some(asked)).into_iter().next()
}

fn navigation(is_first: bool) -> Markup {
    html! {
        nav aria-label="Parts" {
            @if is_first {
                a href="#policies" { "Policies" }
                a href="#storage" { "Storage" }
                a href="#deletions" { "Deletions" }
                a href="#holds" { "Holds" }
                a href="#instances" { "Instances" }
            } @else {
                a href="/" { "Overview" }
                a href="/#instances" { "All instances" }
            }
            a href="/history" { "Runs" }
        }
    }
}

fn overview(
    data: &PageData<'_>,
    overview: &Overview,
    (summary, cards): (&summary::PageSummary, &[crate::status::Alert]),
    zone: Zone,
) -> Markup {
    let status = data.status;
    let top = cleaned(html! {
        (summary.draw(status, zone))
        (alerts::draw(cards))
        (first_steps::draw(status))
        (tonight::draw(status, data.next_runs.as_deref(), zone))
        (section("policies", "Policies", &policies::draw(status)))
        (section("storage", "Storage", &storage::draw(status)))
        (section("deletions", "Last deletions", &deletions::draw(status, zone)))
        (section("holds", "Holds", &holds::draw(status, zone)))
    });
    let shown = (overview.instance.as_deref(), overview.from);
    let instances = instances::draw(status, shown, top.0.len(), zone);
    html! { (top) (section("instances", "Instances and their backups", &instances)) }
}

fn policy_page(data: &PageData<'_>, policy: &PolicyName) -> Markup {
    let program = data.status.program();
    html! {
        @match &data.picture {
            Some(picture) => (forecast::draw(picture)),
            None => {
                h2 { "Policy " (policy.as_str()) }
                p { "There is no such policy, or its last run is not in memory: it is after the next one." }
            }
        }
        p.d { "The same as a file, beside an edited configuration:" }
        pre { (program) " forecast --format html --policy " (crate::wording::remedies::shell_word(policy.as_str())) " --against NEW.yaml > forecast.html" }
    }
}

/// The source that a Content-Security-Policy must allow for the page's one style element: `sha256-…`.
pub fn style_source() -> String {
    format!("'sha256-{}'", base64(&Sha256::digest(STYLE.as_bytes())))
}

/// Base64 (RFC 4648) of a digest; a crate for one hash would be a crate too many.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for part in bytes.chunks(3) {
        let bits = part.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= part.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

/// `refreshes` is said where the page can.
fn footer(status: &Status, refreshes: Option<bool>, zone: Zone) -> Markup {
    let sha256 = status.config.sha256.get(..12).unwrap_or(&status.config.sha256);
    html! {
        footer {
            p {
                "As of " (instant(status.at, zone)) ", times in " (zone.name()) ". "
                @match refreshes {
                    Some(true) => { "This page reloads itself every minute: " a href="/?refresh=off" { "stop that" } },
                    Some(false) => a href="/" { "Load it again every minute" },
                    None => a href="/" { "Overview" },
                }
                " · " a href="/api/v1/status" { "View as JSON" } " · " a href="/metrics" { "Metrics" }
            }
            p {
                "Version " (status.version) ", running since " (time(status.started_at.unwrap_or(status.at), status.at, zone))
                ". Configuration " code { (status.config.path.to_string_lossy()) } " (" (sha256) "), in force since "
                (time(status.config.loaded_at, status.at, zone)) "."
            }
        }
    }
}

#[cfg(test)]
mod tests;
