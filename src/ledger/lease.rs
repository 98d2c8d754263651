//! Leases: the right to delete in some projects, in PostgreSQL, for as long as its holder renews it.
//!
//! A lease is all of its projects or none. It lasts for [`LASTS`] by the database's clock, and by the holder's monotonic clock from before the
//! request that renewed it, so the holder never believes in it longer than the database does. What was intended by the holder before is
//! waited for ([`DRAIN`]): it may be on its way though its lease is over.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::postgres::{LIMITS, Session};
use super::sql::Tx;
use super::{Error, Fault, PostgresAddress};
use crate::blocking::blocking;
use crate::retention::ProjectName;

/// How long a lease lasts.
pub(super) const LASTS: Duration = Duration::from_secs(30);
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(3);
/// How long what was intended may be on its way: a request begins within 5 s of its intent and ends within 20 s of its beginning.
pub const DRAIN: Duration = Duration::from_secs(26);
/// The same for the request that an intent is for.
const REQUEST: Duration = Duration::from_secs(25);

/// Some projects' leases, renewed until this is dropped, and then given back.
#[derive(Debug)]
pub(super) struct Lease {
    database: PathBuf,
    projects: Vec<ProjectName>,
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
    /// Takes the leases of these projects; `None` while somebody else has one of them.
    pub(super) fn take(address: &PostgresAddress, projects: &[ProjectName]) -> Result<Option<Self>, Error> {
        let database = PathBuf::from(address.to_string());
        let taken = blocking(|| Self::take_on(address, &database, projects));
        taken.map_err(|error| error.at(&database))
    }

    fn take_on(address: &PostgresAddress, database: &Path, projects: &[ProjectName]) -> Result<Option<Self>, Error> {
        let mut projects = projects.to_vec();
        // In one order, so that no two wait for each other.
        projects.sort();
        projects.dedup();
        let holder = uuid::Uuid::now_v7().to_string();
        let session = Session::connect(address)?;
        let asked = Instant::now();
        session.batch(&format!("BEGIN; {LIMITS}"))?;
        for project in &projects {
            let taken = Tx::Shared(&session).execute(
                "INSERT INTO lease (project, holder, epoch, expires) VALUES (?1, ?2, 1, clock_timestamp() + interval '30 seconds') \
                 ON CONFLICT (project) DO UPDATE SET holder = excluded.holder, epoch = lease.epoch + 1, expires = excluded.expires \
                 WHERE lease.expires <= clock_timestamp()",
                (project.as_str(), &holder),
            )?;
            if taken == 0 {
                session.batch("ROLLBACK")?;
                return Ok(None);
            }
        }
        session.commit()?;
        // Read after that: an intent of an earlier holder was committed before it, or never is.
        let mut is_open = false;
        for project in &projects {
            let sql = "SELECT seq FROM request WHERE answer IS NULL AND unsettled > 0 AND project = ?1 LIMIT 1";
            is_open |= Tx::Shared(&session).value::<i64>(sql, [project.as_str()])?.is_some();
        }
        let held = Arc::new(LeaseTerm {
            until: Mutex::new((asked + LASTS, false)),
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
            holder,
            ready_at: Instant::now() + if is_open { DRAIN } else { Duration::ZERO },
            held,
            renewer: Some(renewer),
        }))
    }

    /// Whether it is of that database, and sure to last for a whole request.
    pub(super) fn is_of(&self, database: &Path) -> bool {
        self.database == database && self.lasts_for() > REQUEST
    }

    /// Waits while it may yet be renewed and is not sure to last for a whole request.
    pub(super) fn wait_until_lasting(&self) {
        let given_up = Instant::now() + RENEW + Duration::from_secs(1);
        while Instant::now() < given_up && (Duration::from_nanos(1)..=REQUEST).contains(&self.lasts_for()) {
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

    /// Fails unless the database says, until this transaction ends, that the project's lease is this one.
    pub(super) fn check(&self, tx: &Tx<'_>, project: &ProjectName) -> Result<(), Error> {
        if !self.drains_for().is_zero() {
            return Err(Error::of_file(Fault::Draining));
        }
        let sql =
            "SELECT epoch FROM lease WHERE project = ?1 AND holder = ?2 AND expires > clock_timestamp() FOR SHARE";
        match tx.value::<i64>(sql, (project.as_str(), &self.holder))? {
            Some(_) => Ok(()),
            None => Err(Error::of_file(Fault::LeaseLost(project.to_string()))),
        }
    }
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
            let waited = self.held.ends.wait_timeout_while(until, RENEW, |(_, ends)| !*ends);
            let (_, ends) = *waited.unwrap_or_else(PoisonError::into_inner).0;
            if ends {
                let sql =
                    "UPDATE lease SET expires = clock_timestamp() WHERE holder = ?1 AND expires > clock_timestamp()";
                let _ = self.update(&mut session, sql);
                return;
            }
            let asked = Instant::now();
            let sql = "UPDATE lease SET expires = clock_timestamp() + interval '30 seconds' \
                 WHERE holder = ?1 AND expires > clock_timestamp()";
            match self.update(&mut session, sql) {
                Ok(count) if count == self.count => {
                    self.held.until.lock().unwrap_or_else(PoisonError::into_inner).0 = asked + LASTS;
                }
                // Somebody else has one of them.
                Ok(_) => {
                    self.held.until.lock().unwrap_or_else(PoisonError::into_inner).0 = asked;
                    tracing::warn!("the lease on {} is lost: nothing more is sent by its run", self.address);
                    return;
                }
                Err(error) => {
                    tracing::warn!(error = %error, "the lease could not be renewed; it is tried again until it is over");
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
