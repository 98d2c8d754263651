//! The picture of one instance: each backup a mark on an axis of age, coloured and shaped by what happens to it.
//!
//! Age is drawn on a logarithmic scale, the same for all instances: the days of this week and the years of the archive
//! are both to be seen. Marks of one kind and reason share a path where there are many, so that a page of two hundred
//! instances stays small. Not for the table behind it: that is `instances`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};

use super::words::{number, text, why};
use crate::retention::report::{Action, Row};
use crate::retention::{BackupStatus, Fate, Keeper, Outcome};

/// What a mark says, in the order of the legend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Keep,
    Held,
    Wait,
    Delete,
    Failed,
    Other,
}

impl Kind {
    pub(super) const ALL: [Self; 6] = [
        Self::Keep,
        Self::Held,
        Self::Wait,
        Self::Delete,
        Self::Failed,
        Self::Other,
    ];

    pub(super) fn of(row: &Row) -> Self {
        if row.fate.is_some() {
            return Self::Delete;
        }
        let held = |keeper: &Keeper| matches!(keeper, Keeper::Hold(_));
        let strange = |keeper: &Keeper| {
            matches!(
                keeper,
                Keeper::InProgress
                    | Keeper::UnknownStatus
                    | Keeper::UnknownEngine
                    | Keeper::UnknownTime
                    | Keeper::FutureDated
            )
        };
        match &row.action {
            Action::Delete(_) => Self::Delete,
            Action::Wait { .. } => Self::Wait,
            Action::Keep(reasons) if reasons.iter().any(|reason| held(&reason.keeper)) => Self::Held,
            Action::Keep(_) if row.backup.status == BackupStatus::Failed => Self::Failed,
            Action::Keep(reasons) if reasons.iter().any(|reason| strange(&reason.keeper)) => Self::Other,
            Action::Keep(_) => Self::Keep,
        }
    }

    /// The word of the legend and of tables.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Held => "held",
            Self::Wait => "wait",
            Self::Delete => "delete",
            Self::Failed => "failed",
            Self::Other => "not understood or in progress",
        }
    }

    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Keep => "k",
            Self::Held => "h",
            Self::Wait => "w",
            Self::Delete => "x",
            Self::Failed => "f",
            Self::Other => "o",
        }
    }

    /// Its shape around a point, for not colour alone tells them apart. `None` is a dot: a line of no length, round or
    /// square by its cap, which a stretched picture does not stretch and of which a path holds many.
    fn shape(self) -> Option<&'static str> {
        match self {
            Self::Keep | Self::Held => None,
            Self::Wait => Some("M-5 0L0-5L5 0L0 5z"),
            Self::Delete => Some("M-4-4L4 4M4-4L-4 4"),
            Self::Failed => Some("M-5 4H5L0-5z"),
            Self::Other => Some("M-4-4H4V4H-4z"),
        }
    }
}

/// What became of a backup that was sent, in a word.
pub(super) fn outcome(fate: &Fate) -> &'static str {
    match fate {
        Fate::Confirmed => "deleted",
        Fate::Returned => "accepted, but still there",
        Fate::Answered(Outcome::Accepted) => "deletion accepted",
        Fate::Answered(Outcome::Rejected { .. }) => "deletion rejected",
        Fate::Answered(Outcome::Unanswered { .. }) => "deletion unanswered",
    }
}

/// The axis that all pictures of a page share.
pub(super) struct Axis {
    now: DateTime<Utc>,
    /// The greatest age, in days; at least a week.
    longest: f64,
}

/// The lines across the axis: age in days, and its name.
const TICKS: [(f64, &str); 8] = [
    (1.0, "1 day"),
    (7.0, "1 week"),
    (30.44, "1 month"),
    (91.3, "3 months"),
    (365.24, "1 year"),
    (3.0 * 365.24, "3 years"),
    (7.0 * 365.24, "7 years"),
    (20.0 * 365.24, "20 years"),
];

/// Where the axis stands: left and right end, and the line of the marks.
const LEFT: f64 = 12.0;
const RIGHT: f64 = 988.0;
const LINE: u32 = 11;

