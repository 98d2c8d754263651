//! A sum over the rows of a table, which no order changes.

use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::Error;
use super::sql::{FoundRow, Tx};
use super::sql_value::SqlValue;

/// The hashes of rows, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TableSum(u128);

impl TableSum {
    pub(super) fn add(&mut self, row: &[&dyn Field]) {
        self.0 = self.0.wrapping_add(mark(row));
    }

    pub(super) fn take_away(&mut self, row: &[&dyn Field]) {
        self.0 = self.0.wrapping_sub(mark(row));
    }

    pub(super) fn add_found(&mut self, row: &FoundRow<'_>) -> Result<(), Error> {
        *self = self.plus(Self::of_found(row)?);
        Ok(())
    }

    /// Of one row that a query found.
    pub(super) fn of_found(row: &FoundRow<'_>) -> Result<Self, Error> {
        let mut digest = Sha256::new();
        for column in 0..row.width() {
            row.value(column)?.take_into(&mut digest);
        }
        Ok(Self(number(digest)))
    }

    /// Of one row.
    pub(super) fn of_row(values: &[SqlValue<'_>]) -> Self {
        let mut digest = Sha256::new();
        for value in values {
            value.take_into(&mut digest);
        }
        Self(number(digest))
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0))
    }

    /// Of all rows that a query gives.
    pub(super) fn of(tx: &Tx<'_>, query: &str) -> Result<Self, Error> {
        let mut sum = Self::default();
        tx.each(query, (), |row| {
            sum.add_found(row)?;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(sum)
    }
}

impl fmt::Display for TableSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for TableSum {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let number = u128::from_str_radix(text, 16);
        number.map(Self).map_err(|_| Error::corrupt("a sum cannot be read"))
    }
}

/// Where a table is not what the chain says.
pub(super) fn changed_by_others(what: &str) -> Error {
    Error::corrupt(format!(
        "{what} is not what the chain says: something other than this program changed it, so that a backup would go early; put a backup of \
         the state back"
    ))
}

impl Serialize for TableSum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TableSum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A column's value, as bytes that no other type of value has.
pub(super) trait Field {
    fn take_into(&self, digest: &mut Sha256);
}

impl Field for &str {
    fn take_into(&self, digest: &mut Sha256) {
        digest.update(b"t");
        digest.update((self.len() as u64).to_be_bytes());
        digest.update(self.as_bytes());
    }
}

impl Field for i64 {
    fn take_into(&self, digest: &mut Sha256) {
        digest.update(b"i");
        digest.update(self.to_be_bytes());
    }
}

impl Field for SqlValue<'_> {
    fn take_into(&self, digest: &mut Sha256) {
        match self {
            Self::Number(number) => number.take_into(digest),
            Self::Text(text) => (&**text).take_into(digest),
            Self::Null => digest.update(b"n"),
            Self::Bytes(bytes) => {
                digest.update(b"b");
                digest.update((bytes.len() as u64).to_be_bytes());
                digest.update(bytes);
            }
        }
    }
}

/// A number that stands for a row.
fn mark(row: &[&dyn Field]) -> u128 {
    let mut digest = Sha256::new();
    for field in row {
        field.take_into(&mut digest);
    }
    number(digest)
}

fn number(digest: Sha256) -> u128 {
    let digest = digest.finalize();
    digest
        .iter()
        .take(16)
        .fold(0, |number, byte| (number << 8) | u128::from(*byte))
}
