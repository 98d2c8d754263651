//! Leases: the right to delete in some projects, in PostgreSQL, for as long as its holder renews it.
//!
//! A lease is all of its projects or none. It lasts for [`LASTS`] by the database's clock, and by the holder's monotonic clock from before the
//! request that renewed it, so the holder never believes in it longer than the database does. What was intended by the holder before is
//! waited for ([`DRAIN`]): it may be on its way though its lease is over.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::member::process_id;
use super::postgres::{LIMITS, Session};
use super::sql::Tx;
use super::{Error, Fault, PostgresAddress, host_name};
use crate::blocking::blocking;
use crate::clock::protocol_time;
use crate::retention::ProjectName;

/// How long a lease lasts.
pub(super) const LASTS: Duration = Duration::from_secs(30);
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(3);
/// How long what was intended may be on its way: a request begins within 5 s of its intent and ends within 20 s of its beginning.
pub const DRAIN: Duration = Duration::from_secs(26);
/// The same for the request that an intent is for.
const REQUEST: Duration = Duration::from_secs(25);

/// When a lease that is taken or renewed now ends, in SQL.
fn expiry() -> String {
    let lasts = protocol_time(LASTS).as_millis();
    format!("clock_timestamp() + interval '{lasts} milliseconds'")
}

/// Which start of which server this is, in SQL: another one after a failover.
const SERVER: &str = "CAST(pg_postmaster_start_time() AS TEXT)";

/// Some projects' leases, renewed until this is dropped, and then given back.
#[derive(Debug)]
pub(super) struct Lease {
    database: PathBuf,
    projects: Vec<ProjectName>,
    /// Those whose last holder did not give them back.
    pub(super) taken_over: Vec<ProjectName>,
    holder: String,
    /// Before this nothing may be sent: what an earlier holder intended may still be on its way.
    ready_at: Instant,
    held: Arc<LeaseTerm>,
    renewer: Option<JoinHandle<()>>,
}

/// What the holder knows of its lease.
#[derive(Debug)]
struct LeaseTerm {
    /// Until when it is sure to last; and whether it is to be given back.
    until: Mutex<(Instant, bool)>,
    ends: Condvar,
}

impl Lease {
    /// Takes the leases of these projects; `None` while somebody else has one of them. Then the connection is kept for the next time.
    pub(super) fn take(
        address: &PostgresAddress,
        kept: &mut Option<Session>,
        projects: &[ProjectName],
    ) -> Result<Option<Self>, Error> {
        let database = PathBuf::from(address.to_string());
        let mut projects = projects.to_vec();
        // In one order, so that no two wait for each other.
        projects.sort();
        projects.dedup();
        let taken = blocking(|| {
            if !is_free(address, kept, &projects)? {
                return Ok(None);
            }
            let session = kept.take().map_or_else(|| Session::connect(address), Ok)?;
            Self::take_on(address, kept, session, &database, projects)
        });
        taken.map_err(|error| error.at(&database))
    }

    fn take_on(
        address: &PostgresAddress,
        kept: &mut Option<Session>,
        session: Session,
        database: &Path,
        projects: Vec<ProjectName>,
    ) -> Result<Option<Self>, Error> {
        let (holder, host) = (format!("{}:{}", process_id(), uuid::Uuid::now_v7()), host_name());
        let asked = Instant::now();
        session.batch(&format!("BEGIN; {LIMITS}"))?;
        let mut is_open = false;
        let mut taken_over = Vec::new();
        for project in &projects {
            let Some(left) = take_project(&session, project, &holder, &host)? else {
                session.batch("ROLLBACK")?;
                *kept = Some(session);
                return Ok(None);
            };
            taken_over.extend(left.was_left.then(|| project.clone()));
            is_open |= left.is_elsewhere;
        }
        session.commit()?;
        // Read after that: an intent of an earlier holder was committed before it, or never is.
        for project in &projects {
            let sql = "SELECT seq FROM request WHERE answer IS NULL AND unsettled > 0 AND project = ?1 LIMIT 1";
            is_open |= Tx::Shared(&session).value::<i64>(sql, [project.as_str()])?.is_some();
        }
        let held = Arc::new(LeaseTerm {
            until: Mutex::new((asked + protocol_time(LASTS), false)),
            ends: Condvar::new(),
        });
        let renewer = Renewer {
            address: address.clone(),
            holder: holder.clone(),
            count: projects.len(),
            held: Arc::clone(&held),
        };
        let renewer = std::thread::Builder::new()
            .name("lease".to_owned())
            .spawn(move || renewer.renew_until_dropped(Some(session)))?;
        Ok(Some(Self {
            database: database.to_owned(),
            projects,
            taken_over,
            holder,
            ready_at: Instant::now() + if is_open { protocol_time(DRAIN) } else { Duration::ZERO },
            held,
            renewer: Some(renewer),
        }))
    }

