//! What needs an operator: a rejected configuration, what the guard holds back with the command that lets it pass, and the
//! other problems. What one command or one cause explains is one card, however many instances it concerns.

use std::fmt::Write as _;

use super::html::{clip, text};
use super::layout::{MAX_ENTRIES, program};
use crate::retention::{PolicyName, Refusal};
use crate::status::{PolicyStatus, Problem, Status};
use crate::wording::remedies::{Remedy, remedy, remedy_of_limit};

/// A message may hold what a server said; more of it is in the log.
const LONGEST_MESSAGE: usize = 600;
/// Messages on one card.
const MOST_LINES: usize = 8;

/// One thing that needs a look. Nothing in it is escaped yet.
pub(super) struct Card {
    title: String,
    lines: Vec<String>,
    way: Option<Remedy>,
}

/// All there is, the gravest first.
pub(super) fn cards(status: &Status) -> Vec<Card> {
    let mut cards = Vec::new();
    cards.extend(configuration(status));
    refusals(status, &mut cards);
    let mut left_alone = Vec::new();
    for problem in &status.problems {
        match problem.about {
            // These have cards already.
            "configuration" if !status.config.last_reload_ok => {}
            "guard" if is_told(status, problem, &cards) => {}
            "instance" if cards.iter().any(|card| card.tells(&problem.message)) => {}
            "instance" => left_alone.push(problem.message.clone()),
            about => cards.push(Card {
                title: title(about, problem.policy.as_ref()),
                lines: vec![problem.message.clone()],
                way: None,
            }),
        }
    }
    if !left_alone.is_empty() {
        cards.push(Card {
            title: "Left alone".to_owned(),
            lines: left_alone,
            way: None,
        });
    }
    cards
}

impl Card {
    /// Whether one of its lines is what this message says of an instance.
    fn tells(&self, message: &str) -> bool {
        self.way.is_some() && self.lines.iter().any(|line| message.ends_with(line.as_str()))
    }
}

fn title(about: &str, policy: Option<&PolicyName>) -> String {
    let subject = match about {
        "run" => "Last run",
        "guard" => "Refused",
        "state" => "State",
        "stopping" => "Stopping",
        other => other,
    };
    match policy {
        Some(policy) => format!("{subject}, policy {policy}"),
        None => subject.to_owned(),
    }
}

/// What a freeze refuses that is in force is no news: the headline says it, with the command that ends it.
fn is_of_the_freeze(status: &Status, limit: &str) -> bool {
    status.freeze.is_some() && limit == "freeze"
}

/// A card for each policy and each way out: a hundred instances over `max_percent` need one approval.
fn refusals(status: &Status, cards: &mut Vec<Card>) {
    for PolicyStatus { policy, last_run, .. } in &status.policies {
        let report = status.reports.get(policy);
        let own = report.iter().flat_map(|report| &report.policies);
        let own = own.filter(|part| part.policy == *policy);
        let seen: Vec<&Refusal> = own
            .flat_map(|part| &part.refusals)
            .filter(|refusal| !is_of_the_freeze(status, refusal.limit()))
            .collect();
        let begin = cards.len();
        let refused = last_run.as_ref().and_then(|run| run.refusal.as_ref());
        let digest = refused.and_then(|refusal| refusal.digest.as_deref());
        for refusal in &seen {
            // A freeze that is in force has no card: this one has ended.
            let way = (refusal.limit() != "freeze").then(|| remedy(refusal, policy.as_str(), digest, &program(status)));
            let title = format!("Refused by {}, policy {policy}", refusal.limit());
            let line = refusal.to_string();
            match cards[begin..]
                .iter_mut()
                .find(|card| card.way == way && card.title == title)
            {
                Some(card) => card.lines.push(line),
                None => cards.push(Card {
                    title,
                    lines: vec![line],
                    way,
                }),
            }
        }
        // Of a run from before this process started only the limit is remembered.
        if seen.is_empty()
            && let Some(refusal) = refused
            && !is_of_the_freeze(status, &refusal.limit)
        {
            cards.push(Card {
                title: format!("Refused by {}, policy {policy}", refusal.limit),
                lines: vec!["The last run before this process started was refused; the next run says more.".to_owned()],
                way: remedy_of_limit(&refusal.limit, policy.as_str(), digest, &program(status)),
            });
        }
    }
}

/// Whether a problem of the guard is on a card, or is the freeze's. A refused plan may wait still although the last run failed:
/// then it is not.
fn is_told(status: &Status, problem: &Problem, cards: &[Card]) -> bool {
    let Some(policy) = &problem.policy else { return false };
    let end = format!(", policy {policy}");
    let last = status.policies.iter().find(|it| it.policy == *policy);
    let refusal = last.and_then(|it| it.last_run.as_ref()?.refusal.as_ref());
    cards.iter().any(|card| card.title.ends_with(&end))
        || refusal.is_some_and(|refusal| is_of_the_freeze(status, &refusal.limit))
}

fn configuration(status: &Status) -> Option<Card> {
    let intro = "The files have changed, and what is in them now is not in force. In force is what was loaded before.";
    (!status.config.last_reload_ok).then(|| Card {
        title: "Configuration".to_owned(),
        lines: [intro.to_owned()]
            .into_iter()
            .chain(status.config.problems.iter().cloned())
            .collect(),
        way: Some(Remedy::Command(format!("{} check", program(status)))),
    })
}

pub(super) fn draw(out: &mut String, cards: &[Card]) {
    if cards.is_empty() {
        return;
    }
    out.push_str("<section aria-labelledby=\"look\"><h2 id=\"look\">Needs a look</h2><ul class=\"look\">");
    for card in cards.iter().take(MAX_ENTRIES) {
        draw_one(out, card);
    }
    if cards.len() > MAX_ENTRIES {
        let _ = write!(
            out,
            "<li class=\"card\">and {} more; <a href=\"/api/v1/status\">the JSON</a> and the log have them all</li>",
            cards.len() - MAX_ENTRIES
        );
    }
    out.push_str("</ul></section>");
}

fn draw_one(out: &mut String, card: &Card) {
    let _ = write!(out, "<li class=\"card\"><h3>{}</h3>", text(&card.title));
    for line in card.lines.iter().take(MOST_LINES) {
        let _ = write!(out, "<p>{}</p>", text(clip(line, LONGEST_MESSAGE)));
    }
    if card.lines.len() > MOST_LINES {
        let _ = write!(out, "<p class=\"d\">and {} more</p>", card.lines.len() - MOST_LINES);
    }
    let _ = match &card.way {
        Some(Remedy::Command(command)) => write!(out, "<pre>{}</pre>", text(command)),
        Some(Remedy::Words(words)) => write!(out, "<p>To let it pass: {}.</p>", text(words)),
        None => Ok(()),
    };
    out.push_str("</li>");
}
