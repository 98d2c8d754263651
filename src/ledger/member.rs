//! Members: who lives on a shared ledger, and whether all of them have one configuration.
//!
//! A daemon, or an `apply` that enforces, is a member as long as its heartbeat is younger than 30 s. Members whose configurations differ delete
//! nothing until they agree; that is read again with each intent.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::postgres::Session;
use super::sql::Tx;
use super::{Error, Fault, PostgresAddress};
use crate::blocking::blocking;
use crate::clock::protocol_time;

/// How often a member says that it lives.
const BEAT: Duration = Duration::from_secs(3);
/// Whoever was not heard of for longer is no member.
pub(super) const LIVES_FOR: Duration = Duration::from_secs(30);
/// A run that a member began is another's to close once that member was not heard of for longer.
const RUN_LIVES_FOR: Duration = Duration::from_secs(60);
/// A member that reaches the database no more is not ready.
const IN_TOUCH_FOR: Duration = Duration::from_secs(9);

/// Which rows of `member` were heard of within that time, in SQL.
pub(super) fn lives(within: Duration) -> String {
    let within = protocol_time(within).as_millis();
    format!("seen > clock_timestamp() - interval '{within} milliseconds'")
}

/// This process, as long as it is a member.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) id: String,
    said: Arc<Heartbeat>,
    heart: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Heartbeat {
    /// Who it is, and what its configuration is; and whether it ends.
    what: Mutex<(String, String, bool)>,
    /// When the database last knew of it.
    reached: Mutex<Instant>,
    changes: Condvar,
}

impl Membership {
    /// Becomes a member, or says with which configuration from now on.
    pub(super) fn join(
        known: &mut Option<Self>,
        address: &PostgresAddress,
        host: &str,
        digest: &str,
    ) -> Result<(), Error> {
        if let Some(member) = known {
            let mut what = member.said.what.lock().unwrap_or_else(PoisonError::into_inner);
            if what.1 == digest {
                return Ok(());
            }
            // The database hears of it below; until then nothing is intended with it.
            digest.clone_into(&mut what.1);
        }
        let id = known
            .as_ref()
            .map_or_else(|| uuid::Uuid::now_v7().to_string(), |member| member.id.clone());
        let session = blocking(|| {
            let session = Session::connect(address)?;
            beat(&session, &id, host, digest)?;
            Tx::Shared(&session).execute(
                "DELETE FROM member WHERE seen < clock_timestamp() - interval '1 day'",
                (),
            )?;
            Ok::<_, Error>(session)
        })?;
        if known.is_none() {
            let said = Arc::new(Heartbeat {
                what: Mutex::new((host.to_owned(), digest.to_owned(), false)),
                reached: Mutex::new(Instant::now()),
                changes: Condvar::new(),
            });
            let heart = Heart {
                id: id.clone(),
                address: address.clone(),
                said: Arc::clone(&said),
            };
            let heart = std::thread::Builder::new()
                .name("member".to_owned())
                .spawn(move || heart.beat_until_dropped(Some(session)))?;
            *known = Some(Self {
                id,
                said,
                heart: Some(heart),
            });
        }
        Ok(())
    }

    /// Fails unless every live member has the configuration that this one has, this one's own row included.
    pub(super) fn check_agreement(&self, tx: &Tx<'_>) -> Result<(), Error> {
        check_agreement(tx, &self.digest())
    }

    /// What its configuration is.
    pub(super) fn digest(&self) -> String {
        self.said.what.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// Whether the database was reached of late.
    pub(super) fn is_in_touch(&self) -> bool {
        self.said
            .reached
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed()
            < protocol_time(IN_TOUCH_FOR)
    }
}

/// Fails unless every live member has this configuration.
pub(super) fn check_agreement(tx: &Tx<'_>, digest: &str) -> Result<(), Error> {
    let others = tx.all(
        &format!(
            "SELECT host, digest FROM member WHERE {} AND digest <> ?1 ORDER BY host",
            lives(LIVES_FOR)
        ),
        [digest],
        |row| {
            Ok(format!(
                "{} ({})",
                row.get::<String>(0)?,
                difference(digest, &row.get::<String>(1)?)
            ))
        },
    )?;
    if others.is_empty() {
        return Ok(());
    }
    Err(Error::of_file(Fault::MembersDiffer(others.join(", "))))
}

/// What the names of all holders of this process begin with.
pub(super) fn process_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| uuid::Uuid::now_v7().to_string())
}

