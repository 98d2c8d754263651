//! Who acts on the ledger, and why.

use super::Error;
use super::person::Person;
use super::sql::Tx;
use crate::retention::People;

/// Who acts, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actor<'a> {
    /// Their name, as [`Person::name`] has it.
    pub by: &'a str,
    /// What they said.
    pub reason: Option<&'a str>,
    /// What is known of them.
    pub person: Option<&'a Person>,
    /// How many people it takes to end what another person placed (`protect` of the configuration).
    pub protect: People,
}

impl<'a> From<&'a str> for Actor<'a> {
    fn from(by: &'a str) -> Self {
        Self {
            by,
            reason: None,
            person: None,
            protect: People::One,
        }
    }
}

impl Actor<'_> {
    /// What is known of the person, with the role of this session.
    pub(super) fn person(&self, tx: &Tx<'_>) -> Result<Option<Person>, Error> {
        self.person.map(|person| in_session(person, tx)).transpose()
    }
}

/// The person with the role of this session.
pub(super) fn in_session(person: &Person, tx: &Tx<'_>) -> Result<Person, Error> {
    Ok(Person {
        role: role(tx)?,
        ..person.clone()
    })
}

/// The role of this session; none in a file.
pub(super) fn role(tx: &Tx<'_>) -> Result<Option<String>, Error> {
    match tx {
        Tx::Lite(_) => Ok(None),
        Tx::Shared(_) => tx.value("SELECT CAST(session_user AS TEXT)", ()),
    }
}
