//! What may be typed: every section, its keys, and the shape of each value.
//!
//! One table, from which come the check for unknown and missing keys, the suggestions, and the JSON Schema. What the
//! values mean is `compile`.

/// The shape of a value.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Any text that is not empty.
    Text,
    /// 1 to 64 of `A-Z a-z 0-9 . _ -`.
    Name,
    /// `true` or `false`.
    Boolean,
    /// A whole number in a range.
    Integer(u32, u32),
    /// A decimal number above 0, as `0.02`.
    Decimal,
    /// A whole number of at least 1, or `all`.
    Count,
    /// A duration as `3d`; whether zero is one.
    Duration {
        /// Whether `0s` is accepted.
        zero: bool,
    },
    /// RFC 3339, or a date.
    Time,
    /// A glob over names.
    Glob,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list that is not empty.
    List(&'static Shape),
    /// A list that may be empty.
    ListOrNone(&'static Shape),
    /// A mapping with these keys.
    Section(&'static Section),
    /// Tag keys and values.
    Tags,
    /// `ignore`, `include` or `{expire_after: DURATION}`.
    DeletedInstances,
}

/// A key of a section.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As it is typed.
    pub name: &'static str,
    /// What it takes.
    pub shape: Shape,
    /// Whether it must be there.
    pub required: bool,
    /// What it is for, in one sentence.
    pub doc: &'static str,
}

/// A mapping with known keys.
#[derive(Debug)]
pub struct Section {
    /// What it is called in messages.
    pub name: &'static str,
    /// Its keys, in the order of the documentation.
    pub keys: &'static [Key],
}

const fn key(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key {
        name,
        shape,
        required: false,
        doc,
    }
}

const fn required(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key {
        name,
        shape,
        required: true,
        doc,
    }
}

const GLOBS: Shape = Shape::List(&Shape::Glob);
const TEXTS: Shape = Shape::List(&Shape::Text);
const SPAN: Shape = Shape::Duration { zero: false };
const SPAN_OR_ZERO: Shape = Shape::Duration { zero: true };

/// The main file.
pub static MAIN: Section = Section {
    name: "the configuration",
    keys: &[
        required(
            "version",
            Shape::Integer(1, 1),
            "The version of this format; write `version: 1`.",
        ),
        key(
            "state_dir",
            Shape::Text,
            "Directory of the ledger; default /var/lib/rds-retentiond.",
        ),
        key(
            "state",
            Shape::Section(&STATE),
            "A ledger in PostgreSQL, shared by several daemons, instead of `state_dir`.",
        ),
        key(
            "listen",
            Shape::Text,
            "IP:PORT of metrics, health and status page, or `none`; default 127.0.0.1:9465.",
        ),
        key(
            "include",
            TEXTS,
            "Files that hold only `policies:`, relative to this file; globs in the last component.",
        ),
        key(
            "projects",
            Shape::List(&Shape::Section(&PROJECT)),
            "The projects whose backups are looked after.",
        ),
        key(
            "policies",
            Shape::ListOrNone(&Shape::Section(&POLICY)),
            "The retention policies.",
        ),
        key(
            "holds",
            Shape::ListOrNone(&Shape::Section(&HOLD)),
            "Backups that are never deleted.",
        ),
        key(
            "freeze",
            Shape::Section(&FREEZE),
            "While it lasts nothing at all is deleted.",
        ),
        key(
            "notify",
            Shape::ListOrNone(&Shape::Section(&NOTIFY)),
            "Where messages about runs go; never needed for a deletion, never delays one.",
        ),
        key(
            "price",
            Shape::Section(&PRICE),
            "What storage costs: money is shown beside bytes.",
        ),
        key(
            "audit",
            Shape::Section(&AUDIT),
            "Where each run's head of the audit chain is written down outside the state.",
        ),
        key(
            "protect",
            Shape::Choice(&["one", "two"]),
            "How many different people may thaw or release what another placed; default one.",
        ),
        key(
            "allowed_hosts",
            TEXTS,
            "Names under which a proxy asks for page and API, beside addresses, localhost and this host's name.",
        ),
    ],
};

/// `price` of the main file.
pub static PRICE: Section = Section {
    name: "the price",
    keys: &[
        required("per_gib_month", Shape::Decimal, "What a GiB of backups costs a month."),
        required(
            "currency",
            Shape::Text,
            "The currency, as it is shown behind the number.",
        ),
    ],
};

/// `audit` of the main file.
pub static AUDIT: Section = Section {
    name: "audit",
    keys: &[key(
        "anchor",
        Shape::Text,
        "`journal` (the default where there is one), a file outside the state that is appended to, or `none`.",
    )],
};

/// How a message of `notify` looks.
pub const NOTIFY_FORMATS: &[&str] = &["json", "slack", "teams", "ping"];
/// What a message of `notify` is about.
pub const NOTIFY_ON: &[&str] = &[
    "start", "success", "failed", "partial", "refused", "returned", "frozen", "ending",
];

/// An entry of `notify`.
pub static NOTIFY: Section = Section {
    name: "a target of notify",
    keys: &[
        key(
            "url",
            Shape::Text,
            "Its URL: https, or http to loopback. Whoever knows it can write there, so better name a file.",
        ),
        key(
            "url_file",
            Shape::Text,
            "A file that holds the URL; relative to $CREDENTIALS_DIRECTORY.",
        ),
        required(
            "format",
            Shape::Choice(NOTIFY_FORMATS),
            "json, slack, teams (Workflows), or ping (a dead man's switch as healthchecks.io).",
        ),
        required(
            "on",
            Shape::List(&Shape::Choice(NOTIFY_ON)),
            "What is sent there; ping takes start, success and failed.",
        ),
    ],
};

/// `state` of the main file.
pub static STATE: Section = Section {
    name: "the state",
    keys: &[
        required(
            "postgres",
            Shape::Text,
            "The database: postgres://USER@HOST[:PORT][,HOST…]/DATABASE, without a password.",
        ),
        key(
            "password_file",
            Shape::Text,
            "The file with the password; relative to $CREDENTIALS_DIRECTORY; default: PGPASSWORD.",
        ),
        key(
            "ca",
            Shape::Text,
            "The PEM file of the authorities that are trusted; default: the host's.",
        ),
    ],
};

/// An included file.
pub static INCLUDED: Section = Section {
    name: "an included file",
    keys: &[key(
        "policies",
        Shape::ListOrNone(&Shape::Section(&POLICY)),
        "The retention policies.",
    )],
};

/// An entry of `projects`.
pub static PROJECT: Section = Section {
    name: "a project",
    keys: &[
        required("name", Shape::Name, "How policies, metrics and reports call it."),
        required("region", Shape::Text, "The region, as ap-southeast-3."),
        key(
            "project_id",
            Shape::Text,
            "The cloud's id of the project; default: looked up through IAM.",
        ),
        key(
            "endpoint",
            Shape::Text,
            "The RDS endpoint; default made from the region, where that is one of Huawei Cloud or Open Telekom Cloud (not eu-ch2).",
        ),
        key(
            "iam_endpoint",
            Shape::Text,
            "The IAM endpoint; default made from the region.",
        ),
        key(
            "credentials",
            Shape::Section(&CREDENTIALS),
            "Where the access key comes from; default {source: chain}.",
        ),
        key(
            "requests_per_second",
            Shape::Integer(1, 1_000),
            "Ceiling of the request rate; default 20.",
        ),
        key(
            "concurrency",
            Shape::Integer(1, 64),
            "Requests under way at once; default 8.",
        ),
    ],
};

/// The sources of credentials.
pub const SOURCES: &[&str] = &["chain", "environment", "profile", "files", "ecs-agency"];

/// `credentials` of a project.
pub static CREDENTIALS: Section = Section {
    name: "credentials",
    keys: &[
        required("source", Shape::Choice(SOURCES), "Where the access key comes from."),
        key("path", Shape::Text, "profile: the SDK's INI file."),
        key("profile", Shape::Text, "profile: its section."),
        key(
            "access_key_file",
            Shape::Text,
            "files: the access key (AK); relative to $CREDENTIALS_DIRECTORY.",
        ),
        key("secret_key_file", Shape::Text, "files: the secret key (SK)."),
        key(
            "security_token_file",
            Shape::Text,
            "files: the token of a temporary key.",
        ),
        key(
            "endpoint",
            Shape::Text,
            "ecs-agency: the metadata address; default http://169.254.169.254.",
        ),
    ],
};

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
pub const ENGINES: &[&str] = &["sqlserver", "mysql", "postgresql", "mariadb"];

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

/// An entry of `holds`.
pub static HOLD: Section = Section {
    name: "a hold",
    keys: &[
        key("backup", Shape::Text, "One backup, by its id."),
        key("instance", Shape::Glob, "Glob over instance ids."),
        key("name", Shape::Glob, "Glob over backup names."),
        required("reason", Shape::Text, "Why it is held; shown wherever the hold is."),
        key("owner", Shape::Text, "Who asked for it."),
        key(
            "until",
            Shape::Time,
            "When it ends; a date means the end of that day in UTC.",
        ),
    ],
};

/// `freeze`.
pub static FREEZE: Section = Section {
    name: "freeze",
    keys: &[
        required(
            "reason",
            Shape::Text,
            "Why nothing is deleted; shown wherever the freeze is.",
        ),
        key(
            "until",
            Shape::Time,
            "When it ends; a date means the end of that day in UTC.",
        ),
    ],
};

/// All sections, for "that key belongs elsewhere".
pub(super) static SECTIONS: [&Section; 13] = [
    &MAIN,
    &PROJECT,
    &CREDENTIALS,
    &POLICY,
    &SELECT,
    &SELECT_INSTANCES,
    &SELECT_BACKUPS,
    &KEEP,
    &LIMITS,
    &HOLD,
    &FREEZE,
    &NOTIFY,
    &PRICE,
];

impl Section {
    /// The key of that name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}
