//! A sum over the rows of a table, which no order changes.

use std::ops::ControlFlow;

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
        let values = (0..row.width()).map(|column| row.value(column));
        let values: Vec<SqlValue<'_>> = values.collect::<Result<_, _>>()?;
        let fields: Vec<&dyn Field> = values.iter().map(|value| value as &dyn Field).collect();
        self.add(&fields);
        Ok(())
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

impl Serialize for TableSum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{:032x}", self.0))
    }
}

impl<'de> Deserialize<'de> for TableSum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16)
            .map(Self)
            .map_err(serde::de::Error::custom)
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
    let digest = digest.finalize();
    digest
        .iter()
        .take(16)
        .fold(0, |number, byte| (number << 8) | u128::from(*byte))
}
