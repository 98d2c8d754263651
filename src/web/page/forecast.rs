//! A forecast as a picture: what goes on which day, and storage and money week by week; under one configuration, or two beside each other.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{Datelike, Days, NaiveDate};
use maud::{Markup, html};

use super::html::clip;
use super::layout::{LONGEST_NAME, row, section, table};
use super::storage::swatch;
use crate::operations::forecast_picture::{ForecastPicture, GoingOnDay, PictureSide};
use crate::retention::PolicyName;
use crate::retention::report::Tally;
use crate::retention::weeks::Week;
use crate::wording::numbers::{count, number, size};
use crate::wording::times::{day, interval};

/// The height of the chart of storage.
const HEIGHT: u128 = 200;
/// Days on which something goes that are listed; the calendar has them all.
const MOST_DAYS: usize = 14;
/// A day of the calendar, with the gap behind it.
const CELL: u64 = 13;
/// Weeks in one row of the calendar.
const ROW: u64 = 54;

pub(super) fn draw(picture: &ForecastPicture) -> Markup {
    html! {
        section aria-labelledby="forecast" {
            h2 id="forecast" { "Forecast for " (picture.subject) " until " (day(picture.until, picture.zone)) }
            (tiles(picture))
            p.d { (assumptions(picture)) }
            @for side in &picture.sides {
                @if !side.dry_run.is_empty() {
                    p { span.chip.warn { "dry run" } " Nothing of this goes while " (names(side)) " of " (clip(&side.file, LONGEST_NAME)) " is in dry-run." }
                }
            }
            @if picture.unread > 0 { p { span.chip.warn { "incomplete" } " " (count(picture.unread as u64, "listing")) " could not be read." } }
        }
        (section("storage", if picture.price.is_some() { "Storage and money" } else { "Storage" }, &storage(picture)))
        (section("calendar", "What goes on which day", &calendars(picture)))
    }
}

fn names(side: &PictureSide) -> String {
    let names: Vec<&str> = side.dry_run.iter().map(PolicyName::as_str).collect();
    names.join(", ")
}

fn assumptions(picture: &ForecastPicture) -> String {
    let new = picture.backup_every.map_or_else(
        || "no new backups (on a page never of more than 100 instances; `--backup-every` assumes some)".to_owned(),
        |every| {
            format!(
                "one more backup on each instance every {}, and other kinds at their own pace",
                interval(every)
            )
        },
    );
    format!(
        "Assumed: {new}; runs at the policies' schedules, or daily; nothing is refused by the guard. Days are in {}.",
        picture.zone.name()
    )
}

fn cost(picture: &ForecastPicture, bytes: u64) -> Option<String> {
    picture.price.as_ref().map(|price| price.of(bytes))
}

fn tiles(picture: &ForecastPicture) -> Markup {
    let tile = |title: &str, of: Tally| {
        html! {
            div {
                dt { (title) }
                dd { (number(of.count)) " " small { (size(of.bytes)) @if let Some(cost) = cost(picture, of.bytes) { br; (cost) " a month" } } }
            }
        }
    };
    let several = picture.sides.len() > 1;
    html! {
        @for side in &picture.sides {
            div.hero {
                @if several { p.one { strong { (clip(&side.file, LONGEST_NAME)) } } }
                dl.tiles {
                    (tile("Backups now", side.now))
                    (tile("Of them go", side.days.values().fold(Tally::default(), |sum, day| sum.and(day.goes))))
                    (tile("Of them stay", side.stays))
                    (tile("Backups in the end", side.left()))
                }
            }
        }
    }
}

/// The points of a side: what is there now, and at the end of each week.
fn points(side: &PictureSide) -> Vec<Tally> {
    let weeks = side.weeks.iter().map(|week| week.left);
    std::iter::once(side.now).chain(weeks).collect()
}

