//! A word of the API's that is not known.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A word of the API's that this program does not know. One pointer wide: every backup has three of them, and hardly one
/// needs them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Word(Arc<Box<str>>);

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        Self(Arc::new(Box::from(text)))
    }
}
impl Deref for Word {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}
impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
