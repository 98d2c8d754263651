//! What faults do to an answer that the service has made.

use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use super::faults::{BodyKind, DateFault, Fault, FaultKind};
use super::wire;
use crate::http::Body;

/// All faults of one request, in the order of their rules.
#[derive(Debug)]
pub(super) struct ActiveFaults(pub(super) Vec<Fault>);

/// A status that replaces the answer.
#[derive(Debug)]
pub(super) struct StatusFault<'a> {
    pub(super) status: u16,
    pub(super) retry_after: Option<&'a str>,
    pub(super) code: Option<&'a str>,
    pub(super) body: BodyKind,
}

impl ActiveFaults {
    fn kinds(&self) -> impl Iterator<Item = &FaultKind> {
        self.0.iter().map(|fault| &fault.kind)
    }

    /// How long to wait before (`done` false) or after the work.
    pub(super) fn delay(&self, when: bool) -> Duration {
        let delays = self.kinds().filter_map(|kind| match kind {
            FaultKind::Delay { by, done } if *done == when => Some(*by),
            _ => None,
        });
        delays.sum()
    }

    pub(super) fn resets(&self, when: bool) -> bool {
        self.kinds()
            .any(|kind| matches!(kind, FaultKind::Reset { done } if *done == when))
    }

    pub(super) fn status(&self, when: bool) -> Option<StatusFault<'_>> {
        self.kinds().find_map(|kind| match kind {
            FaultKind::Status {
                status,
                retry_after,
                code,
                body,
                done,
            } if *done == when => Some(StatusFault {
                status: *status,
                retry_after: retry_after.as_deref(),
                code: code.as_deref(),
                body: *body,
            }),
            _ => None,
        })
    }

    pub(super) fn body(&self) -> Option<BodyKind> {
        self.kinds().find_map(|kind| {
            if let FaultKind::Body(body) = kind {
                Some(*body)
            } else {
                None
            }
        })
    }

    pub(super) fn date(&self) -> Option<DateFault> {
        self.kinds().find_map(|kind| {
            if let FaultKind::Date(date) = kind {
                Some(*date)
            } else {
                None
            }
        })
    }

    pub(super) fn shift(&self) -> i64 {
        self.kinds()
            .map(|kind| if let FaultKind::Shift(by) = kind { *by } else { 0 })
            .sum()
    }

    pub(super) fn ignores(&self) -> bool {
        self.kinds().any(|kind| matches!(kind, FaultKind::Ignore))
    }

    /// The code and message a batch answers for this backup.
    pub(super) fn result(&self, backup: &str) -> Option<(&str, &str)> {
        self.0.iter().find_map(|fault| match &fault.kind {
            FaultKind::Result { code, message } if fault.backup.as_deref().is_none_or(|wanted| wanted == backup) => {
                Some((code.as_str(), message.as_str()))
            }
            _ => None,
        })
    }

    /// Whether an answer has to be taken apart.
    pub(super) fn touches_lists(&self) -> bool {
        self.kinds().any(|kind| {
            matches!(
                kind,
                FaultKind::Shuffle
                    | FaultKind::Missing(_)
                    | FaultKind::Extra
                    | FaultKind::Duplicate
                    | FaultKind::ForeignInstance
                    | FaultKind::ForeignType
                    | FaultKind::Count(_)
                    | FaultKind::NoCount
            )
        })
    }

    /// Changes the list in an answer, whatever it is a list of.
    pub(super) fn fault_effects(&self, answer: &mut Value, rng: &mut Rng) {
        let Some(object) = answer.as_object_mut() else { return };
        for kind in self.kinds() {
            let list = object.values_mut().find_map(Value::as_array_mut);
            match (kind, list) {
                (FaultKind::Shuffle, Some(list)) => shuffle(list, rng),
                (FaultKind::Missing(number), Some(list)) => drop(list.drain(..(*number).min(list.len()))),
                (FaultKind::Extra, Some(list)) => {
                    let strange = format!("{:032x}br04", rng.u128(..));
                    let mut entry = list.first().cloned().unwrap_or_else(|| json!({}));
                    let key = if entry.get("backup_id").is_some() {
                        "backup_id"
                    } else {
                        "id"
                    };
                    entry[key] = strange.into();
                    list.push(entry);
                }
                (FaultKind::Duplicate, Some(list)) => list.extend(list.first().cloned()),
                (FaultKind::ForeignInstance, Some(list)) => {
                    replace(list, "instance_id", &format!("{:032x}in04", rng.u128(..)));
                }
                (FaultKind::ForeignType, Some(list)) => {
                    let retained = list.first().is_some_and(|entry| entry["type"] == "Snapshot");
                    replace(list, "type", if retained { "Db" } else { "auto" });
                }
                (FaultKind::Count(by), _) => {
                    for key in ["total_count", "total"] {
                        if let Some(count) = object.get(key).and_then(Value::as_i64) {
                            object.insert(key.to_owned(), (count + by).into());
                        }
                    }
                }
                (FaultKind::NoCount, _) => {
                    object.remove("total_count");
                    object.remove("total");
                }
                _ => {}
            }
        }
    }

    /// The bytes and manner in which the body goes out.
    pub(super) fn send(&self, mut bytes: Vec<u8>) -> Body {
        for kind in self.kinds() {
            match kind {
                FaultKind::Huge(blanks) => bytes.splice(..0, std::iter::repeat_n(b' ', *blanks)).for_each(drop),
                FaultKind::Truncate(sent) => return Body::truncated(bytes, *sent),
                FaultKind::Drip(every) => return Body::dripping(bytes, 16, *every),
                _ => {}
            }
        }
        Body::full(bytes)
    }
}

