//! What a simulated service works with, and what it answers.

use chrono::{DateTime, Utc};
use fastrand::Rng;
use serde::Serialize;
use serde_json::Value;

use super::fault_effects::ActiveFaults;
use super::request::IncomingRequest;
use super::state::{Shared, State};
use super::wire;

/// An answer before faults have had their way with it.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    pub(super) content_type: &'static str,
    /// Whether the service did what was asked.
    pub(super) done: bool,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        let body = body.to_string().into_bytes();
        Self {
            status,
            headers: Vec::new(),
            body,
            content_type: "application/json",
            done: false,
        }
    }

    /// Status 200 and something that is not a list.
    pub(super) fn value(body: &Value) -> Self {
        Self {
            done: true,
            ..Self::json(200, body)
        }
    }

    pub(super) fn text(text: String) -> Self {
        let body = text.into_bytes();
        Self {
            status: 200,
            headers: Vec::new(),
            body,
            content_type: "text/plain",
            done: true,
        }
    }

    pub(super) fn undone(self) -> Self {
        Self { done: false, ..self }
    }

    /// An error of the service itself.
    pub(super) fn refused(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &wire::rds_error(code, message))
    }
}

/// What a service needs to do its work.
pub(super) struct Work<'a> {
    pub(super) shared: &'a Shared,
    pub(super) state: &'a mut State,
    pub(super) asked: &'a IncomingRequest,
    pub(super) trouble: &'a ActiveFaults,
    pub(super) now: DateTime<Utc>,
    /// The request's number.
    pub(super) number: usize,
}

impl Work<'_> {
    /// Status 200 and a list, with patches laid over its entries and faults applied.
    pub(super) fn list<T: Serialize>(&self, page: &T) -> Reply {
        let (patches, trouble) = (&self.state.world.patches, self.trouble);
        if patches.is_empty() && !trouble.touches_lists() {
            let body = serde_json::to_vec(page).unwrap_or_default();
            return Reply {
                status: 200,
                headers: Vec::new(),
                body,
                content_type: "application/json",
                done: true,
            };
        }
        let mut answer = serde_json::to_value(page).unwrap_or_default();
        let lists = answer
            .as_object_mut()
            .into_iter()
            .flat_map(|object| object.values_mut());
        for entry in lists.filter_map(Value::as_array_mut).flatten() {
            let patch = entry.get("id").and_then(Value::as_str).and_then(|id| patches.get(id));
            if let Some(patch) = patch.cloned() {
                merge(entry, patch);
            }
        }
        trouble.fault_effects(&mut answer, &mut self.shared.rng(self.number));
        Reply::value(&answer)
    }

    /// `offset` (with a shifting fault's opinion) and `limit`.
    pub(super) fn window(&self, limit_default: usize) -> Result<(usize, usize), Reply> {
        let wrong = |name| Reply::refused(400, "DBS.200001", &format!("Invalid parameter {name}."));
        let number = |name, default: usize| match self.asked.parameter(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| wrong(name)),
        };
        let (offset, limit) = (number("offset", 0)?, number("limit", limit_default)?);
        if !(1..=100).contains(&limit) {
            return Err(wrong("limit"));
        }
        let shift = if offset > 0 { self.trouble.shift() } else { 0 };
        let shift = isize::try_from(shift).unwrap_or_default();
        Ok((offset.saturating_add_signed(shift), limit))
    }

    /// The count that goes with a page: a shifted page comes with a shifted count.
    pub(super) fn count(&self, found: usize) -> usize {
        let later = self.asked.parameter("offset").is_some_and(|offset| offset != "0");
        let shift = if later {
            isize::try_from(self.trouble.shift()).unwrap_or_default()
        } else {
            0
        };
        found.saturating_add_signed(-shift)
    }
}

/// A JSON merge patch: objects member by member, `null` removes, anything else replaces. Unlike RFC 7386 a `null` deep
/// in a value stays, and `{"$null": true}` sets one.
fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(&key);
                } else if value.get("$null").is_some() {
                    target.insert(key, Value::Null);
                } else {
                    merge(target.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (target, patch) => *target = patch,
    }
}

impl Shared {
    /// The randomness of one request.
    pub(super) fn rng(&self, number: usize) -> Rng {
        Rng::with_seed(self.seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}
