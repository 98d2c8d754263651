//! Whether the state contains the heads that earlier runs anchored outside of it; where it does not, it was set back.

use chrono::{DateTime, Utc};

use super::anchor_log::AnchoredHead;
use super::chain::{self, Kind};
use super::set_back::{self, AcceptRewindBody, missing};
use super::{Actor, Error, Fault, Ledger};

impl Ledger {
    /// The last row of the chain, to be anchored.
    pub fn head_to_anchor(&self) -> Result<AnchoredHead, Error> {
        let (row, head) = self.read(chain::tail)?;
        Ok(AnchoredHead {
            state: self.path().display().to_string(),
            row,
            head,
        })
    }

    /// The anchored heads that are not in the state.
    pub fn missing_heads(&self, heads: &[AnchoredHead]) -> Result<Vec<AnchoredHead>, Error> {
        self.read(|tx| missing(tx, heads))
    }

    /// Whether a daemon wrote down that the state was set back.
    pub fn has_noted_heads(&self) -> Result<bool, Error> {
        self.read(|tx| Ok(!set_back::noted(tx)?.is_empty()))
    }

    /// Fails where another daemon knows a head that is not in the state.
    pub fn must_contain_noted(&self) -> Result<(), Error> {
        self.read(set_back::check_noted)
    }

    /// Fails where one of these heads is not in the state: then it was set back, and nothing is deleted.
    pub fn must_contain(&self, heads: &[AnchoredHead], place: &str) -> Result<(), Error> {
        let missing = self.missing_heads(heads)?;
        let Some(last) = missing.last() else { return Ok(()) };
        let fault = Fault::SetBack {
            heads: missing.len(),
            row: last.row,
            place: place.to_owned(),
        };
        Err(Error::storage(self.path(), fault))
    }

    /// Goes on without these heads, and without those that daemons wrote down; how many of them were missing.
    pub fn accept_rewind<'a>(
        &self,
        heads: &[AnchoredHead],
        actor: impl Into<Actor<'a>>,
        now: DateTime<Utc>,
    ) -> Result<usize, Error> {
        let actor = actor.into();
        self.write(|tx| {
            let noted = set_back::noted(tx)?.into_iter().map(|(head, _)| head);
            let heads: Vec<_> = heads.iter().cloned().chain(noted).collect();
            let missing: Vec<_> = missing(tx, &heads)?
                .into_iter()
                .map(|head| (head.row, head.head))
                .collect();
            if missing.is_empty() {
                return Ok(0);
            }
            let body = AcceptRewindBody {
                missing,
                by: actor.by.to_owned(),
                reason: actor.reason.map(str::to_owned),
                person: actor.person(tx)?,
            };
            chain::append(tx, now, Kind::AcceptRewind, &body)?;
            Ok(body.missing.len())
        })
    }
}
