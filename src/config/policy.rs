//! Policies: from keys to [`Policy`], with every default.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::configuration::PolicyEntry;
use super::diagnostics::nearest;
use super::lint;
use super::reader::{Cursor, Fields};
use super::spec::{DELETED_INSTANCES, ENGINES, KEEP, LIMITS, POLICY, SELECT, SELECT_BACKUPS, SELECT_INSTANCES};
use super::values::Zero;
use super::yaml::{NodeKind, clip};
use super::zones::Zones;
use crate::retention::{
    DeletedInstances, Engine, InstanceId, KeepRule, KeepRules, Limits, Mode, OverLimit, Pattern, People, Period,
    Policy, PolicyName, ProjectName, Selector, Span, TagFilter, Zone,
};

/// The keys of the counted rules, in the order of [`Period::ALL`].
const COUNTED: [&str; 6] = ["hourly", "daily", "weekly", "monthly", "quarterly", "yearly"];
/// The keys of the rules within a span, in the same order.
const WITHIN: [&str; 6] = [
    "within_hourly",
    "within_daily",
    "within_weekly",
    "within_monthly",
    "within_quarterly",
    "within_yearly",
];
/// What a `within` of zero would mean.
const KEEPS_NOTHING: Zero = Zero::Refused("the rule could never keep a backup");

/// What is known outside of the policies.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// The names of the projects, if any are.
    pub(super) projects: Option<&'a [String]>,
    /// The time zones.
    pub(super) zones: &'a Zones,
    /// A file that names the state alone is enough.
    pub(super) may_be_state_alone: bool,
}

/// One policy; `None` when something in it was noted.
pub(super) fn compile(at: &Cursor<'_>, known: Known<'_>) -> Option<PolicyEntry> {
    let fields = at.section(&POLICY)?;
    let name = fields.get("name").and_then(Cursor::name);
    let mode = fields.get("mode").and_then(mode);
    let schedule = or_default(&fields, "schedule", None, |at| at.schedule().map(Some));
    let zone = or_default(&fields, "timezone", Zone::UTC, |at| at.zone(known.zones));
    let span = |key: &str, default: Span| or_default(&fields, key, default, |at| at.span(Zero::Allowed));
    let jitter = span("jitter", Span::ZERO);
    let failed_after = span("failed_after", Span::days(7));
    let grace = span("grace", Span::hours(24));
    let max_age = or_default(&fields, "max_age", None, |at| {
        at.span(Zero::Refused("every backup would expire at once")).map(Some)
    });
    let require_backup_within = or_default(&fields, "require_backup_within", None, |at| {
        at.span(Zero::Refused(
            "no backup can be this recent, and nothing would ever be deleted",
        ))
        .map(Some)
    });
    let catch_up = or_default(&fields, "catch_up", true, Cursor::boolean);
    let min_backups = or_default(&fields, "min_backups", NonZeroU32::MIN, |at| positive(at, u32::MAX));
    let limits = or_default(&fields, "limits", Limits::default(), limits);
    let approvals = or_default(&fields, "approvals", People::One, |at| {
        at.integer(1, 2)
            .map(|people| if people == 2 { People::Two } else { People::One })
    });
    let select = or_default(&fields, "select", Selector::default(), |at| {
        selector(at, known.projects)
    });
    let keep = fields.get("keep").and_then(keep);
    let entry = PolicyEntry {
        policy: Arc::new(Policy {
            name: PolicyName::from(name?),
            mode: mode?,
            zone: zone?,
            select: select?,
            keep: keep?,
            max_age: max_age?,
            failed_after: failed_after?,
            min_backups: min_backups?,
            grace: grace?,
            require_backup_within: require_backup_within?,
            limits: Limits {
                approvals: approvals?,
                ..limits?
            },
        }),
        schedule: schedule?,
        jitter: jitter?,
        catch_up: catch_up?,
    };
    lint::policy(&fields, &entry);
    Some(entry)
}

/// The default for a key that is left out; `None` for one that is wrong.
fn or_default<'t, T>(
    fields: &Fields<'t>,
    key: &str,
    default: T,
    read: impl FnOnce(&Cursor<'t>) -> Option<T>,
) -> Option<T> {
    match fields.get(key) {
        Some(at) => read(at),
        None => Some(default),
    }
}

fn positive(at: &Cursor<'_>, most: u32) -> Option<NonZeroU32> {
    at.integer(1, most).and_then(NonZeroU32::new)
}

fn mode(at: &Cursor<'_>) -> Option<Mode> {
    match at.choice(&["enforce", "dry-run"])? {
        "enforce" => Some(Mode::Enforce),
        _ => Some(Mode::DryRun),
    }
}

