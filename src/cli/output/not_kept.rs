//! What an expired backup lacks: rules whose slots newer backups fill, durations that it has outlived, periods of which a newer one
//! is kept.
//!
//! Taken from the reasons of its instance's kept backups, so that it says what was decided and decides nothing again.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::retention::policy::{Count, Period};
use crate::retention::report::{Action, BackupRow};
use crate::retention::{Backup, BackupStatus, Databases, KeepRule, KeptBy, Series, Zone};

/// How far the rules of a policy reach on one instance.
pub(super) struct Reach<'a> {
    rules: &'a [KeepRule],
    zone: Zone,
    /// How many slots of a rule are filled.
    slots: HashMap<(Series, KeepRule), u32>,
    /// The newest COMPLETED backup that counts.
    newest: HashMap<Series, DateTime<Utc>>,
}

impl<'a> Reach<'a> {
    /// On the instance of these rows.
    pub(super) fn of(rules: &'a [KeepRule], zone: Zone, rows: &[&BackupRow]) -> Self {
        let (mut slots, mut newest) = (HashMap::new(), HashMap::new());
        for row in rows {
            let Action::Keep(reasons) = &row.action else { continue };
            for reason in reasons {
                let Some(series) = &reason.series else { continue };
                // The oldest takes a slot that nothing else fills.
                if let (KeptBy::Rule(rule), Some(slot), false) = (&reason.keeper, reason.slot, reason.oldest) {
                    let most: &mut u32 = slots.entry((series.clone(), *rule)).or_default();
                    *most = slot.max(*most);
                }
                if let Some(begin) = row
                    .backup
                    .begin
                    .filter(|_| row.backup.status == BackupStatus::Completed)
                {
                    let known = newest.entry(series.clone()).or_insert(begin);
                    *known = begin.max(*known);
                }
            }
        }
        Self {
            rules,
            zone,
            slots,
            newest,
        }
    }

    /// Why no rule keeps a backup: `no slot left in last 7, daily 14; a newer one kept in its week, month`. `None` where that cannot be said in
    /// few words.
    pub(super) fn lacks(&self, backup: &Backup) -> Option<String> {
        let series = match &backup.databases {
            Databases::Named(names) => match &names[..] {
                [one] => Series::Database(one.clone()),
                _ => return None,
            },
            _ => Series::Full,
        };
        let (mut full, mut outlived, mut periods) = (Vec::new(), Vec::new(), Vec::new());
        for rule in self.rules {
            let (slots, span, period) = match *rule {
                KeepRule::Last(slots) => (slots, None, None),
                KeepRule::Counted(period, slots) => (slots, None, Some(period)),
                KeepRule::Within(span) => (Count::All, Some(span), None),
                KeepRule::WithinPeriod(period, span) => (Count::All, Some(span), Some(period)),
            };
            let filled = self.slots.get(&(series.clone(), *rule)).copied().unwrap_or(0);
            let edge = span.and_then(|span| span.before(*self.newest.get(&series)?, self.zone));
            let is_older = edge.zip(backup.begin).is_some_and(|(edge, begin)| begin <= edge);
            let said = format!("{} {}", rule.key(), rule.value());
            match (slots, period) {
                (Count::AtMost(most), _) if filled >= most.get() => full.push(said),
                _ if is_older => outlived.push(said),
                (_, Some(period)) => periods.push(name(period)),
                (_, None) => return None,
            }
        }
        periods.dedup();
        let mut parts = Vec::new();
        if !full.is_empty() {
            parts.push(format!("no slot left in {}", full.join(", ")));
        }
        if !outlived.is_empty() {
            parts.push(format!("older than {}", outlived.join(", ")));
        }
        if !periods.is_empty() {
            parts.push(format!("a newer one kept in its {}", periods.join(", ")));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

fn name(period: Period) -> &'static str {
    match period {
        Period::Hour => "hour",
        Period::Day => "day",
        Period::Week => "week",
        Period::Month => "month",
        Period::Quarter => "quarter",
        Period::Year => "year",
    }
}
