//! The picture of one instance: each backup a mark on an axis of age, coloured and shaped by what happens to it.
//!
//! The recent past is drawn wider, on a scale that is the same for all instances of a page: the days of this week and the
//! years of the archive are both to be seen. The picture is stretched to the width it finds, so marks are strokes that no
//! stretching turns into something else: dots, squares, and upright lines. Marks of one kind and reason share a path where
//! there are many, so that a page of two hundred instances stays small. Not for the table behind it: that is `backup_table`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, PreEscaped, html};

use super::html::why;
use crate::retention::report::{Action, BackupRow};
use crate::retention::{BackupStatus, Fate, KeptBy, Outcome, Zone};
use crate::wording::times::{day, moment};

/// What a mark says, in the order of the legend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MarkKind {
    Keep,
    Held,
    Wait,
    Delete,
    Failed,
    Other,
}

impl MarkKind {
    pub(super) const ALL: [Self; 6] = [
        Self::Keep,
        Self::Held,
        Self::Wait,
        Self::Delete,
        Self::Failed,
        Self::Other,
    ];

    pub(super) fn of(row: &BackupRow) -> Self {
        if row.fate.is_some() {
            return Self::Delete;
        }
        let held = |keeper: &KeptBy| matches!(keeper, KeptBy::Hold(_));
        let strange = |keeper: &KeptBy| {
            matches!(
                keeper,
                KeptBy::InProgress
                    | KeptBy::UnknownStatus
                    | KeptBy::UnknownEngine
                    | KeptBy::UnknownTime
                    | KeptBy::FutureDated
                    | KeptBy::Changed
                    | KeptBy::Contested
                    | KeptBy::InUse
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
            Self::Other => "in progress or unknown",
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

    /// How it is drawn: where it begins above the line, the stroke, and where that ends below it. Not colour alone tells
    /// kinds apart: a line of no length is a dot or a square by its cap (`style.css`); the others are upright lines: thick,
    /// thin, and broken.
    fn stroke(self) -> (i32, &'static str, i32) {
        match self {
            Self::Keep | Self::Held | Self::Other => (0, "h0", 0),
            Self::Wait => (-3, "v6", 3),
            Self::Delete => (-8, "v16", 8),
            Self::Failed => (-8, "v6m0 4v6", 8),
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

/// Left and right end, in thousandths of the width.
const LEFT: f64 = 8.0;
const RIGHT: f64 = 992.0;
/// Names of lines that are nearer to each other than this are left out, the younger one: on a telephone they would touch.
const APART: u32 = 150;
/// Up to this many days the scale is a square root; beyond, where years must fit too, a cube root.
const SHORT: f64 = 120.0;

impl Axis {
    pub(super) fn over(begun: impl Iterator<Item = DateTime<Utc>>, now: DateTime<Utc>) -> Self {
        let oldest = begun.min().unwrap_or(now);
        Self {
            now,
            longest: days(now - oldest).max(7.0),
        }
    }

    fn place(&self, age: f64) -> u32 {
        let share = (age.max(0.0) / self.longest).min(1.0);
        let share = if self.longest <= SHORT {
            share.sqrt()
        } else {
            share.cbrt()
        };
        let x = RIGHT - (RIGHT - LEFT) * share;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between LEFT and RIGHT"
        )]
        let x = x.round() as u32;
        x
    }

    fn ticks(&self) -> impl Iterator<Item = (u32, &'static str)> {
        let shown = TICKS.iter().filter(|(age, _)| *age <= self.longest);
        shown.rev().map(|(age, name)| (self.place(*age), *name))
    }

    /// What every picture of the page begins with, drawn once.
    pub(super) fn symbol(&self) -> Markup {
        let mut lines = String::new();
        for (x, _) in self.ticks() {
            let _ = write!(lines, "M{x}-12v24");
        }
        html! {
            svg width="0" height="0" aria-hidden="true" { defs { path id="t" class="a" d={ "M0 0H1000" (lines) } {} } }
        }
    }

    /// The names of the lines, once above all pictures.
    pub(super) fn scale(&self, class: &str) -> Markup {
        let mut names = Vec::new();
        let mut before = None;
        for (x, name) in self.ticks() {
            if x + APART > 1000 || before.is_some_and(|before| x < before + APART) {
                continue;
            }
            before = Some(x);
            names.push((x, if x < APART / 2 { "start" } else { "middle" }, name));
        }
        html! {
            div class=(class) {
                svg aria-hidden="true" {
                    @for (x, anchor, name) in names {
                        text x={ (x / 10) "." (x % 10) "%" } y="12" text-anchor=(anchor) { (name) }
                    }
                    text x="100%" y="12" text-anchor="end" { "now" }
                }
            }
        }
    }
}

fn days(span: TimeDelta) -> f64 {
    // A day has fewer seconds than a float has digits.
    #[expect(clippy::cast_precision_loss, reason = "minutes of centuries fit a float")]
    let minutes = span.num_minutes() as f64;
    minutes / 1_440.0
}

/// One picture. With `each`, every mark is an element with its own title; else marks of one reason share one.
pub(super) fn draw(rows: &[&BackupRow], axis: &Axis, each: bool, zone: Zone) -> Markup {
    // By kind, and within it by reason: the places of its marks. Many share few reasons, so that sorting is cheap.
    let mut groups: BTreeMap<(MarkKind, String), Vec<u32>> = BTreeMap::new();
    for row in rows {
        let Some(begin) = row.backup.begin else { continue };
        let kind = MarkKind::of(row);
        let mut reason = row
            .fate
            .as_deref()
            .map_or_else(|| why(&row.action, each, zone), |fate| outcome(fate).to_owned());
        if each {
            reason = format!("{}, {}: {reason}", row.backup.name, moment(begin, zone));
        }
        let places = groups.entry((kind, reason)).or_default();
        places.push(axis.place(days(axis.now - begin)));
    }
    let mut begun = rows.iter().filter_map(|row| row.backup.begin);
    let newest = begun.next();
    let span = match (begun.next_back().or(newest), newest) {
        (Some(oldest), Some(newest)) => format!(", {} to {}", day(oldest, zone), day(newest, zone)),
        _ => String::new(),
    };
    html! {
        svg role="img" viewBox="0 -12 1000 24" preserveAspectRatio="none" aria-label={ "Timeline" (span) } {
            (PreEscaped("<use href=\"#t\"></use>"))
            // What is kept lies on top.
            @for ((kind, reason), places) in groups.iter().rev() {
                path class=(kind.class()) d=(marks(*kind, places)) { title { (kind.word()) ": " (reason) } }
            }
        }
    }
}

/// Newest first, hence from right to left; at one place one mark is enough. Relative, because that is shorter.
fn marks(kind: MarkKind, places: &[u32]) -> String {
    let mut out = String::new();
    let (above, stroke, below) = kind.stroke();
    let mut pen: Option<u32> = None;
    for &place in places {
        let (to, x, y) = match pen {
            Some(at) if at == place => continue,
            Some(at) => ('m', i64::from(place) - i64::from(at), above - below),
            None => ('M', i64::from(place), above),
        };
        pen = Some(place);
        // A minus sign parts two numbers as well as a blank.
        let blank = if y < 0 { "" } else { " " };
        let _ = write!(out, "{to}{x}{blank}{y}{stroke}");
    }
    out
}

/// A mark by itself, before a word.
pub(super) fn mark(kind: MarkKind) -> Markup {
    let (above, stroke, _) = kind.stroke();
    html! {
        svg viewBox="0 0 16 16" aria-hidden="true" { path class=(kind.class()) d={ "M8 " (above + 8) (stroke) } {} }
    }
}

/// The legend: every kind with its mark.
pub(super) fn legend() -> Markup {
    html! {
        ul.key aria-label="Legend" { @for kind in MarkKind::ALL { li { (mark(kind)) " " (kind.word()) } } }
    }
}
