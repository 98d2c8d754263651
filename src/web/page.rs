//! The status page: one HTML document made from a [`Status`], without script and without anything from elsewhere.
//!
//! Pure. It answers, in this order: is all well; what needs an operator, with the command that helps; when what runs; what
//! is held; what happens to which backup. Names come from the cloud and are hostile: everything goes through `html::text`. A
//! page is less than 200 kB, however large the fleet: what does not fit is on the next one (`/?from=N`), and every
//! instance has a page of its own with all its backups (`/?instance=ID`).

mod alerts;
mod backup_table;
mod holds;
mod html;
mod instance;
mod instances;
mod layout;
mod policies;
mod storage;
mod summary;
mod timeline;

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use self::html::{text, time};
use crate::status::{Alert, Status};

const STYLE: &str = include_str!("page/style.css");
/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    /// Everything, and the instances from this one on, counted from 0.
    Overview(usize),
    /// One instance by its id, its backups from this one on.
    Instance(String, usize),
}

impl View {
    /// From the query of a request. What is not understood is the overview: an old bookmark still leads somewhere.
    pub fn of(query: Option<&str>) -> Self {
        let (mut from, mut instance) = (0, None);
        for (key, value) in url::form_urlencoded::parse(query.unwrap_or("").as_bytes()) {
            match &*key {
                "from" => from = value.parse().unwrap_or(0),
                "instance" => instance = Some(value.into_owned()),
                _ => {}
            }
        }
        match instance {
            Some(id) => Self::Instance(id, from),
            None => Self::Overview(from),
        }
    }

    /// The page that most ask for.
    pub const FIRST: Self = Self::Overview(0);
}

/// A page.
pub fn render(status: &Status, view: &View) -> String {
    let mut out = String::with_capacity(64 * 1024);
    let cards = crate::status::alerts(status);
    let state = summary::PageSummary::of(status, cards.len());
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{} - rds-retentiond</title><link rel=\"icon\" href=\"{}\"><style>{STYLE}</style></head><body>",
        match view {
            View::Overview(_) => state.title.clone(),
            View::Instance(id, _) => instance::title(status, id),
        },
        state.icon(),
    );
    match view {
        View::Overview(from) => overview(&mut out, status, (&state, &cards), *from),
        View::Instance(id, from) => instance::draw(&mut out, status, id, *from),
    }
    footer(&mut out, status);
    out.push_str("</body></html>");
    out
}

fn overview(out: &mut String, status: &Status, (state, cards): (&summary::PageSummary, &[Alert]), from: usize) {
    out.push_str(
        "<header class=\"top\"><h1>rds-retentiond</h1><nav aria-label=\"On this page\"><a href=\"#policies\">Policies</a>\
         <a href=\"#storage\">Storage</a><a href=\"#holds\">Holds</a><a href=\"#instances\">Instances</a></nav></header><main>",
    );
    state.draw(out, status);
    alerts::draw(out, cards);
    section(out, "policies", "Policies", |out| policies::draw(out, status));
    section(out, "storage", "Storage", |out| storage::draw(out, &status.storage));
    section(out, "holds", "Holds", |out| holds::draw(out, status));
    section(out, "instances", "Instances and their backups", |out| {
        instances::draw(out, status, from);
    });
    out.push_str("</main>");
}

fn section(out: &mut String, id: &str, title: &str, draw: impl FnOnce(&mut String)) {
    let _ = write!(out, "<section aria-labelledby=\"{id}\"><h2 id=\"{id}\">{title}</h2>");
    draw(out);
    out.push_str("</section>");
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

fn footer(out: &mut String, status: &Status) {
    let sha256 = status.config.sha256.get(..12).unwrap_or(&status.config.sha256);
    let _ = write!(
        out,
        "<footer><p>As of {}, all times UTC. <a href=\"/\">Reload</a> · <a href=\"/api/v1/status\">The same as JSON</a> · <a href=\"/metrics\">Metrics</a></p>\
         <p>Version {}, running since {}. Configuration <code>{}</code> ({}), in force since {}.</p></footer>",
        status.at.format("%Y-%m-%d %H:%M:%S"),
        text(status.version),
        time(status.started_at.unwrap_or(status.at), status.at),
        text(&status.config.path.to_string_lossy()),
        text(sha256),
        time(status.config.loaded_at, status.at),
    );
}

#[cfg(test)]
#[path = "page/tests.rs"]
mod tests;