fn storage(picture: &ForecastPicture) -> Markup {
    let lines: Vec<Vec<Tally>> = picture.sides.iter().map(points).collect();
    let most = lines.iter().flatten().map(|of| of.bytes).max().unwrap_or(0);
    let steps = lines.first().map_or(1, |line| line.len().saturating_sub(1)).max(1);
    let x = |nth: usize| nth * 1000 / steps;
    let y = |bytes: u64| HEIGHT - u128::from(bytes) * (HEIGHT - 6) / u128::from(most.max(1));
    let path = |line: &[Tally]| {
        let mut path = String::new();
        for (nth, of) in line.iter().enumerate() {
            let _ = write!(path, "{}{} {}", if nth == 0 { 'M' } else { 'L' }, x(nth), y(of.bytes));
        }
        path
    };
    html! {
        figure.card.fig {
            figcaption {
                span { "What is there at the end of each week, the assumed backups included." }
                span.key {
                    @for (side, class) in picture.sides.iter().zip(["k", "h"]) { span { (swatch(class)) " " (clip(&side.file, LONGEST_NAME)) } }
                }
            }
            div.plot {
                span.y { (size(most)) @if let Some(cost) = cost(picture, most) { br; (cost) } }
                svg.days role="img" viewBox={ "0 0 1000 " (HEIGHT) } preserveAspectRatio="none"
                    aria-label={ "Storage from " (day(picture.from, picture.zone)) " to " (day(picture.until, picture.zone)) } {
                    path class="a" d={ "M0 6H1000M0 " (HEIGHT) "H1000M0 " (HEIGHT / 2 + 3) "H1000" } {}
                    @for (nth, line) in lines.iter().enumerate() {
                        @if nth == 0 { path class="fill" d={ (path(line)) "V" (HEIGHT) "H0Z" } {} }
                        path class={ "line" (nth) } d=(path(line)) {}
                    }
                    @for (nth, week) in picture.sides[0].weeks.iter().enumerate() {
                        rect class="t" x=(x(nth)) width=(x(nth + 1) - x(nth)) height=(HEIGHT) { title { (numbers(picture, nth, week)) } }
                    }
                }
                p.ends { span { (day(picture.from, picture.zone)) } span { (day(picture.until, picture.zone)) } }
            }
            (behind(picture))
        }
    }
}

/// What there is at the end of a week, on each side.
fn numbers(picture: &ForecastPicture, nth: usize, week: &Week) -> String {
    let mut text = day(week.until, picture.zone);
    for side in &picture.sides {
        let left = side.weeks.get(nth).map_or_else(Tally::default, |week| week.left);
        let _ = write!(text, "; {}, {}", count(left.count, "backup"), size(left.bytes));
        if let Some(cost) = cost(picture, left.bytes) {
            let _ = write!(text, ", {cost} a month");
        }
    }
    text
}

/// The numbers behind the chart, every fourth week.
fn behind(picture: &ForecastPicture) -> Markup {
    let mut columns = vec![("Until".to_owned(), false)];
    for side in &picture.sides {
        let of = if picture.sides.len() > 1 {
            format!(", {}", clip(&side.file, LONGEST_NAME))
        } else {
            String::new()
        };
        columns.push((format!("Backups{of}"), true));
        columns.push((format!("Storage{of}"), true));
        if picture.price.is_some() {
            columns.push((format!("A month{of}"), true));
        }
    }
    let columns: Vec<(&str, bool)> = columns
        .iter()
        .map(|(title, is_number)| (title.as_str(), *is_number))
        .collect();
    let weeks = &picture.sides[0].weeks;
    let is_shown = |nth: &usize| nth % 4 == 3 || nth + 1 == weeks.len();
    let cells = |nth: usize| {
        let mut cells = vec![html! { (day(weeks[nth].until, picture.zone)) }];
        for side in &picture.sides {
            let left = side.weeks.get(nth).map_or_else(Tally::default, |week| week.left);
            cells.push(html! { (number(left.count)) });
            cells.push(html! { (size(left.bytes)) });
            cells.extend(cost(picture, left.bytes).map(|cost| html! { (cost) }));
        }
        cells
    };
    let rows = html! { @for nth in (0..weeks.len()).filter(is_shown) { (row(&columns, &cells(nth))) } };
    html! { details { summary { "Every fourth week as a table" } (table("Storage by week", &columns, &rows)) } }
}

fn calendars(picture: &ForecastPicture) -> Markup {
    let most = picture
        .sides
        .iter()
        .flat_map(|side| side.days.values())
        .map(|day| day.goes.count)
        .max();
    html! {
        p.d { "Of the backups that are there today. The more go on a day, the stronger its colour; point at a day for its backups." }
        @for side in &picture.sides {
            figure.card.fig {
                @if picture.sides.len() > 1 { figcaption { strong { (clip(&side.file, LONGEST_NAME)) } } }
                @if side.days.is_empty() { p.d { "None of today's backups will go." } }
                @else { (calendar(picture, side, most.unwrap_or(1))) (first_days(picture, side)) }
            }
        }
    }
}