fn limits(at: &Cursor<'_>) -> Option<Limits> {
    let fields = at.section(&LIMITS)?;
    let default = Limits::default();
    let max_deletions = or_default(&fields, "max_deletions", default.max_deletions, |at| {
        positive(at, u32::MAX)
    });
    let max_percent = or_default(&fields, "max_percent", default.max_percent, |at| {
        at.integer(1, 100).and_then(|percent| u8::try_from(percent).ok())
    });
    let over_limit = or_default(&fields, "over_limit", default.over_limit, |at| {
        Some(match at.choice(&["refuse", "oldest-first"])? {
            "oldest-first" => OverLimit::OldestFirst,
            _ => OverLimit::Refuse,
        })
    });
    Some(Limits {
        max_deletions: max_deletions?,
        max_percent: max_percent?,
        over_limit: over_limit?,
        approvals: default.approvals,
    })
}

/// In the order of the documentation, so that reports are the same for every order of keys.
fn keep(at: &Cursor<'_>) -> Option<KeepRules> {
    let fields = at.section(&KEEP)?;
    let mut rules = Vec::new();
    let mut is_good = true;
    let mut add = |rule: Option<KeepRule>| match rule {
        Some(rule) => rules.push(rule),
        None => is_good = false,
    };
    if let Some(at) = fields.get("last") {
        add(at.count().map(KeepRule::Last));
    }
    for (key, period) in COUNTED.into_iter().zip(Period::ALL) {
        if let Some(at) = fields.get(key) {
            add(at.count().map(|count| KeepRule::Counted(period, count)));
        }
    }
    if let Some(at) = fields.get("within") {
        add(at.span(KEEPS_NOTHING).map(KeepRule::Within));
    }
    for (key, period) in WITHIN.into_iter().zip(Period::ALL) {
        if let Some(at) = fields.get(key) {
            add(at.span(KEEPS_NOTHING).map(|span| KeepRule::WithinPeriod(period, span)));
        }
    }
    let names = or_default(&fields, "names", Vec::new(), globs);
    let has_rule = fields.present().any(|(key, _)| key != "names");
    let has_unknown = matches!(&at.node.kind, NodeKind::Map(pairs) if pairs.len() > fields.present().count());
    if !has_rule && !has_unknown {
        let message = if fields.get("names").is_some() {
            "the keep section has names alone, and `names` is no rule: everything else would expire"
        } else {
            "the keep section is empty: everything would expire"
        };
        at.fail(message, "add at least one rule, as `last: 7` or `daily: 14`");
    }
    if !is_good {
        return None;
    }
    KeepRules::new(rules, names?)
}

fn selector(at: &Cursor<'_>, known: Option<&[String]>) -> Option<Selector> {
    let fields = at.section(&SELECT)?;
    let projects = optional(&fields, "projects", |at| project_names(at, known));
    let engines = optional(&fields, "engines", engines);
    let deleted = or_default(
        &fields,
        "deleted_instances",
        DeletedInstances::Ignore,
        deleted_instances,
    );
    let by_instance = or_default(&fields, "instances", Selector::default(), |at| {
        let fields = at.section(&SELECT_INSTANCES)?;
        let instance_names = optional(&fields, "names", globs);
        let instance_ids = optional(&fields, "ids", exact_instance_ids);
        let tags = or_default(&fields, "tags", Vec::new(), tags);
        let enterprise_projects = optional(&fields, "enterprise_projects", texts);
        let exclude_names = or_default(&fields, "exclude_names", Vec::new(), globs);
        let exclude_ids = or_default(&fields, "exclude_ids", Vec::new(), self::instance_ids);
        Some(Selector {
            instance_names: instance_names?,
            instance_ids: instance_ids?,
            tags: tags?,
            enterprise_projects: enterprise_projects?,
            exclude_instance_names: exclude_names?,
            exclude_instance_ids: exclude_ids?,
            ..Selector::default()
        })
    });
    let by_backup = or_default(&fields, "backups", (None, Vec::new()), |at| {
        let fields = at.section(&SELECT_BACKUPS)?;
        let names = optional(&fields, "names", globs);
        let exclude_names = or_default(&fields, "exclude_names", Vec::new(), globs);
        Some((names?, exclude_names?))
    });
    let (backup_names, exclude_backup_names) = by_backup?;
    Some(Selector {
        projects: projects?,
        engines: engines?.unwrap_or_else(|| Selector::default().engines),
        backup_names,
        exclude_backup_names,
        deleted_instances: deleted?,
        ..by_instance?
    })
}

/// `Some(None)` for a key that is left out.
#[expect(clippy::option_option, reason = "left out, wrong and good are three things")]
fn optional<'t, T>(fields: &Fields<'t>, key: &str, read: impl FnOnce(&Cursor<'t>) -> Option<T>) -> Option<Option<T>> {
    or_default(fields, key, None, |at| read(at).map(Some))
}

