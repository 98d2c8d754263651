//! What can be the matter with the file or database under the ledger, each with what to do about it.

use rusqlite::ErrorCode;

/// What is the matter with the file or its disk.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No space.
    #[error(
        "the disk is full, or a file may not grow (`ulimit -f`, systemd LimitFSIZE=), so no intent can be recorded and nothing \
         is deleted: free space, then run again"
    )]
    Full,
    /// It cannot be written.
    #[error(
        "the state is read-only, so nothing is recorded, and nothing is deleted by this process: make it writable (a database: name its primary, and set default_transaction_read_only = off), or check where `state` or `state_dir` leads"
    )]
    ReadOnly,
    /// Not ours to open.
    #[error(
        "may not be opened ({0}): run as the daemon's user or as root, check the owner of the state directory, or name one of your own in `state_dir`"
    )]
    Denied(String),
    /// Another process writes for longer than we wait.
    #[error("another process has been writing to it for too long; nothing was recorded: try again")]
    Busy,
    /// Not what this program wrote.
    #[error(
        "the ledger is damaged ({0}), so nothing is deleted: stop the daemon, then put a backup of the state back, or start \
         again with another one (move the file aside with its -wal and -shm files, or make a new database). Starting again loses the holds and freezes placed by \
         command, approvals and the record of past deletions, and every grace period restarts; holds in the configuration \
         stay"
    )]
    Corrupt(String),
    /// Written by a newer program.
    #[error(
        "written by a newer version of this program (format {found}, this one knows up to {known}), so nothing is \
         deleted: install that version again; the file is unchanged"
    )]
    Newer {
        /// The file's format.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// Nothing is there any more.
    #[error(
        "the state is gone: this process had a ledger here, and now there is none. Nothing is deleted and no new one is \
         made. Put the state back (mount it again, move it back): a daemon then goes on by itself. If the loss is final, \
         restart the service: it makes a new state, without the holds and freezes placed by command"
    )]
    Gone,
    /// Another file has its name now, or that of its log; or the log is not what was written.
    #[error(
        "the ledger was replaced, or its -wal file cut or overwritten, or its -wal or -shm file removed, while it was open. Nothing is deleted and nothing more \
         is written. Put the same state back: a daemon then goes on by itself. To go on with what is there now, restart \
         the service; check `holds` and the freeze first"
    )]
    Replaced,
    /// What this process has read or written is not in it.
    #[error(
        "the ledger was set back: row {row} of the audit chain, which this process has seen, is not in it, so an older copy \
         or another ledger is in its place. Nothing is deleted. Put the newest state back: a daemon then goes on by \
         itself. To go on with what is there now, restart the service; check `holds` and the freeze first"
    )]
    Rewound {
        /// The last row that is known.
        row: i64,
    },
    /// Heads that were anchored outside are not in it.
    #[error(
        "the state was set back: {heads} of the heads of the audit chain that earlier runs wrote to {place}, the last one of row {row}, \
         are not in it, so it is an older copy, another ledger, or a new one. Nothing is deleted. Put the newest state back: a daemon \
         then goes on by itself. To go on with what is there now, check `holds` and the freeze first, then type `state accept-rewind`"
    )]
    SetBack {
        /// How many.
        heads: usize,
        /// The last one's row.
        row: i64,
        /// Where they are.
        place: String,
    },
    /// It was moved elsewhere.
    #[error(
        "the state was moved to {to} at {at}, so nothing here is read or written any more: name that in the configuration (`state_dir`, or \
         `state`), in place of this"
    )]
    Moved {
        /// Where it is.
        to: String,
        /// When it was moved.
        at: String,
    },
    /// A copy that a move began.
    #[error(
        "this is a copy of the state in {0}, made by a `state move` that has not ended, and it is not used: run `state move` there again; \
         until then the state is there"
    )]
    Unfinished(String),
    /// Something is where a state is to be moved.
    #[error(
        "there is a state already, and no other one is put in its place: name an empty directory or database, or move it aside"
    )]
    NotEmpty,
    /// Other processes use it.
    #[error(
        "{0} has the state open: stop it (`systemctl stop rds-retentiond`; a daemon on a database does not count 30 s later), then try again"
    )]
    InUse(String),
    /// A daemon on a shared state knows a head that is not in it.
    #[error(
        "the state was set back: row {row} of the audit chain, which the daemon on {host} has seen, is not in it, so the database is an older \
         copy (after a failover, perhaps). No daemon deletes anything. Put the newest database back: they then go on by themselves. To go on \
         with what is there now, check `holds` and the freeze first, then type `state accept-rewind`"
    )]
    SetBackFor {
        /// Its host.
        host: String,
        /// The head's row.
        row: i64,
    },
    /// Written by an older program, and opened for reading only.
    #[error("written by an older version of this program (format {0}): start the daemon once, which converts it")]
    Older(i64),
    /// A server that does not answer.
    #[error(
        "the database cannot be reached ({0}), so nothing was recorded, and nothing is deleted by this process: check the address in `state:`, the \
         network, and that the server runs"
    )]
    Unreachable(String),
    /// The server does not believe who asks.
    #[error(
        "the database refuses the login ({0}); nothing was recorded: check the user in `state:`, and `password_file` or PGPASSWORD"
    )]
    Credentials(String),
    /// TLS did not come about.
    #[error(
        "no TLS connection to the database ({0}); nothing was recorded: switch TLS on at the server, and name its authority in \
         `ca` of `state:`; without TLS only a socket or a loopback address is used"
    )]
    Tls(String),
    /// The role may not do it.
    #[error(
        "the database's role lacks a privilege ({0}); nothing was recorded: config/postgres/roles.sql grants what each role needs"
    )]
    Privileges(String),
    /// No such database.
    #[error("{0}; nothing was recorded: create it, or correct the name in `state:`")]
    NoDatabase(String),
    /// A server of before PostgreSQL 14.
    #[error("the server is older than PostgreSQL 14, which is the oldest that is supported: upgrade it")]
    OldServer,
    /// Tables of another program.
    #[error(
        "the database has tables called `meta` or `chain` that are not this program's, and is left alone: give the ledger a database \
         of its own"
    )]
    Foreign,
    /// A commit that no standby has.
    #[error(
        "the commit was confirmed by one server alone, without the standby that it must wait for; it counts as failed, and nothing is \
         sent: see that the standby follows"
    )]
    OnlyLocal,
    /// Another process has the project, or may soon.
    #[error(
        "the lease is lost: another daemon has it, or it was not renewed in time; the batch is not sent, and a later run goes on"
    )]
    LeaseLost,
    /// An earlier holder's requests may still be on their way.
    #[error("requests of an earlier holder of the lease may still be on their way; the batch is not sent")]
    Draining,
    /// Members with several configurations.
    #[error(
        "nothing is deleted until all daemons on this state have the same projects, policies, holds and freeze: {0} has others; bring \
         the files into agreement, or stop it (after 30 s it does not count any more)"
    )]
    MembersDiffer(String),
    /// Who has not said which configuration it has.
    #[error("this process has not said which configuration it has; the batch is not sent")]
    NoMember,
    /// Anything else that PostgreSQL says.
    #[error("{0}; nothing is deleted until this works")]
    Postgres(String),
    /// A file with a second name.
    #[error(
        "has a second name (a hard link), by which another state directory may use it at the same time, and is not used: \
         `find / -xdev -samefile` this file shows both; remove the wrong one, and run again. A copy must be a file of its own"
    )]
    Linked,
    /// A link, a pipe or a device where a file of ours should be.
    #[error(
        "is not a plain file but a link, a directory, a pipe or a device, and is not followed or used: nothing of this \
         program makes one; see who did, remove it, and run again"
    )]
    NotPlain,
    /// The file system.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A write that failed although the disk is not full.
    #[error(
        "could not be written ({0}): check the disk, and the limit on the size of a file (`ulimit -f`, systemd \
         LimitFSIZE=). Nothing is deleted until this works"
    )]
    Unwritable(rusqlite::Error),
    /// Anything else that SQLite says.
    #[error("{0}; nothing is deleted until this works")]
    Sqlite(rusqlite::Error),
}

