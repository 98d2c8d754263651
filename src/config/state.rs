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
    let text = url.text()?;
    let target = target(text).map_err(|(what, hint)| url.fail(what, hint)).ok()?;
    let file = |name| section.get(name).and_then(Cursor::text).map(PathBuf::from);
    Some(StateAt::Postgres(PostgresState {
        target,
        url: text.to_owned(),
        password_file: file("password_file"),
        ca: file("ca").map(|ca| base.join(ca)),
    }))
}

/// What is wrong with an address, and what to do.
type Objection = (&'static str, &'static str);

/// A database's address as it is typed, checked as that of a configuration is.
pub fn parse_postgres_url(text: &str) -> Result<Box<tokio_postgres::Config>, String> {
    target(text).map_err(|(what, hint)| format!("{what}: {hint}"))
}

fn target(text: &str) -> Result<Box<tokio_postgres::Config>, Objection> {
    let example = "write it as postgres://retention@db1,db2/retention";
    // What the parser says of the text may repeat a password.
    let Ok(target) = text.parse::<tokio_postgres::Config>() else {
        return Err(("not the address of a PostgreSQL database", example));
    };
    let is_socket = |host: &Host| matches!(host, Host::Unix(_));
    if target.get_password().is_some() {
        return Err((
            "a password does not belong into the address",
            "put it into a file and name that in `password_file`",
        ));
    }
    if target.get_hosts().is_empty() || target.get_dbname().is_none() || target.get_user().is_none() {
        return Err(("a user, a host and a database must be named", example));
    }
    if !target.get_hostaddrs().is_empty() || target.get_options().is_some() || target.get_ssl_mode() != SslMode::Prefer
    {
        return Err((
            "`sslmode`, `hostaddr` and `options` are not used",
            "leave them out: TLS is on unless the host is loopback or a socket",
        ));
    }
    if target.get_hosts().iter().any(is_socket) && target.get_hosts().len() > 1 {
        return Err(("a socket beside other hosts", "name the socket alone, or hosts"));
    }
    Ok(Box::new(target))
}