/// Which parts of two configurations differ. Each part is written as `name:digest`.
pub(super) fn difference(own: &str, other: &str) -> String {
    let (own, other): (BTreeSet<&str>, BTreeSet<&str>) = (own.split(' ').collect(), other.split(' ').collect());
    let parts: BTreeSet<&str> = own
        .symmetric_difference(&other)
        .filter_map(|part| Some(part.split_once(':')?.0))
        .collect();
    if parts.is_empty() {
        return "an unknown configuration".to_owned();
    }
    parts.into_iter().collect::<Vec<_>>().join(", ")
}

/// This host's name, from a file that a hardened unit can read, too (it hides `/proc/sys`).
pub fn host_name() -> String {
    ["/etc/hostname", "/proc/sys/kernel/hostname"]
        .into_iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .map(|name| name.trim().to_owned())
        .find(|name| !name.is_empty())
        .unwrap_or_default()
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.said.what.lock().unwrap_or_else(PoisonError::into_inner).2 = true;
        self.said.changes.notify_all();
        if let Some(heart) = self.heart.take() {
            let _ = blocking(|| heart.join());
        }
    }
}

fn beat(session: &Session, id: &str, host: &str, digest: &str) -> Result<(), Error> {
    let tx = Tx::Shared(session);
    tx.execute(
        "INSERT INTO member (id, host, digest, seen, version) VALUES (?1, ?2, ?3, clock_timestamp(), ?4) \
         ON CONFLICT (id) DO UPDATE SET host = excluded.host, digest = excluded.digest, seen = excluded.seen",
        (id, host, digest, env!("CARGO_PKG_VERSION")),
    )?;
    Ok(())
}

struct Heart {
    id: String,
    address: PostgresAddress,
    said: Arc<Heartbeat>,
}

impl Heart {
    fn beat_until_dropped(self, mut session: Option<Session>) {
        loop {
            let what = self.said.what.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = self
                .said
                .changes
                .wait_timeout_while(what, protocol_time(BEAT), |(.., ends)| !*ends);
            let (host, digest, ends) = waited.unwrap_or_else(PoisonError::into_inner).0.clone();
            let asked = Instant::now();
            let done = self.say(&mut session, &host, &digest, ends);
            if ends {
                return;
            }
            match done {
                Ok(()) => *self.said.reached.lock().unwrap_or_else(PoisonError::into_inner) = asked,
                Err(error) => {
                    tracing::debug!(error = %error, "no heartbeat reached the database");
                    session = None;
                }
            }
        }
    }

    fn say(&self, session: &mut Option<Session>, host: &str, digest: &str, ends: bool) -> Result<(), Error> {
        let session = match session {
            Some(session) => session,
            none => none.insert(Session::connect(&self.address)?),
        };
        if ends {
            Tx::Shared(session).execute("DELETE FROM member WHERE id = ?1", [&self.id])?;
            return Ok(());
        }
        beat(session, &self.id, host, digest)
    }
}

/// Whether a run's process lives still, for all that the database knows.
pub(super) fn is_run_alive(tx: &Tx<'_>, run: &str) -> Result<bool, Error> {
    let lives = lives(RUN_LIVES_FOR);
    let sql =
        format!("SELECT COUNT(*) FROM run_member r JOIN member m ON m.id = r.member WHERE r.run = ?1 AND m.{lives}");
    Ok(tx.number(&sql, [run])? > 0)
}
