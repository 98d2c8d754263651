//! Members: who lives on a shared ledger, and whether all of them have one configuration.
//!
//! A daemon, or an `apply` that enforces, is a member as long as its heartbeat is younger than 30 s. Members whose configurations differ delete
//! nothing until they agree; that is read again with each intent.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::postgres::Session;
use super::sql::Tx;
use super::{Error, Fault, PostgresAddress};
use crate::blocking::blocking;

/// How often a member says that it lives.
const BEAT: Duration = Duration::from_secs(10);
/// Whoever was not heard of for longer is no member.
const LIVES: &str = "seen > clock_timestamp() - interval '30 seconds'";

/// This process, as long as it is a member.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) id: String,
    said: Arc<Heartbeat>,
    heart: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Heartbeat {
    /// Who it is, and the digest of its configuration; and whether it ends.
    what: Mutex<(String, String, bool)>,
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
            digest.clone_into(&mut what.1);
        }
        let id = known
            .as_ref()
            .map_or_else(|| uuid::Uuid::now_v7().to_string(), |member| member.id.clone());
        let session = blocking(|| {
            let session = Session::connect(address)?;
            beat(&session, &id, host, digest)?;
            Ok::<_, Error>(session)
        })?;
        if known.is_none() {
            let said = Arc::new(Heartbeat {
                what: Mutex::new((host.to_owned(), digest.to_owned(), false)),
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

    /// Fails unless every live member has the configuration that this one has.
    pub(super) fn check_agreement(&self, tx: &Tx<'_>) -> Result<(), Error> {
        let digest = self.said.what.lock().unwrap_or_else(PoisonError::into_inner).1.clone();
        let others = tx.all(
            &format!("SELECT host FROM member WHERE {LIVES} AND digest <> ?1 ORDER BY host"),
            [&digest],
            |row| row.get::<String>(0),
        )?;
        if others.is_empty() {
            return Ok(());
        }
        Err(Error::of_file(Fault::MembersDiffer(others.join(", "))))
    }
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
        "INSERT INTO member (id, host, digest, seen) VALUES (?1, ?2, ?3, clock_timestamp()) \
         ON CONFLICT (id) DO UPDATE SET host = excluded.host, digest = excluded.digest, seen = excluded.seen",
        (id, host, digest),
    )?;
    tx.execute(
        "DELETE FROM member WHERE seen < clock_timestamp() - interval '1 day'",
        (),
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
            let waited = self.said.changes.wait_timeout_while(what, BEAT, |(.., ends)| !*ends);
            let (host, digest, ends) = waited.unwrap_or_else(PoisonError::into_inner).0.clone();
            let done = self.say(&mut session, &host, &digest, ends);
            if ends {
                return;
            }
            if let Err(error) = done {
                tracing::debug!(error = %error, "no heartbeat reached the database");
                session = None;
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
pub(super) const RUN_LIVES: &str = "SELECT 1::bigint FROM run_member r JOIN member m ON m.id = r.member WHERE r.run = ?1 AND m.seen > clock_timestamp() - interval '60 seconds'";