/// Another order, whenever there is another one.
fn shuffle(list: &mut [Value], rng: &mut Rng) {
    let before = list.to_vec();
    rng.shuffle(list);
    if list == before.as_slice() && list.len() > 1 {
        list.rotate_left(1);
    }
}

fn replace(list: &mut [Value], key: &str, value: &str) {
    if let Some(entry) = list.first_mut().and_then(Value::as_object_mut) {
        entry.insert(key.to_owned(), value.into());
    }
}

/// A body of this kind in place of the documented one.
pub(super) fn disguise(kind: BodyKind, documented: Vec<u8>) -> (Vec<u8>, &'static str) {
    match kind {
        BodyKind::Documented => (documented, "application/json"),
        BodyKind::Html => (
            b"<html><body><h1>The request was blocked</h1></body></html>".to_vec(),
            "text/html",
        ),
        BodyKind::Empty => (Vec::new(), "application/json"),
        BodyKind::Text => (b"upstream connect error".to_vec(), "application/json"),
        BodyKind::HalfJson => {
            let half = documented.len() / 2;
            (documented.into_iter().take(half).collect(), "application/json")
        }
    }
}

/// The documented body of an error status.
pub(super) fn error_body(status: u16, code: Option<&str>, iam: bool, request: &str) -> Value {
    let (usual, message) = match status {
        400 => ("DBS.200001", "Invalid parameter."),
        401 => (
            "APIGW.0301",
            "Incorrect IAM authentication information: verify aksk signature fail",
        ),
        403 => ("DBS.200010", "Unauthorized operation."),
        404 => ("DBS.200002", "The DB instance does not exist."),
        409 => ("DBS.200011", "Another operation is being performed."),
        413 => ("APIGW.0201", "Request entity too large"),
        429 => (
            "APIGW.0308",
            "The throttling threshold has been reached: policy user over ratelimit,limit:5,time:1 second",
        ),
        502 => ("APIGW.0202", "Backend unavailable"),
        503 => ("APIGW.0613", "Service unavailable"),
        504 => ("APIGW.0203", "Backend timeout"),
        _ => ("DBS.108000", "Server error."),
    };
    let code = code.unwrap_or(usual);
    if code.starts_with("APIG") {
        wire::gateway_error(code, message, request)
    } else if iam {
        wire::iam_error(status, "Error", message)
    } else {
        wire::rds_error(code, message)
    }
}