/// All entries of a list, or `None` when one of them was noted.
fn each<'t, T>(at: &Cursor<'t>, what: &str, read: impl Fn(&Cursor<'t>) -> Option<T>) -> Option<Vec<T>> {
    let items = at.items(what)?;
    let read: Vec<Option<T>> = items.iter().map(read).collect();
    read.into_iter().collect()
}

/// Each once.
fn engines(at: &Cursor<'_>) -> Option<Vec<Engine>> {
    let mut engines = each(at, "a list of engines", |at| at.choice(ENGINES).map(Engine::parse))?;
    let mut seen = HashSet::new();
    engines.retain(|engine| seen.insert(engine.clone()));
    Some(engines)
}

fn globs(at: &Cursor<'_>) -> Option<Vec<Pattern>> {
    each(at, "a list of patterns", Cursor::glob)
}

fn texts(at: &Cursor<'_>) -> Option<Vec<String>> {
    each(at, "a list of texts", |at| at.text().map(str::to_owned))
}

fn instance_ids(at: &Cursor<'_>) -> Option<Vec<InstanceId>> {
    each(at, "a list of instance ids", |at| {
        let text = at.id()?;
        if text.contains(['*', '?', '[']) {
            at.fail(
                format!("`{}` is a pattern, and ids are taken exactly", clip(text)),
                "patterns over names belong under `names`",
            );
            return None;
        }
        Some(InstanceId::from(text))
    })
}

/// Those that are asked for, letter by letter; `exclude_ids` leaves out in any case.
fn exact_instance_ids(at: &Cursor<'_>) -> Option<Vec<InstanceId>> {
    let ids = instance_ids(at)?;
    if let Some(id) = ids
        .iter()
        .find(|id| id.as_str().contains(|c: char| c.is_ascii_uppercase()))
    {
        at.warn(
            format!(
                "`{}` has capital letters, and the API's ids have none: it may select nothing",
                clip(id.as_str())
            ),
            "write the id as `plan --wide` shows it",
        );
    }
    Some(ids)
}

fn project_names(at: &Cursor<'_>, known: Option<&[String]>) -> Option<Vec<ProjectName>> {
    each(at, "a list of project names", |at| {
        let text = at.text()?;
        let Some(known) = known else {
            return Some(ProjectName::from(text));
        };
        if known.iter().any(|name| name == text) {
            return Some(ProjectName::from(text));
        }
        let hint = match nearest(text, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if text.contains('*') => {
                "projects are named exactly; to select all of them leave the key out".to_owned()
            }
            None if known.is_empty() => "no project is configured".to_owned(),
            None => {
                let shown = known.iter().take(8).map(|name| clip(name)).collect::<Vec<_>>();
                format!("configured are: {}", shown.join(", "))
            }
        };
        at.fail(format!("there is no project `{}`", clip(text)), hint);
        None
    })
}

fn tags(at: &Cursor<'_>) -> Option<Vec<TagFilter>> {
    let entries = at.entries("a mapping of tags", "as {env: prod}")?;
    if entries.is_empty() {
        at.fail(
            "the mapping is empty, which could mean all or nothing",
            "name at least one tag, or leave the key out",
        );
        return None;
    }
    let filter = |(key, at): &(String, Cursor<'_>)| {
        if key.is_empty() {
            at.fail("the key of a tag is empty", "as {env: prod}");
            return None;
        }
        // An empty value is a value: instances have such tags.
        let is_empty_text = matches!(&at.node.kind, NodeKind::Scalar { text, quoted: true } if text.is_empty());
        let value = if is_empty_text { "" } else { at.text()? };
        Some(TagFilter {
            key: key.clone(),
            value: (value != "*").then(|| value.to_owned()),
        })
    };
    let read: Vec<Option<TagFilter>> = entries.iter().map(filter).collect();
    read.into_iter().collect()
}

fn deleted_instances(at: &Cursor<'_>) -> Option<DeletedInstances> {
    if let NodeKind::Map(_) = &at.node.kind {
        let fields = at.section(&DELETED_INSTANCES)?;
        let span = fields
            .get("expire_after")?
            .span(Zero::Refused("the backups of a deleted instance would go at once"))?;
        return Some(DeletedInstances::ExpireAfter(span));
    }
    let expected = "`ignore`, `include` or a mapping {expire_after: 1y}";
    match at.scalar(expected)? {
        "ignore" => Some(DeletedInstances::Ignore),
        "include" => Some(DeletedInstances::Include),
        other => {
            let hint = match nearest(other, ["ignore", "include"]) {
                Some(near) => format!("did you mean `{near}`?"),
                None => String::new(),
            };
            at.mismatch(expected, &hint);
            None
        }
    }
}