impl Axis {
    pub(super) fn over<'a>(rows: impl Iterator<Item = &'a Row>, now: DateTime<Utc>) -> Self {
        let oldest = rows.filter_map(|row| row.backup.begin).min().unwrap_or(now);
        Self {
            now,
            longest: days(now - oldest).max(7.0),
        }
    }

    fn place(&self, age: f64) -> u32 {
        let share = age.max(0.0).ln_1p() / self.longest.ln_1p();
        let x = RIGHT - (RIGHT - LEFT) * share.min(1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between LEFT and RIGHT"
        )]
        let x = x.round() as u32;
        x
    }

    /// The axis itself, once a page: a symbol that every picture uses.
    pub(super) fn symbol(&self) -> String {
        let mut out = format!(
            "<svg class=\"z\" aria-hidden=\"true\"><symbol id=\"t\" viewBox=\"0 0 1000 34\" preserveAspectRatio=\"none\"><path class=\"a\" d=\"M0 {LINE}H1000"
        );
        for (age, _) in TICKS.iter().filter(|(age, _)| *age <= self.longest) {
            let _ = write!(out, "M{} 3v16", self.place(*age));
        }
        out.push_str("\"/></symbol><defs>");
        for kind in Kind::ALL {
            if let Some(shape) = kind.shape() {
                let _ = write!(out, "<path id=\"m{}\" d=\"{shape}\"/>", kind.class());
            }
        }
        out.push_str("</defs></svg>");
        out
    }

    /// The names of the lines, once above all pictures.
    pub(super) fn scale(&self) -> String {
        let mut out = "<svg class=\"y\" aria-hidden=\"true\">".to_owned();
        for (age, name) in TICKS.iter().filter(|(age, _)| *age <= self.longest) {
            let x = self.place(*age);
            let _ = write!(
                out,
                "<text x=\"{}.{}%\" y=\"12\" text-anchor=\"middle\">{name}</text>",
                x / 10,
                x % 10
            );
        }
        out.push_str("<text x=\"99%\" y=\"12\" text-anchor=\"end\">now</text></svg>");
        out
    }
}

fn days(span: TimeDelta) -> f64 {
    // A day has fewer seconds than a float has digits.
    #[expect(clippy::cast_precision_loss, reason = "minutes of centuries fit a float")]
    let minutes = span.num_minutes() as f64;
    minutes / 1_440.0
}

/// One picture. With `each`, every mark is an element with its own title; else marks of one reason share one.
pub(super) fn draw(out: &mut String, name: &str, rows: &[&Row], axis: &Axis, each: bool) {
    let mut counts: BTreeMap<Kind, u64> = BTreeMap::new();
    let mut groups: BTreeMap<(Kind, String), String> = BTreeMap::new();
    for row in rows {
        let kind = Kind::of(row);
        *counts.entry(kind).or_default() += 1;
        let Some(begin) = row.backup.begin else { continue };
        let mut reason = row
            .fate
            .as_ref()
            .map_or_else(|| why(&row.action, each), |fate| outcome(fate).to_owned());
        if each {
            reason = format!(
                "{}, {}: {reason}",
                text(&row.backup.name),
                begin.format("%Y-%m-%d %H:%M")
            );
        }
        let path = groups.entry((kind, reason)).or_default();
        let x = axis.place(days(axis.now - begin));
        let _ = match kind.shape() {
            None => write!(path, "M{x} {LINE}h0"),
            Some(_) => write!(
                path,
                "<use href=\"#m{}\" x=\"{}.{}%\" y=\"{LINE}\"/>",
                kind.class(),
                x / 10,
                x % 10
            ),
        };
    }
    let said: Vec<String> = counts
        .iter()
        .map(|(kind, count)| format!("{} {}", number(*count), kind.word()))
        .collect();
    let _ = write!(
        out,
        "<svg role=\"img\" aria-label=\"Timeline of {}: {}\"><use href=\"#t\"/>",
        text(name),
        said.join(", ")
    );
    // Dots live in a stretched picture within the picture, where a coordinate needs no per cent sign.
    for stretched in [true, false] {
        let mut begun = false;
        for ((kind, reason), marks) in groups
            .iter()
            .filter(|((kind, _), _)| kind.shape().is_none() == stretched)
        {
            let (class, word) = (kind.class(), kind.word());
            if stretched && !begun {
                out.push_str("<svg viewBox=\"0 0 1000 34\" preserveAspectRatio=\"none\">");
                begun = true;
            }
            let _ = if stretched {
                write!(
                    out,
                    "<path class=\"{class}\" d=\"{marks}\"><title>{word}: {reason}</title></path>"
                )
            } else {
                write!(out, "<g class=\"{class}\"><title>{word}: {reason}</title>{marks}</g>")
            };
        }
        if begun {
            out.push_str("</svg>");
        }
    }
    out.push_str("</svg>");
}

/// The legend: every kind with its mark.
pub(super) fn legend(out: &mut String) {
    out.push_str("<ul class=\"i\">");
    for kind in Kind::ALL {
        let class = kind.class();
        let mark = match kind.shape() {
            None => format!("<path class=\"{class}\" d=\"M8 8h0\"/>"),
            Some(_) => format!("<g class=\"{class}\"><use href=\"#m{class}\" x=\"8\" y=\"8\"/></g>"),
        };
        let _ = write!(
            out,
            "<li><svg class=\"l\" viewBox=\"0 0 16 16\" aria-hidden=\"true\">{mark}</svg> {}</li>",
            kind.word()
        );
    }
    out.push_str("</ul>");
}
