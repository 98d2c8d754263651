//! `state:`, the ledger in PostgreSQL.

use std::path::{Path, PathBuf};

use tokio_postgres::config::{Host, SslMode};

use super::reader::{Cursor, Fields};
use super::spec::STATE;
use super::state_at::{PostgresState, StateAt};

/// The database that `state:` names; `None` where there is no such key, or nothing of it can be read.
pub(super) fn read(fields: &Fields<'_>, base: &Path) -> Option<StateAt> {
    let at = fields.get("state")?;
    if let Some(dir) = fields.get("state_dir") {
        dir.fail(
            "a state is in a directory or in a database, not in both",
            "remove `state_dir` or `state`",
        );
    }
    let section = at.section(&STATE)?;
    let url = section.get("postgres")?;
    let (text, target) = (url.text()?, target(url)?);
    let file = |name| section.get(name).and_then(Cursor::text).map(PathBuf::from);
    Some(StateAt::Postgres(PostgresState {
        target,
        url: text.to_owned(),
        password_file: file("password_file"),
        ca: file("ca").map(|ca| base.join(ca)),
    }))
}

fn target(at: &Cursor<'_>) -> Option<Box<tokio_postgres::Config>> {
    let example = "write it as postgres://retention@db1,db2/retention";
    // What the parser says of the text may repeat a password.
    let Ok(target) = at.text()?.parse::<tokio_postgres::Config>() else {
        at.fail("not the address of a PostgreSQL database", example);
        return None;
    };
    let is_socket = |host: &Host| matches!(host, Host::Unix(_));
    if target.get_password().is_some() {
        at.fail(
            "a password does not belong into the configuration",
            "put it into a file and name that in `password_file`",
        );
        return None;
    }
    if target.get_hosts().is_empty() || target.get_dbname().is_none() || target.get_user().is_none() {
        at.fail("a user, a host and a database must be named", example);
        return None;
    }
    if !target.get_hostaddrs().is_empty() || target.get_options().is_some() || target.get_ssl_mode() != SslMode::Prefer
    {
        at.fail(
            "`sslmode`, `hostaddr` and `options` are not used",
            "leave them out: TLS is on unless the host is loopback or a socket",
        );
        return None;
    }
    if target.get_hosts().iter().any(is_socket) && target.get_hosts().len() > 1 {
        at.fail("a socket beside other hosts", "name the socket alone, or hosts");
        return None;
    }
    Some(Box::new(target))
}