    /// Whether it is of that database.
    pub(super) fn is_of(&self, database: &Path) -> bool {
        self.database == database
    }

    /// Whether it is sure to last for a whole request.
    pub(super) fn is_lasting(&self) -> bool {
        self.lasts_for() > protocol_time(REQUEST)
    }

    /// Waits while it may yet be renewed and is not sure to last for a whole request.
    pub(super) fn wait_until_lasting(&self) {
        let given_up = Instant::now() + protocol_time(RENEW) + Duration::from_secs(1);
        while Instant::now() < given_up
            && (Duration::from_nanos(1)..=protocol_time(REQUEST)).contains(&self.lasts_for())
        {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn lasts_for(&self) -> Duration {
        let (until, _) = *self.held.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.saturating_duration_since(Instant::now())
    }

    pub(super) fn covers(&self, project: &ProjectName) -> bool {
        self.projects.contains(project)
    }

    /// How long what an earlier holder intended may still be on its way.
    pub(super) fn drains_for(&self) -> Duration {
        self.ready_at.saturating_duration_since(Instant::now())
    }

    /// Fails unless the database says, until this transaction ends, that all of its projects are its own.
    pub(super) fn check(&self, tx: &Tx<'_>) -> Result<(), Error> {
        let sql = "SELECT epoch FROM lease WHERE holder = ?1 AND expires > clock_timestamp() FOR SHARE";
        let held = tx.all(sql, [&self.holder], |row| row.get::<i64>(0))?;
        if held.len() == self.projects.len() {
            Ok(())
        } else {
            Err(Error::of_file(Fault::LeaseLost))
        }
    }
}

/// Whether none of these leases is somebody's: asked without a lock, so that who waits for a lease delays nothing of its holder's. The
/// connection is kept.
pub(super) fn is_free(
    address: &PostgresAddress,
    kept: &mut Option<Session>,
    projects: &[ProjectName],
) -> Result<bool, Error> {
    let names: Vec<&str> = projects.iter().map(ProjectName::as_str).collect();
    let names = names.join("\u{1f}");
    let held = |session: &Session| {
        Tx::Shared(session).number(
            "SELECT COUNT(*) FROM lease WHERE project = ANY(string_to_array(?1, ?2)) AND expires > clock_timestamp()",
            [names.as_str(), "\u{1f}"],
        )
    };
    let (session, held) = match kept.take().map(|session| (held(&session), session)) {
        Some((Ok(held), session)) => (session, held),
        // A server that was restarted closed it.
        Some((Err(_), _)) | None => {
            let session = Session::connect(address)?;
            let held = held(&session)?;
            (session, held)
        }
    };
    *kept = Some(session);
    Ok(held == 0)
}

/// What an earlier holder left of a project's lease.
struct LeftLease {
    /// It did not give it back.
    was_left: bool,
    /// It took it on another server: a failover may have lost its intents.
    is_elsewhere: bool,
}

/// Takes one project's lease in the transaction that is open; `None` where another process holds it.
fn take_project(
    session: &Session,
    project: &ProjectName,
    holder: &str,
    host: &str,
) -> Result<Option<LeftLease>, Error> {
    let tx = Tx::Shared(session);
    let left = tx.value::<i64>(
        "SELECT epoch FROM lease WHERE project = ?1 AND server <> '' FOR UPDATE",
        [project.as_str()],
    )?;
    let elsewhere = format!("SELECT epoch FROM lease WHERE project = ?1 AND server <> '' AND server <> {SERVER}");
    let elsewhere = tx.value::<i64>(&elsewhere, [project.as_str()])?;
    let taken = tx.execute(
        &format!(
            "INSERT INTO lease (project, holder, epoch, expires, host, takeovers, server) VALUES (?1, ?2, 1, {}, ?3, 0, {SERVER}) \
             ON CONFLICT (project) DO UPDATE SET holder = excluded.holder, epoch = lease.epoch + 1, expires = excluded.expires, \
             host = excluded.host, server = excluded.server, \
             takeovers = lease.takeovers + CASE WHEN lease.server = '' THEN 0 ELSE 1 END \
             WHERE lease.expires <= clock_timestamp()",
            expiry()
        ),
        (project.as_str(), holder, host),
    )?;
    Ok((taken > 0).then_some(LeftLease {
        was_left: left.is_some(),
        is_elsewhere: elsewhere.is_some(),
    }))
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.held.until.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.held.ends.notify_all();
        if let Some(renewer) = self.renewer.take() {
            // Given back before the process ends.
            let _ = blocking(|| renewer.join());
        }
    }
}

/// How often leases have been taken, of all projects. Who reads it after locking the head sees every one by whose holder anything was written.
pub(super) fn taken(tx: &Tx<'_>) -> Result<i64, Error> {
    tx.number("SELECT CAST(COALESCE(SUM(epoch), 0) AS BIGINT) FROM lease", ())
}

/// Whether a request of some holder may be on its way: its lease was not given back, and ended less than [`DRAIN`] ago if it did.
pub(super) fn may_be_sending(tx: &Tx<'_>) -> Result<bool, Error> {
    let sql = format!(
        "SELECT COUNT(*) FROM lease WHERE server <> '' AND expires > clock_timestamp() - interval '{} milliseconds'",
        protocol_time(DRAIN).as_millis()
    );
    Ok(tx.number(&sql, ())? > 0)
}

/// Renews a lease, on a connection of its own.
struct Renewer {
    address: PostgresAddress,
    holder: String,
    count: usize,
    held: Arc<LeaseTerm>,
}

impl Renewer {
    fn renew_until_dropped(self, mut session: Option<Session>) {
        loop {
            let until = self.held.until.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = self
                .held
                .ends
                .wait_timeout_while(until, protocol_time(RENEW), |(_, ends)| !*ends);
            let (_, ends) = *waited.unwrap_or_else(PoisonError::into_inner).0;
            if ends {
                let sql = "UPDATE lease SET expires = clock_timestamp(), server = '' WHERE holder = ?1 AND expires > clock_timestamp()";
                let _ = self.update(&mut session, sql);
                return;
            }
            let asked = Instant::now();
            let sql = format!(
                "UPDATE lease SET expires = {}, server = {SERVER} WHERE holder = ?1 AND expires > clock_timestamp()",
                expiry()
            );
            match self.update(&mut session, &sql) {
                Ok(count) if count == self.count => {
                    self.held.until.lock().unwrap_or_else(PoisonError::into_inner).0 = asked + protocol_time(LASTS);
                }
                // Another member has one of them.
                Ok(_) => {
                    self.held.until.lock().unwrap_or_else(PoisonError::into_inner).0 = asked;
                    tracing::warn!("the lease on {} is lost: nothing more is sent by its run", self.address);
                    return;
                }
                Err(error) => {
                    let error = error.at(Path::new(&self.address.to_string()));
                    tracing::warn!(%error, "the lease could not be renewed; it is tried again until it is over");
                    session = None;
                }
            }
        }
    }

    fn update(&self, session: &mut Option<Session>, sql: &str) -> Result<usize, Error> {
        let session = match session {
            Some(session) => session,
            none => none.insert(Session::connect(&self.address)?),
        };
        Tx::Shared(session).execute(sql, [&self.holder])
    }
}
