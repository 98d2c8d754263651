//! Lenient JSON: values of any type, and objects whose fields may be missing, null, misspelt with a blank, or of the wrong type.
//!
//! A field that cannot be read is [`Scalar::Invalid`], never an error: one bad field must not make a page unreadable. Not for
//! what fields mean: that is `wire`.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// No text of the API comes near so many bytes; a longer one is not kept.
pub(super) const LONGEST_TEXT: usize = 4096;

/// A value that should be text or a number.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Scalar<'a> {
    /// Missing or null.
    #[default]
    Absent,
    /// A string.
    Text(Cow<'a, str>),
    /// A whole number.
    Whole(u64),
    /// A negative or broken number.
    Number(f64),
    /// Anything else, or two values that differ.
    Invalid,
}

impl Scalar<'_> {
    /// The text, if it is text.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is what text may be: there or not, but nothing else.
    pub(super) fn is_text_or_absent(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Absent)
    }

    /// The text without blanks around it, if there is any.
    pub(super) fn word(&self) -> Option<&str> {
        self.text().map(str::trim).filter(|text| !text.is_empty())
    }

    /// Whether it is missing, null or nothing but blanks.
    pub(super) fn is_blank(&self) -> bool {
        match self {
            Self::Absent => true,
            Self::Text(text) => text.trim().is_empty(),
            _ => false,
        }
    }

    /// Whether it is text with a blank, a control character or a sign around or in it, as no id has: what it names, or what is
    /// written into a hold for it, may be something else.
    pub(super) fn is_odd_id(&self) -> bool {
        let is_odd = |letter: char| !letter.is_ascii_alphanumeric() && !matches!(letter, '-' | '_' | '.');
        self.text().is_some_and(|text| text.contains(is_odd))
    }

    /// The number, also when it is written as text; `None` for what is negative or no number. A fraction is cut off.
    pub(super) fn number(&self) -> Option<u64> {
        let float = match self {
            Self::Whole(number) => return Some(*number),
            Self::Number(number) => *number,
            Self::Text(text) => match text.trim().parse::<u64>() {
                Ok(number) => return Some(number),
                Err(_) => text.trim().parse::<f64>().ok()?,
            },
            Self::Absent | Self::Invalid => return None,
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the cast saturates, as wanted"
        )]
        (float >= 0.0 && float.is_finite()).then_some(float as u64)
    }

    /// The whole number, also when it is written as text; nothing is rounded.
    pub(super) fn whole(&self) -> Option<u64> {
        match self {
            Self::Whole(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }
}

/// Joins the values of a key that occurs twice.
pub(super) trait Merge {
    /// Takes in another value; two that differ become unknown.
    fn merge(&mut self, other: Self);
}

impl Merge for Scalar<'_> {
    fn merge(&mut self, other: Self) {
        if *self == Self::Absent {
            *self = other;
        } else if other != Self::Absent && *self != other {
            *self = Self::Invalid;
        }
    }
}

/// The visitor methods that all lenient types answer alike. `$other` makes the value of a wrong type.
macro_rules! visit_as {
    ($other:expr => $($method:ident: $type:ty),+) => {
        $(fn $method<E: serde::de::Error>(self, _: $type) -> Result<Self::Value, E> {
            Ok($other)
        })+
    };
}
pub(super) use visit_as;

/// `null` in all its forms.
macro_rules! visit_null {
    ($null:expr) => {
        fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
            Ok($null)
        }
        fn visit_none<E: serde::de::Error>(self) -> Result<Self::Value, E> {
            Ok($null)
        }
        fn visit_some<D: serde::Deserializer<'de>>(self, inner: D) -> Result<Self::Value, D::Error> {
            inner.deserialize_any(self)
        }
    };
}
pub(super) use visit_null;

pub(super) fn drain_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

