//! The tables, and the steps from older formats to this one.
//!
//! `PRAGMA user_version` is the format: the number of steps applied. A step, once released, is never edited.

use rusqlite::{Connection, Transaction};

use super::sql::Tx;
use super::{Error, Fault};

/// Marks the file as ours (`PRAGMA application_id`): "rdsr".
pub(super) const APPLICATION_ID: i64 = 0x7264_7372;

/// Each brings the format before it up by one.
pub(super) const STEPS: &[&str] = &[STEP_1, STEP_2, STEP_3, STEP_4];

const STEP_1: &str = "
-- created_at; rows and head of the chain, so that a cut tail is noticed; probes.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- The proof. Appended to, never changed.
CREATE TABLE chain (
    seq INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
    prev TEXT NOT NULL, hash TEXT NOT NULL
) STRICT;
CREATE TRIGGER chain_no_update BEFORE UPDATE ON chain BEGIN SELECT RAISE(ABORT, 'the chain is append-only'); END;
CREATE TRIGGER chain_no_delete BEFORE DELETE ON chain BEGIN SELECT RAISE(ABORT, 'the chain is append-only'); END;

-- begun, finished: rows of the chain.
CREATE TABLE run (
    id TEXT PRIMARY KEY, started_at INTEGER NOT NULL, finished_at INTEGER, cause TEXT NOT NULL,
    config_sha256 TEXT NOT NULL, begun INTEGER NOT NULL, finished INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE run_policy (
    run TEXT NOT NULL, policy TEXT NOT NULL, mode TEXT NOT NULL, started_at INTEGER NOT NULL, result TEXT,
    PRIMARY KEY (run, policy)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_policy_by_time ON run_policy (started_at);
CREATE INDEX run_policy_by_policy ON run_policy (policy, started_at);

-- seq: the intent's row of the chain; answer: the outcomes' row, NULL while it is open.
CREATE TABLE request (
    seq INTEGER PRIMARY KEY, run TEXT NOT NULL, attempt INTEGER NOT NULL, project TEXT NOT NULL,
    at INTEGER NOT NULL, answer INTEGER
) STRICT;
CREATE INDEX request_open ON request (seq) WHERE answer IS NULL;

-- One row for each id of each request; changed: the row of the chain that gave it its state. Ids are random and instances
-- come mixed, so what is in the order of requests touches a page or two in each transaction and what is not touches fifty: only one
-- index of a row that is under way is not, and the other one is written when a listing settles many at once.
CREATE TABLE deletion (
    request INTEGER NOT NULL, backup TEXT NOT NULL, instance TEXT NOT NULL, policy TEXT NOT NULL,
    size_bytes INTEGER NOT NULL, state TEXT NOT NULL, changed INTEGER NOT NULL,
    PRIMARY KEY (request, backup)
) STRICT, WITHOUT ROWID;
CREATE INDEX deletion_by_backup ON deletion (backup);
CREATE INDEX deletion_unsettled ON deletion (request) WHERE state IN ('intended', 'accepted', 'unanswered');
CREATE INDEX deletion_confirmed ON deletion (instance, changed) WHERE state = 'confirmed';

CREATE TABLE hold (
    number INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, reason TEXT NOT NULL, owner TEXT,
    until INTEGER, placed_at INTEGER NOT NULL, released_at INTEGER
) STRICT;
CREATE TABLE freeze (
    only INTEGER PRIMARY KEY CHECK (only = 1), reason TEXT NOT NULL, until INTEGER, placed_at INTEGER NOT NULL
) STRICT;
CREATE TABLE approval (
    policy TEXT NOT NULL, backup TEXT NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (policy, backup)
) STRICT, WITHOUT ROWID;
CREATE TABLE listing_approval (target TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE refused (
    policy TEXT PRIMARY KEY, run TEXT NOT NULL, limits TEXT NOT NULL, backups TEXT NOT NULL, at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE grace (
    policy TEXT NOT NULL, backup TEXT NOT NULL, project TEXT NOT NULL, instance TEXT NOT NULL, name TEXT NOT NULL,
    since INTEGER NOT NULL, PRIMARY KEY (policy, backup)
) STRICT, WITHOUT ROWID;
CREATE INDEX grace_by_backup ON grace (backup);

CREATE TABLE seen_instance (
    project TEXT NOT NULL, instance TEXT NOT NULL, name TEXT NOT NULL, tags TEXT NOT NULL, enterprise_project TEXT,
    seen_at INTEGER NOT NULL, missed INTEGER NOT NULL, missed_since INTEGER, missed_last INTEGER,
    PRIMARY KEY (project, instance)
) STRICT, WITHOUT ROWID;
-- databases: NULL when not known, else a JSON array, empty for a full backup. Only `hold` looks for a backup without its instance,
-- and may take its time.
CREATE TABLE seen_backup (
    instance TEXT NOT NULL, backup TEXT NOT NULL, project TEXT NOT NULL, name TEXT NOT NULL, databases TEXT,
    PRIMARY KEY (instance, backup)
) STRICT, WITHOUT ROWID;
-- instance '' is the project's list of instances; seq: the chain's last row when the count was believed.
CREATE TABLE believed (
    project TEXT NOT NULL, instance TEXT NOT NULL, count INTEGER, at INTEGER, seq INTEGER, shrunk_since INTEGER,
    PRIMARY KEY (project, instance)
) STRICT, WITHOUT ROWID;
CREATE TABLE blocked_key (fingerprint TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

const STEP_2: &str = "
-- One row a request, in place of one for each of its ids. states: of each id, in the order of the intent, a letter and the row of the chain
-- that gave it its state (request_state.rs); unsettled: how many of them wait for an answer or a listing.
ALTER TABLE request ADD COLUMN states TEXT NOT NULL DEFAULT '';
ALTER TABLE request ADD COLUMN unsettled INTEGER NOT NULL DEFAULT 0;
UPDATE request SET
    states = (
        SELECT group_concat(CASE d.state WHEN 'intended' THEN 'i' WHEN 'accepted' THEN 'a' WHEN 'rejected' THEN 'r'
            WHEN 'unanswered' THEN 'u' WHEN 'resent' THEN 's' WHEN 'confirmed' THEN 'c' ELSE 'b' END || d.changed, ' ' ORDER BY j.key)
        FROM chain c, json_each(c.body, '$.items') j
        JOIN deletion d ON d.request = c.seq AND d.backup = j.value ->> '$.backup' WHERE c.seq = request.seq
    ),
    unsettled = (
        SELECT COUNT(*) FROM deletion d
        WHERE d.request = request.seq AND d.state IN ('intended', 'accepted', 'unanswered')
    );
DROP INDEX request_open;
CREATE INDEX request_unsettled ON request (seq) WHERE unsettled > 0;

-- How many of an instance's backups a row of the chain confirmed, until a listing after it is believed.
CREATE TABLE confirmed (
    instance TEXT NOT NULL, seq INTEGER NOT NULL, ids INTEGER NOT NULL, PRIMARY KEY (instance, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO confirmed SELECT instance, changed, COUNT(*) FROM deletion WHERE state = 'confirmed' GROUP BY instance, changed;
DROP TABLE deletion;

-- Old rows of the chain, many to a piece (packed.rs); ids: a sorted number for each backup that is named there.
CREATE TABLE packed (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, ids BLOB NOT NULL, rows BLOB NOT NULL) STRICT;
DROP TRIGGER chain_no_delete;
CREATE TRIGGER chain_no_delete BEFORE DELETE ON chain
WHEN OLD.kind NOT IN ('intent', 'outcome', 'confirmed', 'returned')
    OR NOT EXISTS (SELECT 1 FROM packed WHERE OLD.seq BETWEEN first AND last)
BEGIN SELECT RAISE(ABORT, 'the chain is append-only'); END;
";

const STEP_3: &str = "
-- What people said, which each run reads before it begins, among all that runs did.
CREATE INDEX chain_words ON chain (seq)
WHERE kind IN ('hold', 'release', 'freeze', 'thaw', 'approve', 'approve_listing');
";

const STEP_4: &str = "
-- Grace periods: of a policy, project, instance and id. seen: when an enforcing run last found it expired; restarts: a hold covered it since.
CREATE TABLE grace_of_instance (
    policy TEXT NOT NULL, project TEXT NOT NULL, instance TEXT NOT NULL, backup TEXT NOT NULL, name TEXT NOT NULL,
    since INTEGER NOT NULL, seen INTEGER NOT NULL, restarts INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (policy, project, instance, backup)
) STRICT, WITHOUT ROWID;
INSERT INTO grace_of_instance (policy, project, instance, backup, name, since, seen)
SELECT g.policy, g.project, g.instance, g.backup, g.name, g.since, MAX(g.since, COALESCE(r.at, g.since))
FROM grace g LEFT JOIN (
    -- Only these are known to have seen every instance.
    SELECT policy, MAX(started_at) AS at FROM run_policy WHERE mode = 'enforce' AND result = 'success' GROUP BY policy
) r ON r.policy = g.policy;
DROP TABLE grace;
ALTER TABLE grace_of_instance RENAME TO grace;
CREATE INDEX grace_by_backup ON grace (backup);
-- The holds of the configuration that was read last: what they covered has its grace period restarted when they are gone.
CREATE TABLE configured_hold (target TEXT NOT NULL, until INTEGER) STRICT;

-- Requests.

-- Observations.
-- What a backup said as COMPLETED or FAILED, NULL before; databases are unknown before that, too, and null or a text (as JSON) where it has no
-- list of them or one that cannot be read: an older format, with status NULL, has an empty list for that. gone_since: when it was last listed,
-- NULL while it is. last_listing: when an instance's backups were last listed; what it listed longer ago contests nothing.
ALTER TABLE seen_backup ADD COLUMN status TEXT;
ALTER TABLE seen_backup ADD COLUMN begin INTEGER;
ALTER TABLE seen_backup ADD COLUMN ended INTEGER;
ALTER TABLE seen_backup ADD COLUMN engine TEXT;
ALTER TABLE seen_backup ADD COLUMN gone_since INTEGER;
CREATE TABLE last_listing (instance TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO last_listing
    SELECT s.instance, COALESCE((SELECT MAX(at) FROM believed b WHERE b.instance = s.instance), (SELECT MAX(at) FROM believed), 0)
    FROM (SELECT DISTINCT instance FROM seen_backup) s;

-- The engine of an instance as the API spells it, empty where it was not known; NULL of an older format, which listed SQL Server alone.
ALTER TABLE seen_instance ADD COLUMN engine TEXT;

-- Operators: holds, freezes, approvals.
-- Several freezes stand side by side. A number is never used again; the one freeze of older formats is number 1.
ALTER TABLE freeze RENAME TO one_freeze;
CREATE TABLE freeze (
    number INTEGER PRIMARY KEY AUTOINCREMENT, reason TEXT NOT NULL, until INTEGER, placed_at INTEGER NOT NULL
) STRICT;
INSERT INTO freeze SELECT only, reason, until, placed_at FROM one_freeze;
DROP TABLE one_freeze;
-- When a hold or freeze of the configuration that has an end was first seen. Under the empty name: the last run of an older format,
-- which remembered nothing.
CREATE TABLE first_seen (what TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO first_seen SELECT '', MAX(started_at) FROM run HAVING MAX(started_at) IS NOT NULL;
-- Plans that the guard refused, by the digest of their ids. waits: the policy's latest, until a run is not refused. What waited
-- in an older format has no digest: the next run refuses it again.
DROP TABLE refused;
CREATE TABLE refused (
    policy TEXT NOT NULL, digest TEXT NOT NULL, run TEXT NOT NULL, limits TEXT NOT NULL, backups TEXT NOT NULL,
    at INTEGER NOT NULL, waits INTEGER NOT NULL, PRIMARY KEY (policy, digest)
) STRICT, WITHOUT ROWID;

-- What of a listing a run did not believe, and whether people accepted it as it was then. An approval of an older format was for
-- whatever the next listing says: it ends here.
DROP TABLE listing_approval;
CREATE TABLE listing_doubt (
    target TEXT NOT NULL, part TEXT NOT NULL, says TEXT NOT NULL, accepted INTEGER NOT NULL, PRIMARY KEY (target, part)
) STRICT, WITHOUT ROWID;

-- Runs and keys: what the API refused, in place of blocks by access key alone. A block came with the second refusal.
CREATE TABLE key_refusal (access_key TEXT NOT NULL, whole TEXT NOT NULL, at INTEGER NOT NULL, blocked_until INTEGER) STRICT;
INSERT INTO key_refusal SELECT fingerprint, '', until - 900000000, NULL FROM blocked_key;
INSERT INTO key_refusal SELECT fingerprint, '', until - 900000000, NULL FROM blocked_key;
DROP TABLE blocked_key;

-- Notifications: what people were notified of once, as the end of a hold, and when.
CREATE TABLE notified (what TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- Proof. compliance: such a hold lasts until its end, whatever is released.
ALTER TABLE hold ADD COLUMN compliance INTEGER NOT NULL DEFAULT 0;
DROP INDEX chain_words;
CREATE INDEX chain_words ON chain (seq)
WHERE kind IN ('hold', 'release', 'freeze', 'thaw', 'approve', 'approve_listing', 'propose', 'accept_rewind', 'move');
-- Configurations that runs began with, grace periods, what listings showed: each run looks for the last ones.
CREATE INDEX chain_configurations ON chain (seq) WHERE kind = 'configuration';
CREATE INDEX chain_grace ON chain (seq) WHERE kind = 'grace';
CREATE INDEX chain_observed ON chain (seq) WHERE kind = 'observed';
-- Of each instance a sum of the rows of seen_backup (table_sum.rs).
CREATE TABLE seen_sum (instance TEXT PRIMARY KEY, sum TEXT NOT NULL) STRICT, WITHOUT ROWID;
DROP TRIGGER chain_no_delete;
CREATE TRIGGER chain_no_delete BEFORE DELETE ON chain
WHEN OLD.kind NOT IN ('intent', 'outcome', 'confirmed', 'returned', 'grace', 'decided')
    OR OLD.seq > COALESCE((SELECT last FROM packed WHERE first <= OLD.seq ORDER BY first DESC LIMIT 1), 0)
BEGIN SELECT RAISE(ABORT, 'the chain is append-only'); END;
-- What runs decided on: the last row of the chain about each instance, and what it stands for.
CREATE TABLE decided (
    project TEXT NOT NULL, instance TEXT NOT NULL, seq INTEGER NOT NULL, facts TEXT NOT NULL, PRIMARY KEY (project, instance)
) STRICT, WITHOUT ROWID;
";

/// The tables of the newest format, as PostgreSQL has them.
pub(super) const SHARED: &str = include_str!("postgres_schema.sql");

/// Writes down whose tables these are, and their format.
pub(super) fn mark_shared(tx: &Tx<'_>) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO meta (key, value) VALUES ('application', ?1), ('format', ?2)",
        (env!("CARGO_PKG_NAME"), STEPS.len().to_string()),
    )?;
    Ok(())
}

/// Fails unless the tables are this program's, in the format that it knows.
pub(super) fn check_shared(tx: &Tx<'_>) -> Result<(), Error> {
    let sql = "SELECT value FROM meta WHERE key = ?1";
    let whose: Option<String> = tx.value(sql, ["application"])?;
    let format: Option<String> = tx.value(sql, ["format"])?;
    let (Some(env!("CARGO_PKG_NAME")), Some(found)) = (whose.as_deref(), format.and_then(|format| format.parse().ok()))
    else {
        return Err(Error::of_file(Fault::Foreign));
    };
    match (found, i64::try_from(STEPS.len()).unwrap_or(i64::MAX)) {
        (found, known) if found > known => Err(Error::of_file(Fault::Newer { found, known })),
        (found, known) if found < known => Err(Error::of_file(Fault::Older(found))),
        _ => Ok(()),
    }
}

/// The format of an open file, after checking that it is a file of this program and not a newer one's.
pub(super) fn version(connection: &Connection, known: &[&str]) -> Result<i64, Error> {
    let application: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if application != APPLICATION_ID {
        return Err(Error::corrupt("it is not a ledger of this program"));
    }
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = i64::try_from(known.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(Error::storage(std::path::Path::new(""), Fault::Newer { found, known }));
    }
    if found < 1 {
        return Err(Error::corrupt(format!("its format is {found}")));
    }
    Ok(found)
}

/// Applies the steps after `from`, in the caller's transaction.
pub(super) fn migrate(tx: &Transaction<'_>, from: i64, steps: &[&str]) -> Result<(), Error> {
    for step in steps.iter().skip(usize::try_from(from).unwrap_or(0)) {
        tx.execute_batch(step)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", i64::try_from(steps.len()).unwrap_or(i64::MAX))?;
    Ok(())
}
