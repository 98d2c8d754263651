//! The ledger in PostgreSQL: one connection, driven from here, with deadlines of ours.
//!
//! No state of a session is relied on, and every statement is sent with its types, so a pooler in transaction mode may stand between.
//! Whoever writes first locks the row with the chain's head: so writers are one after another in all processes, as SQLite's immediate
//! transactions are, and what a transaction reads no other one changes before it ends.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, Type, to_sql_checked};
use tokio_postgres::{AsyncMessage, Client, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::postgres_login::{password, trusted};
use super::sql_value::{Parameters, SqlValue};
use super::{Error, Fault};

/// Where a shared ledger is.
#[derive(Clone, Debug)]
pub struct PostgresAddress {
    /// Host, port, user and database; never a password.
    pub target: Box<tokio_postgres::Config>,
    /// The file with the password; `None`: `PGPASSWORD`, or none is needed.
    pub password_file: Option<PathBuf>,
    /// The authorities that are trusted; `None`: the host's.
    pub ca: Option<PathBuf>,
}

/// As people know it: hosts, ports other than the usual one, and the database.
impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self
            .hosts()
            .map(|(host, port)| {
                let port = port.filter(|port| *port != USUAL_PORT);
                let port = port.map_or_else(String::new, |port| format!(":{port}"));
                match host {
                    Host::Tcp(name) => format!("{name}{port}"),
                    Host::Unix(path) => format!("{}{port}", path.display()),
                }
            })
            .collect();
        let database = self.target.get_dbname().unwrap_or_default();
        write!(f, "postgres://{}/{database}", hosts.join(","))
    }
}

/// The port of a server that names none.
const USUAL_PORT: u16 = 5432;

impl PostgresAddress {
    /// The hosts, each with its port where one is named.
    fn hosts(&self) -> impl Iterator<Item = (&Host, Option<u16>)> {
        let ports = self.target.get_ports();
        let port = move |nth: usize| match ports {
            [one] => Some(*one),
            several => several.get(nth).copied(),
        };
        let hosts = self.target.get_hosts().iter().enumerate();
        hosts.map(move |(nth, host)| (host, port(nth)))
    }

    /// As it can be parsed again.
    pub(super) fn url(&self) -> String {
        let host = |(host, port): (&Host, Option<u16>)| {
            let port = port.map_or_else(String::new, |port| format!(":{port}"));
            match host {
                Host::Tcp(name) if name.contains(':') => format!("[{name}]{port}"),
                Host::Tcp(name) => format!("{name}{port}"),
                Host::Unix(path) => format!("{}{port}", percent_encoded(&path.display().to_string())),
            }
        };
        let hosts: Vec<String> = self.hosts().map(host).collect();
        let [user, database] =
            [self.target.get_user(), self.target.get_dbname()].map(|name| percent_encoded(name.unwrap_or_default()));
        format!("postgres://{user}@{}/{database}", hosts.join(","))
    }
}

fn percent_encoded(text: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encoded).collect()
}

/// A server that does not answer is given up after this.
const CONNECT: Duration = Duration::from_secs(5);
/// Longer than a statement may wait for a lock; a commit that waits for a standby longer has failed.
const ANSWER: Duration = Duration::from_secs(15);
/// So many statements are under way at once.
const PIPELINED: usize = 256;

/// So many rows are inserted by one statement; it may have 65,535 values.
const ROWS_A_STATEMENT: usize = 500;

/// An open connection, and a runtime that drives it while a caller waits for an answer.
#[derive(Debug)]
pub(super) struct Session {
    runtime: Option<tokio::runtime::Runtime>,
    client: Client,
    /// The server warned of something: of a commit, that no standby has it.
    has_warned: Arc<AtomicBool>,
    /// A statement failed, so the transaction cannot be committed.
    has_failed: Cell<bool>,
    /// The row of the chain that the transaction appended last, with its hash.
    pub(super) appended: RefCell<Option<(i64, String)>>,
}