/// Weeks from left to right, days from Monday down; a year in each row.
fn calendar(picture: &ForecastPicture, side: &PictureSide, most: u64) -> Markup {
    let first = picture.zone.wall(picture.from).date();
    let last = picture.zone.wall(picture.until).date();
    let monday = first - Days::new(u64::from(first.weekday().num_days_from_monday()));
    let weeks = (last - monday).num_days() / 7 + 1;
    let rows = u64::try_from(weeks).unwrap_or(1).div_ceil(ROW);
    html! {
        @for nth in 0..rows {
            @let begin = monday + Days::new(nth * ROW * 7);
            @let end = (begin + Days::new(ROW * 7)).min(last + Days::new(1));
            div.s tabindex="0" role="region" aria-label={ "Calendar from " (begin.max(first)) } { (calendar_row((begin, end), first, &side.days, most)) }
        }
    }
}

fn calendar_row(
    (begin, end): (NaiveDate, NaiveDate),
    first: NaiveDate,
    days: &BTreeMap<NaiveDate, GoingOnDay>,
    most: u64,
) -> Markup {
    let mut empty = String::new();
    let mut months = Vec::new();
    let place = |date: NaiveDate| {
        let nth = u64::try_from((date - begin).num_days()).unwrap_or(0);
        (nth / 7 * CELL, nth % 7 * CELL + 16)
    };
    for date in begin
        .iter_days()
        .take_while(|date| *date < end)
        .filter(|date| *date >= first)
    {
        let (x, y) = place(date);
        let _ = write!(empty, "M{x} {y}h11v11h-11z");
        // A name at the end would be cut.
        if date.day() == 1 && x < (ROW - 2) * CELL {
            months.push((
                x,
                date.format(if date.month() == 1 { "%b %Y" } else { "%b" }).to_string(),
            ));
        }
    }
    html! {
        svg.cal role="img" viewBox={ "0 0 " (ROW * CELL) " " (7 * CELL + 16) } aria-label={ "Days from " (begin.max(first)) } {
            @for (x, month) in &months { text x=(x) y="10" { (month) } }
            path class="none" d=(empty) {}
            @for (date, going) in days.range(begin.max(first)..end) {
                @let (x, y) = place(*date);
                rect class={ "x" (strength(going.goes.count, most)) } x=(x) y=(y) width="11" height="11" rx="2" {
                    title { (date) ": " (sentence(going)) }
                }
            }
        }
    }
}

/// From 1 to 4.
fn strength(goes: u64, most: u64) -> u64 {
    (goes * 4).div_ceil(most.max(1)).clamp(1, 4)
}

fn sentence(going: &GoingOnDay) -> String {
    let mut text = format!("{}, {}", count(going.goes.count, "backup"), size(going.goes.bytes));
    for (instance, backup) in &going.names {
        let _ = write!(
            text,
            "; {} {}",
            clip(instance, LONGEST_NAME),
            clip(backup, LONGEST_NAME)
        );
    }
    if going.goes.count > going.names.len() as u64 {
        text += "; …";
    }
    text
}

fn first_days(picture: &ForecastPicture, side: &PictureSide) -> Markup {
    let mut columns = vec![("Day", false), ("Backups", true), ("Frees", true)];
    columns.extend(picture.price.as_ref().map(|_| ("Saves a month", true)));
    columns.push(("The first of them", false));
    let cells = |date: &NaiveDate, going: &GoingOnDay| {
        let names: Vec<String> = going
            .names
            .iter()
            .map(|(instance, backup)| format!("{} {}", clip(instance, LONGEST_NAME), clip(backup, LONGEST_NAME)))
            .collect();
        let mut cells = vec![
            html! { (date) },
            html! { (number(going.goes.count)) },
            html! { (size(going.goes.bytes)) },
        ];
        cells.extend(cost(picture, going.goes.bytes).map(|cost| html! { (cost) }));
        cells.push(html! { (names.join(", ")) });
        cells
    };
    let rows =
        html! { @for (date, going) in side.days.iter().take(MOST_DAYS) { (row(&columns, &cells(date, going))) } };
    html! {
        details { summary { "The next days as a table" } (table("What goes on the next days", &columns, &rows)) }
        @if side.days.len() > MOST_DAYS { p.d { "and on " (count((side.days.len() - MOST_DAYS) as u64, "day")) " more" } }
    }
}
