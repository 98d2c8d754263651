//! What stands in a column and in a parameter, the same for both databases.

use std::borrow::Cow;

use chrono::{DateTime, Utc};

/// What a column or a parameter holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SqlValue<'v> {
    Null,
    Number(i64),
    Text(Cow<'v, str>),
    Bytes(Cow<'v, [u8]>),
}

impl SqlValue<'_> {
    fn borrowed(&self) -> SqlValue<'_> {
        match self {
            Self::Null => SqlValue::Null,
            Self::Number(number) => SqlValue::Number(*number),
            Self::Text(text) => SqlValue::Text(Cow::Borrowed(text)),
            Self::Bytes(bytes) => SqlValue::Bytes(Cow::Borrowed(bytes)),
        }
    }

    pub(super) fn into_owned(self) -> SqlValue<'static> {
        match self {
            Self::Null => SqlValue::Null,
            Self::Number(number) => SqlValue::Number(number),
            Self::Text(text) => SqlValue::Text(Cow::Owned(text.into_owned())),
            Self::Bytes(bytes) => SqlValue::Bytes(Cow::Owned(bytes.into_owned())),
        }
    }
}

/// What can be a parameter.
pub(super) trait ToColumn {
    fn to_column(&self) -> SqlValue<'_>;
}

/// What can be read from a column.
pub(super) trait FromColumn: Sized {
    /// `None` where the column holds something else.
    fn from_column(value: SqlValue<'_>) -> Option<Self>;
}

/// An instant as the tables keep it: microseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(pub(super) DateTime<Utc>);

impl ToColumn for Stamp {
    fn to_column(&self) -> SqlValue<'_> {
        SqlValue::Number(self.0.timestamp_micros())
    }
}

impl FromColumn for Stamp {
    fn from_column(value: SqlValue<'_>) -> Option<Self> {
        i64::from_column(value)
            .and_then(DateTime::from_timestamp_micros)
            .map(Self)
    }
}

impl ToColumn for i64 {
    fn to_column(&self) -> SqlValue<'_> {
        SqlValue::Number(*self)
    }
}

impl FromColumn for i64 {
    fn from_column(value: SqlValue<'_>) -> Option<Self> {
        match value {
            SqlValue::Number(number) => Some(number),
            _ => None,
        }
    }
}

impl ToColumn for u32 {
    fn to_column(&self) -> SqlValue<'_> {
        SqlValue::Number(i64::from(*self))
    }
}

impl FromColumn for u32 {
    fn from_column(value: SqlValue<'_>) -> Option<Self> {
        i64::from_column(value)?.try_into().ok()
    }
}

impl ToColumn for bool {
    fn to_column(&self) -> SqlValue<'_> {
        SqlValue::Number(i64::from(*self))
    }
}

impl FromColumn for bool {
    fn from_column(value: SqlValue<'_>) -> Option<Self> {
        match i64::from_column(value)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl ToColumn for str {
    fn to_column(&self) -> SqlValue<'_> {
        SqlValue::Text(self.into())
    }
}

impl ToColumn for String {
    fn to_column(&self) -> SqlValue<'_> {
        SqlValue::Text(self.as_str().into())
    }
}

impl FromColumn for String {
    fn from_column(value: SqlValue<'_>) -> Option<Self> {
        match value {
            SqlValue::Text(text) => Some(text.into_owned()),
            _ => None,
        }
    }
}

impl ToColumn for Vec<u8> {
    fn to_column(&self) -> SqlValue<'_> {
        SqlValue::Bytes(self.as_slice().into())
    }
}

impl FromColumn for Vec<u8> {
    fn from_column(value: SqlValue<'_>) -> Option<Self> {
        match value {
            SqlValue::Bytes(bytes) => Some(bytes.into_owned()),
            _ => None,
        }
    }
}

impl<T: ToColumn> ToColumn for Option<T> {
    fn to_column(&self) -> SqlValue<'_> {
        self.as_ref().map_or(SqlValue::Null, T::to_column)
    }
}

impl<T: FromColumn> FromColumn for Option<T> {
    fn from_column(value: SqlValue<'_>) -> Option<Self> {
        match value {
            SqlValue::Null => Some(None),
            value => T::from_column(value).map(Some),
        }
    }
}

impl<T: ToColumn + ?Sized> ToColumn for &T {
    fn to_column(&self) -> SqlValue<'_> {
        (**self).to_column()
    }
}

/// The parameters of a statement, in order.
pub(super) trait Parameters {
    fn values(&self) -> Vec<SqlValue<'_>>;
}

impl<T: ToColumn, const N: usize> Parameters for [T; N] {
    fn values(&self) -> Vec<SqlValue<'_>> {
        self.iter().map(T::to_column).collect()
    }
}

impl Parameters for Vec<SqlValue<'_>> {
    fn values(&self) -> Vec<SqlValue<'_>> {
        self.iter().map(SqlValue::borrowed).collect()
    }
}

macro_rules! tuples {
    ($(($($of:ident $at:tt),*))*) => {$(
        impl<$($of: ToColumn),*> Parameters for ($($of,)*) {
            fn values(&self) -> Vec<SqlValue<'_>> {
                vec![$(self.$at.to_column()),*]
            }
        }
    )*};
}
tuples! {
    ()
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9)
}

/// A number for an INTEGER column; what does not fit (no size or count does not) is the largest.
pub(super) fn to_column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number from an INTEGER column; negative ones are never written.
pub(super) fn from_column(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