impl Drop for Session {
    fn drop(&mut self) {
        // In async code a runtime must not be waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Session {
    pub(super) fn connect(address: &PostgresAddress) -> Result<Self, Error> {
        let mut target = address.target.clone();
        let is_near = |host: &Host| match host {
            Host::Unix(_) => true,
            Host::Tcp(name) => {
                name == "localhost"
                    || name
                        .parse()
                        .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
            }
        };
        let is_tls = address.ca.is_some() || !target.get_hosts().iter().all(is_near);
        let attributes = if target.get_hosts().len() > 1 {
            TargetSessionAttrs::ReadWrite
        } else {
            TargetSessionAttrs::Any
        };
        target
            .ssl_mode(if is_tls { SslMode::Require } else { SslMode::Disable })
            .connect_timeout(CONNECT)
            .tcp_user_timeout(ANSWER)
            .keepalives_idle(Duration::from_secs(10))
            .target_session_attrs(attributes)
            .application_name(env!("CARGO_PKG_NAME"));
        if let Some(password) = password(address.password_file.as_deref())? {
            target.password(password);
        }
        let tls = MakeRustlsConnect::new(trusted(address.ca.as_deref().filter(|_| is_tls), is_tls)?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let has_warned = Arc::new(AtomicBool::new(false));
        let warned = Arc::clone(&has_warned);
        let connected = runtime.block_on(async { tokio::time::timeout(2 * CONNECT, target.connect(tls)).await });
        let (client, mut connection) = match connected {
            Ok(connected) => connected?,
            Err(_) => return Err(Error::of_file(unreachable_after(2 * CONNECT))),
        };
        runtime.spawn(async move {
            while let Some(message) = std::future::poll_fn(|context| connection.poll_message(context)).await {
                match message {
                    Ok(AsyncMessage::Notice(notice)) if *notice.code() == SqlState::WARNING => {
                        warned.store(true, Ordering::Relaxed);
                    }
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
        });
        Ok(Self {
            runtime: Some(runtime),
            client,
            has_warned,
            has_failed: Cell::new(false),
            appended: RefCell::default(),
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Waits for an answer, not for ever.
    fn wait<T>(&self, answer: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Error> {
        let Some(runtime) = &self.runtime else {
            return Err(Error::of_file(unreachable_after(Duration::ZERO)));
        };
        let answered = runtime.block_on(async { tokio::time::timeout(ANSWER, answer).await });
        let found = match answered {
            Ok(answer) => answer.map_err(Error::from),
            Err(_) => Err(Error::of_file(unreachable_after(ANSWER))),
        };
        if found.is_err() {
            self.has_failed.set(true);
        }
        found
    }

    pub(super) fn batch(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>, Error> {
        self.wait(self.client.simple_query(sql))
    }

    pub(super) fn query(&self, sql: &str, values: &[SqlValue<'_>]) -> Result<Vec<tokio_postgres::Row>, Error> {
        self.wait(self.client.query_typed(&numbered(sql), &typed(values)))
    }

    pub(super) fn execute(&self, sql: &str, values: &[SqlValue<'_>]) -> Result<usize, Error> {
        let rows = self.wait(self.client.execute_typed(&numbered(sql), &typed(values)))?;
        Ok(usize::try_from(rows).unwrap_or(usize::MAX))
    }

    /// Many at once, in their order.
    pub(super) fn execute_each<P: Parameters>(
        &self,
        sql: &str,
        rows: impl IntoIterator<Item = P>,
    ) -> Result<(), Error> {
        let sql = numbered(sql);
        let mut rows = rows.into_iter();
        loop {
            let some: Vec<P> = rows.by_ref().take(PIPELINED).collect();
            if some.is_empty() {
                return Ok(());
            }
            let values: Vec<Vec<SqlValue<'_>>> = some.iter().map(P::values).collect();
            let typed: Vec<_> = values.iter().map(|values| typed(values.as_slice())).collect();
            self.wait(try_join_all(
                typed.iter().map(|typed| self.client.execute_typed(&sql, typed)),
            ))?;
        }
    }

    /// Many rows a statement, which their keys must allow: no row may meet another one's conflict. Parsing a statement takes the server
    /// longer than inserting a row.
    pub(super) fn insert_each<P: Parameters>(&self, sql: &str, rows: impl IntoIterator<Item = P>) -> Result<(), Error> {
        let rows: Vec<P> = rows.into_iter().collect();
        for some in rows.chunks(ROWS_A_STATEMENT) {
            let of_rows: Vec<Vec<SqlValue<'_>>> = some.iter().map(P::values).collect();
            let sql = repeated(sql, &of_rows);
            let values: Vec<SqlValue<'_>> = of_rows.into_iter().flatten().collect();
            self.wait(self.client.execute_typed(&sql, &typed(&values)))?;
        }
        Ok(())
    }

    pub(super) fn commit(&self) -> Result<(), Error> {
        if self.has_failed.get() {
            // The server would answer a commit with a rollback, and no error.
            return Err(Error::of_file(Fault::Postgres("a statement of it failed".to_owned())));
        }
        self.has_warned.store(false, Ordering::Relaxed);
        self.appended.take();
        self.batch("COMMIT")?;
        if self.has_warned.load(Ordering::Relaxed) {
            return Err(Error::of_file(Fault::OnlyLocal));
        }
        Ok(())
    }
}

fn unreachable_after(waited: Duration) -> Fault {
    Fault::Unreachable(format!("no answer within {} s", waited.as_secs()))
}

/// SQLite numbers parameters with a question mark.
fn numbered(sql: &str) -> String {
    sql.replace('?', "$")
}

/// An insertion with its `VALUES (?1, …)` once for each row.
fn repeated(sql: &str, rows: &[Vec<SqlValue<'_>>]) -> String {
    let Some((before, (values, after))) = sql
        .split_once("VALUES (")
        .and_then(|(before, rest)| Some((before, rest.split_once(')')?)))
    else {
        // The server refuses it for its number of values.
        return numbered(sql);
    };
    let mut first = 0;
    let tuples = rows.iter().map(|row| {
        let one = |value: &str| match value.trim().strip_prefix('?').map(str::parse::<usize>) {
            Some(Ok(number)) => format!("${}", first + number),
            _ => value.to_owned(),
        };
        let tuple = format!("({})", values.split(',').map(one).collect::<Vec<_>>().join(", "));
        first += row.len();
        tuple
    });
    let tuples = tuples.collect::<Vec<_>>().join(", ");
    format!("{before}VALUES {tuples}{after}")
}

type Typed<'v> = Vec<(&'v (dyn tokio_postgres::types::ToSql + Sync), Type)>;

fn typed<'v>(values: &'v [SqlValue<'_>]) -> Typed<'v> {
    let one = |value: &'v SqlValue<'_>| {
        let of = match value {
            // The server takes that of the column.
            SqlValue::Null => Type::UNKNOWN,
            SqlValue::Number(_) => Type::INT8,
            SqlValue::Text(_) => Type::TEXT,
            SqlValue::Bytes(_) => Type::BYTEA,
        };
        (value as &(dyn tokio_postgres::types::ToSql + Sync), of)
    };
    values.iter().map(one).collect()
}

impl tokio_postgres::types::ToSql for SqlValue<'_> {
    fn to_sql(
        &self,
        of: &Type,
        out: &mut tokio_postgres::types::private::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Number(number) => number.to_sql(of, out),
            Self::Text(text) => (&**text).to_sql(of, out),
            Self::Bytes(bytes) => (&**bytes).to_sql(of, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A column of a row that was found.
pub(super) fn column(row: &tokio_postgres::Row, column: usize) -> Result<SqlValue<'_>, Error> {
    let of = row.columns().get(column).map(tokio_postgres::Column::type_);
    Ok(match of {
        Some(&Type::INT8) => row.try_get::<_, Option<i64>>(column)?.map(SqlValue::Number),
        Some(&Type::INT4) => row
            .try_get::<_, Option<i32>>(column)?
            .map(|number| SqlValue::Number(number.into())),
        Some(&Type::BYTEA) => row
            .try_get::<_, Option<&[u8]>>(column)?
            .map(|bytes| SqlValue::Bytes(bytes.into())),
        _ => row
            .try_get::<_, Option<&str>>(column)?
            .map(|text| SqlValue::Text(text.into())),
    }
    .unwrap_or(SqlValue::Null))
}

pub(super) const LIMITS: &str = "SET LOCAL lock_timeout = '10s'; SET LOCAL statement_timeout = '12s'; \
    SET LOCAL idle_in_transaction_session_timeout = '5s'";

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::of_file(error.into())
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(said) = error.as_db_error() else {
            let text = crate::wording::error_chain(&error);
            return if text.contains("TLS") {
                Self::Tls(text)
            } else if text.contains("password missing") || text.contains("authentication") {
                Self::Credentials(text)
            } else {
                Self::Unreachable(text)
            };
        };
        let (code, text) = (said.code(), said.message().to_owned());
        match code.code() {
            "28P01" | "28000" => Self::Credentials(text),
            "42501" => Self::Privileges(text),
            "3D000" => Self::NoDatabase(text),
            "25006" => Self::ReadOnly,
            "53100" => Self::Full,
            "57014" | "55P03" | "40P01" | "40001" => Self::Busy,
            "42P01" | "42703" => Self::Corrupt(text),
            code if code.starts_with("57P") || code.starts_with("08") || code.starts_with("53") || code == "25P03" => {
                Self::Unreachable(text)
            }
            code => Self::Postgres(format!("{text} ({code})")),
        }
    }
}