pub(super) fn drain_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Scalar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Scalar<'de>, E> {
                Ok(if text.len() > LONGEST_TEXT {
                    Scalar::Invalid
                } else {
                    Scalar::Text(Cow::Borrowed(text))
                })
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Scalar<'de>, E> {
                Ok(if text.len() > LONGEST_TEXT {
                    Scalar::Invalid
                } else {
                    Scalar::Text(Cow::Owned(text.to_owned()))
                })
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Whole(number))
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Number(number))
            }
            visit_as!(Scalar::Invalid => visit_bool: bool, visit_i64: i64);
            visit_null!(Scalar::Absent);
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Scalar<'de>, A::Error> {
                drain_seq(seq).map(|()| Scalar::Invalid)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Scalar<'de>, A::Error> {
                drain_map(map).map(|()| Scalar::Invalid)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// An object with lenient fields: keys are compared without blanks around them, unknown ones are skipped, and a value
/// that is no object leaves all fields at their defaults and `is_object` false; `is_invalid` tells it from a missing or null one.
macro_rules! lenient_object {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty = $($key:literal)|+),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Default, PartialEq)]
        pub(super) struct $name<'a> {
            pub(super) is_object: bool,
            pub(super) is_invalid: bool,
            $(pub(super) $field: $type,)+
        }

        impl<'de: 'a, 'a> serde::Deserialize<'de> for $name<'a> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Any<'a>(std::marker::PhantomData<&'a ()>);
                impl<'de: 'a, 'a> serde::de::Visitor<'de> for Any<'a> {
                    type Value = $name<'a>;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }
                    $crate::rds::lenient_json::visit_as!($name { is_invalid: true, ..$name::default() } =>
                        visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
                    $crate::rds::lenient_json::visit_null!($name::default());
                    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, seq: A) -> Result<$name<'a>, A::Error> {
                        $crate::rds::lenient_json::drain_seq(seq).map(|()| $name { is_invalid: true, ..$name::default() })
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name<'a>, A::Error> {
                        let mut object = $name { is_object: true, ..$name::default() };
                        while let Some(key) = map.next_key::<$crate::rds::lenient_json::Scalar<'de>>()? {
                            match key.text().map(str::trim) {
                                $(Some($($key)|+) => {
                                    $crate::rds::lenient_json::Merge::merge(&mut object.$field, map.next_value::<$type>()?);
                                })+
                                _ => {
                                    map.next_value::<serde::de::IgnoredAny>()?;
                                }
                            }
                        }
                        Ok(object)
                    }
                }
                deserializer.deserialize_any(Any(std::marker::PhantomData))
            }
        }
    };
}
pub(super) use lenient_object;

/// An array of at most `MOST` elements, or with `LONE` one object in its place. One element more is an error that ends the reading there:
/// an answer of a few kilobytes may unpack into millions.
#[derive(Debug, Default, PartialEq)]
pub(super) enum Many<T, const MOST: usize, const LONE: bool = true> {
    /// Missing or null.
    #[default]
    Absent,
    /// The elements.
    Items(Vec<T>),
    /// Anything else, or two arrays.
    Invalid,
}

impl<T: PartialEq, const MOST: usize, const LONE: bool> Merge for Many<T, MOST, LONE> {
    fn merge(&mut self, other: Self) {
        if *self == Self::Absent {
            *self = other;
        } else if other != Self::Absent {
            *self = Self::Invalid;
        }
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize, const LONE: bool> Deserialize<'de> for Many<T, MOST, LONE> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any<T, const MOST: usize, const LONE: bool>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MOST: usize, const LONE: bool> Visitor<'de> for Any<T, MOST, LONE> {
            type Value = Many<T, MOST, LONE>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            visit_as!(Many::Invalid =>
                visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
            visit_null!(Many::Absent);
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Many<T, MOST, LONE>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    if items.len() == MOST {
                        return Err(A::Error::custom(format_args!("a list has more than {MOST} entries")));
                    }
                    items.push(item);
                }
                Ok(Many::Items(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Many<T, MOST, LONE>, A::Error> {
                if !LONE {
                    return drain_map(map).map(|()| Many::Invalid);
                }
                let one = T::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(Many::Items(vec![one]))
            }
        }
        deserializer.deserialize_any(Any::<T, MOST, LONE>(std::marker::PhantomData))
    }
}
