//! What may be typed in a policy. The rest of the table is `spec`.

use super::key::{GLOBS, SPAN, SPAN_OR_ZERO, Section, Shape, TEXTS, key, required};
use crate::retention::Engine;

/// An entry of `policies`.
pub static POLICY: Section = Section {
    name: "a policy",
    keys: &[
        required("name", Shape::Name, "Its name, in metrics and reports."),
        required(
            "mode",
            Shape::Choice(&["enforce", "dry-run"]),
            "`enforce` or `dry-run`; there is no default, so that nothing is deleted by omission.",
        ),
        key(
            "schedule",
            Shape::Text,
            "Cron: 5 fields, or 6 with seconds first; @hourly @daily @weekly @monthly.",
        ),
        key(
            "timezone",
            Shape::Text,
            "IANA zone of buckets and schedule; default UTC.",
        ),
        key(
            "jitter",
            SPAN_OR_ZERO,
            "Spread of the start, by a hash of host and policy; default 0.",
        ),
        key(
            "catch_up",
            Shape::Boolean,
            "One run soon after start if a tick was missed; default true.",
        ),
        key(
            "select",
            Shape::Section(&SELECT),
            "Which instances and backups; a key left out sets no limit.",
        ),
        required(
            "keep",
            Shape::Section(&KEEP),
            "What is kept; a backup stays if any rule keeps it.",
        ),
        key("max_age", SPAN, "Older backups expire although a rule keeps them."),
        key("failed_after", SPAN_OR_ZERO, "When FAILED backups expire; default 7d."),
        key(
            "min_backups",
            Shape::Integer(1, u32::MAX),
            "How many of the newest always stay; default 1.",
        ),
        key("grace", SPAN_OR_ZERO, "How long an expired backup waits; default 24h."),
        key(
            "require_backup_within",
            SPAN,
            "Delete nothing on an instance without a COMPLETED backup this recent.",
        ),
        key(
            "approvals",
            Shape::Integer(1, 2),
            "How many different people must approve a plan that the limits refused; default 1.",
        ),
        key("limits", Shape::Section(&LIMITS), "How much one run may delete."),
    ],
};

/// The engines that a policy can select.
pub const ENGINES: &[&str] = &Engine::WORDS;

/// `select` of a policy.
pub static SELECT: Section = Section {
    name: "select",
    keys: &[
        key("projects", Shape::List(&Shape::Name), "Projects by name."),
        key(
            "engines",
            Shape::List(&Shape::Choice(ENGINES)),
            "Engines of the instances; default [sqlserver]. Backups of the others are deleted one by one.",
        ),
        key("instances", Shape::Section(&SELECT_INSTANCES), "Which instances."),
        key("backups", Shape::Section(&SELECT_BACKUPS), "Which of their backups."),
        key(
            "deleted_instances",
            Shape::DeletedInstances,
            "Backups left by deleted instances; default ignore.",
        ),
    ],
};

/// `select.instances` of a policy.
pub static SELECT_INSTANCES: Section = Section {
    name: "select.instances",
    keys: &[
        key("names", GLOBS, "Globs over instance names."),
        key("ids", TEXTS, "Instance ids."),
        key("tags", Shape::Tags, "Tags that must all match; \"*\" is any value."),
        key(
            "enterprise_projects",
            TEXTS,
            "Enterprise project ids; \"0\" is the default one.",
        ),
        key("exclude_names", GLOBS, "Globs over instance names that are left out."),
        key("exclude_ids", TEXTS, "Instance ids that are left out."),
    ],
};

/// `select.backups` of a policy.
pub static SELECT_BACKUPS: Section = Section {
    name: "select.backups",
    keys: &[
        key("names", GLOBS, "Globs over backup names."),
        key(
            "exclude_names",
            GLOBS,
            "Globs over backup names that are out of this policy's scope.",
        ),
    ],
};

/// `select.deleted_instances`, when it is a mapping.
pub static DELETED_INSTANCES: Section = Section {
    name: "deleted_instances",
    keys: &[required(
        "expire_after",
        SPAN,
        "So long after the instance was first missed, everything of it expires.",
    )],
};

/// `keep` of a policy.
pub static KEEP: Section = Section {
    name: "keep",
    keys: &[
        key("last", Shape::Count, "How many of the newest."),
        key("hourly", Shape::Count, "The newest of each of this many hours."),
        key("daily", Shape::Count, "The newest of each of this many days."),
        key("weekly", Shape::Count, "The newest of each of this many ISO weeks."),
        key("monthly", Shape::Count, "The newest of each of this many months."),
        key("quarterly", Shape::Count, "The newest of each of this many quarters."),
        key("yearly", Shape::Count, "The newest of each of this many years."),
        key("within", SPAN, "All within this long of the newest COMPLETED backup."),
        key("within_hourly", SPAN, "The newest of each hour within this long."),
        key("within_daily", SPAN, "The newest of each day within this long."),
        key("within_weekly", SPAN, "The newest of each ISO week within this long."),
        key("within_monthly", SPAN, "The newest of each month within this long."),
        key("within_quarterly", SPAN, "The newest of each quarter within this long."),
        key("within_yearly", SPAN, "The newest of each year within this long."),
        key(
            "names",
            GLOBS,
            "Backups of these names are always kept and take no slots.",
        ),
    ],
};

/// `limits` of a policy.
pub static LIMITS: Section = Section {
    name: "limits",
    keys: &[
        key(
            "max_deletions",
            Shape::Integer(1, u32::MAX),
            "Deletions per run; default 500.",
        ),
        key(
            "max_percent",
            Shape::Integer(1, 100),
            "Percent of one instance's backups per run; default 50.",
        ),
        key(
            "over_limit",
            Shape::Choice(&["refuse", "oldest-first"]),
            "Over max_deletions; default refuse.",
        ),
    ],
};
