//! What of a PostgreSQL server or role is a risk, for `check`.

use super::postgres::Session;
use super::sql::Tx;
use super::{Error, Fault, PostgresAddress};
use crate::blocking::blocking;

/// Something to be set right, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerRisk {
    /// What it is.
    pub message: String,
    /// What to do.
    pub hint: &'static str,
}

impl PostgresAddress {
    /// Connects, and says what is risky; an error where no run could connect either.
    pub fn risks(&self) -> Result<Vec<ServerRisk>, Error> {
        blocking(|| find(&Session::connect(self)?)).map_err(|error| error.at(std::path::Path::new(&self.to_string())))
    }
}

fn find(session: &Session) -> Result<Vec<ServerRisk>, Error> {
    let tx = Tx::Shared(session);
    let setting = |name: &str| tx.value::<String>("SELECT current_setting(?1)", [name]);
    if setting("transaction_read_only")?.as_deref() == Some("on") {
        return Err(Error::of_file(Fault::ReadOnly));
    }
    let mut risks = Vec::new();
    let mut risk = |message: &str, hint| {
        risks.push(ServerRisk {
            message: message.to_owned(),
            hint,
        });
    };
    if setting("fsync")?.as_deref() == Some("off") {
        risk(
            "the server runs with fsync = off: a power failure loses what was recorded of deletions",
            "set fsync = on",
        );
    }
    let is_standby = "SELECT COUNT(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')";
    let is_hidden = "SELECT COUNT(*) FROM pg_stat_replication WHERE sync_state IS NULL";
    if setting("synchronous_standby_names")?.unwrap_or_default().is_empty() {
        risk(
            "the server has no synchronous standby: after a failover the newest records may be missing, and nothing is deleted then",
            "set synchronous_standby_names, or accept that",
        );
    } else if tx.number(is_standby, ())? == 0 {
        if tx.number(is_hidden, ())? > 0 {
            risk(
                "this role may not see whether the synchronous standby follows",
                "GRANT pg_monitor to the role",
            );
        } else {
            risk(
                "no synchronous standby is connected: each commit waits for one, fails, and nothing is deleted",
                "start the standby, or take it out of synchronous_standby_names",
            );
        }
    }
    // Before the first run there are no tables.
    let may_not_run = "SELECT COUNT(*) FROM pg_catalog.pg_class WHERE relname IN ('request', 'lease', 'member') AND relkind = 'r' \
         AND relnamespace = current_schema()::regnamespace AND NOT has_table_privilege(oid, 'INSERT')";
    if tx.number(may_not_run, ())? > 0 {
        risk(
            "this role may not run policies: it lacks the right to write some tables",
            "use a role with retention_daemon (config/postgres/roles.sql) for `run` and `apply`",
        );
    }
    Ok(risks)
}