/// The file beside the ledger by which processes share its log cannot be made larger: SQLite calls that an I/O error, where
/// it calls the same of the other files a full disk.
const NO_ROOM_TO_SHARE: std::ffi::c_int = rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

/// What it calls a write that the file system refused, also because the file would exceed the limit on its size.
const NOT_WRITTEN: std::ffi::c_int = rusqlite::ffi::SQLITE_IOERR_WRITE;

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error().map(|error| error.extended_code) {
            Some(NO_ROOM_TO_SHARE) => return Self::Full,
            Some(NOT_WRITTEN) => return Self::Unwritable(error),
            _ => {}
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::ReadOnly) => Self::ReadOnly,
            Some(ErrorCode::PermissionDenied | ErrorCode::CannotOpen | ErrorCode::AuthorizationForStatementDenied) => {
                Self::Denied(error.to_string())
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt(error.to_string()),
            _ => match error {
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::QueryReturnedNoRows => Self::Corrupt(error.to_string()),
                // Our statements name only our tables, so a table that is missing is damage too.
                rusqlite::Error::SqliteFailure(_, Some(ref message)) if message.starts_with("no such ") => {
                    Self::Corrupt(error.to_string())
                }
                other => Self::Sqlite(other),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a full tmpfs it is the first thing that fails.
    #[test]
    fn no_room_for_the_shared_memory_is_a_full_disk() {
        let error = rusqlite::ffi::Error::new(NO_ROOM_TO_SHARE);
        assert!(matches!(
            Fault::from(rusqlite::Error::SqliteFailure(error, None)),
            Fault::Full
        ));
        let other = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_READ);
        assert!(matches!(
            Fault::from(rusqlite::Error::SqliteFailure(other, None)),
            Fault::Sqlite(_)
        ));
    }
}
