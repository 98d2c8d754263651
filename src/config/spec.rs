//! What may be typed: every section, its keys, and the shape of each value.
//!
//! One table, from which come the check for unknown and missing keys, the suggestions, and the JSON Schema. What the
//! values mean is `compile`.

pub use super::key::{Key, Section, Shape};
use super::key::{TEXTS, key, required};
pub use super::policy_keys::{
    DELETED_INSTANCES, ENGINES, KEEP, LIMITS, POLICY, SELECT, SELECT_BACKUPS, SELECT_INSTANCES,
};

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
