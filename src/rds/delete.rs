//! The answer to a deletion: one outcome per id asked, whatever the API said.
//!
//! Neither order nor completeness of `delete_results` is documented (API reference, section 1), so results are matched by id, and doubt is
//! *unanswered*. Pure. Not for sending: that is `client`.

use std::collections::HashMap;

use super::answer::DeletionAnswer;
use super::error::{CallPlace, Error};
use super::lenient_json::{Many, Scalar};
use super::operation::Operation;
use super::refusal::refusal;
use super::response::{Response, tidy};
use super::wire::{DeleteResult, DeleteResults};
use crate::retention::{BackupId, Outcome};

/// "Resource missing or no permission" (API reference, section 7).
const MISSING_OR_NOT_ALLOWED: [&str; 3] = ["DBS.200044", "DBS.201003", "DBS.280015"];

/// What a reply other than 401 means for the batch.
pub(super) fn answer(place: &CallPlace, asked: &[BackupId], reply: &Response) -> Result<DeletionAnswer, Error> {
    // Of what went well the body is read once: a large run has a thousand of them.
    let read = match reply.status {
        200..=299 => match asked {
            [id] if place.operation == Operation::Delete => accepted(id, reply),
            _ => outcomes(asked, &reply.body),
        },
        _ => Err(String::new()),
    };
    let why = match read {
        Ok(outcomes) => {
            return Ok(DeletionAnswer::Results {
                outcomes,
                request_id: reply.request_id.clone().or_else(|| reply.said().request_id),
            });
        }
        Err(why) => why,
    };
    let said = reply.said();
    match reply.status {
        200..=299 => Ok(DeletionAnswer::Unanswered {
            why,
            request_id: said.request_id,
        }),
        429 => Ok(DeletionAnswer::Throttled {
            retry_after: reply.retry_after,
        }),
        // Of one backup alone this is about the backup, not about all that come after it.
        403 if place.operation == Operation::Delete && MISSING_OR_NOT_ALLOWED.contains(&said.code.as_str()) => {
            Ok(DeletionAnswer::RefusedWhole {
                status: 403,
                code: said.code,
                message: said.message,
                request_id: said.request_id,
            })
        }
        403 => Err(refusal(place, reply)),
        408 | 100..=199 | 300..=399 | 500.. => Ok(DeletionAnswer::Unanswered {
            why: format!("HTTP {} ({}: {})", reply.status, said.code, said.message),
            request_id: said.request_id,
        }),
        status => Ok(DeletionAnswer::RefusedWhole {
            status,
            code: said.code,
            message: said.message,
            request_id: said.request_id,
        }),
    }
}

/// What a success says of a single deletion: of its body nothing is documented, so it is empty or a JSON object without an error in it,
/// however that is spelt, or with a result for this id as a batch has one.
fn accepted(id: &BackupId, reply: &Response) -> Result<Vec<(BackupId, Outcome)>, String> {
    let body = &reply.body;
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(vec![(id.clone(), Outcome::Accepted)]);
    }
    let said: DeleteResult<'_> =
        serde_json::from_slice(body).map_err(|error| format!("the answer cannot be read: {error}"))?;
    if said.is_invalid {
        return Err("the answer is no JSON object".to_owned());
    }
    if let Ok(results) = outcomes(std::slice::from_ref(id), body) {
        return Ok(results);
    }
    let named = match outcome(&said.code, &said.message) {
        Outcome::Rejected { code, message } => Some((code, message)),
        // Not one of its own spelling.
        Outcome::Unanswered { .. } if matches!(said.code, Scalar::Absent) => reply.error_named(),
        other => return Ok(vec![(id.clone(), other)]),
    };
    let outcome = named.map_or(Outcome::Accepted, |(code, message)| {
        unanswered(&format!(
            "the answer is a success and names an error ({code}: {message})"
        ))
    });
    Ok(vec![(id.clone(), outcome)])
}

/// One outcome per id asked, in the order asked.
fn outcomes(asked: &[BackupId], body: &[u8]) -> Result<Vec<(BackupId, Outcome)>, String> {
    let answer: DeleteResults<'_> =
        serde_json::from_slice(body).map_err(|error| format!("the answer cannot be read: {error}"))?;
    let Many::Items(results) = answer.results else {
        return Err("the answer holds no delete_results".to_owned());
    };
    let mut found: HashMap<&str, Outcome> = HashMap::new();
    for result in &results {
        let Some(id) = result.id.word() else { continue };
        let outcome = outcome(&result.code, &result.message);
        found
            .entry(id)
            .and_modify(|before| {
                if !agree(before, &outcome) {
                    *before = unanswered("the answer names this id twice, with different results");
                }
            })
            .or_insert(outcome);
    }
    let silent = || unanswered("the answer does not mention this id");
    Ok(asked
        .iter()
        .map(|id| (id.clone(), found.get(id.as_str()).cloned().unwrap_or_else(silent)))
        .collect())
}

fn outcome(code: &Scalar<'_>, message: &Scalar<'_>) -> Outcome {
    let code = match code {
        Scalar::Text(text) => text.trim().to_owned(),
        Scalar::Whole(number) => number.to_string(),
        Scalar::Absent | Scalar::Number(_) | Scalar::Invalid => String::new(),
    };
    match code.as_str() {
        "" => unanswered("the answer gives no error_code for this id"),
        "0" => Outcome::Accepted,
        // Made fit for a log line it would be another code, `0` even.
        code if code.contains(char::is_control) => unanswered("the answer gives an unreadable error_code for this id"),
        _ => Outcome::Rejected {
            code: tidy(&code),
            message: tidy(message.text().unwrap_or_default()),
        },
    }
}

/// Two rejections with one code agree, however they are worded.
fn agree(one: &Outcome, other: &Outcome) -> bool {
    match (one, other) {
        (Outcome::Rejected { code: a, .. }, Outcome::Rejected { code: b, .. }) => a == b,
        _ => one == other,
    }
}

fn unanswered(why: &str) -> Outcome {
    Outcome::Unanswered { why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(asked: &[&str], body: &str) -> Vec<String> {
        let asked: Vec<BackupId> = asked.iter().map(|id| BackupId::from(*id)).collect();
        let outcomes = outcomes(&asked, body.as_bytes()).unwrap();
        assert!(
            outcomes.iter().map(|(id, _)| id).eq(&asked),
            "one per id, in the order asked"
        );
        let word = |outcome| match outcome {
            Outcome::Accepted => "accepted".to_owned(),
            Outcome::Rejected { code, message } => format!("{code} {message}"),
            Outcome::Unanswered { .. } => "unanswered".to_owned(),
        };
        outcomes.into_iter().map(|(_, outcome)| word(outcome)).collect()
    }

    #[test]
    fn every_id_asked_has_one_outcome_whatever_the_answer_holds() {
        let body = r#"{"delete_results": [
            {"backup_id": "c", "error_code": "DBS.200054", "error_msg": "the backup is in use"},
            {"backup_id": "nobody-asked", "error_code": "0"},
            {"backup_id": "a", "error_code": "0", "error_msg": "Success"},
            {"backup_id": "a", "error_code": 0},
            {"backup_id": "d", "error_code": "0"}, {"backup_id": "d", "error_code": "DBS.1"},
            {"backup_id": "e"}, {"backup_id": "f", "error_code": ["0"]},
            {"error_code": "0"}, null, "g",
            {"backup_id": "h", "error_code": "0\u007f"}, {"backup_id": "i", "error_code": "\u0007"}
        ]}"#;
        assert_eq!(
            short(&["a", "b", "c", "d", "e", "f", "g", "h", "i"], body),
            [
                "accepted",
                "unanswered",
                "DBS.200054 the backup is in use",
                "unanswered",
                "unanswered",
                "unanswered",
                "unanswered",
                "unanswered",
                "unanswered"
            ]
        );
    }

    /// What a single deletion's success came to, where the body is this.
    fn single(body: &str) -> String {
        let reply = Response {
            status: 200,
            body: body.as_bytes().to_vec(),
            request_id: None,
            retry_after: None,
        };
        match accepted(&BackupId::from("a"), &reply) {
            Ok(outcomes) => match &outcomes[..] {
                [(_, Outcome::Accepted)] => "accepted".to_owned(),
                [(_, Outcome::Rejected { code, .. })] => code.clone(),
                _ => "unanswered".to_owned(),
            },
            Err(_) => "unreadable".to_owned(),
        }
    }

    #[test]
    fn a_success_of_a_single_deletion_that_names_an_error_in_any_spelling_is_none() {
        for body in [
            "",
            " ",
            "{}",
            r#"{"error_code": "0"}"#,
            r#"{"error_code": 0}"#,
            r#"{"job_id": "j", "status": "x"}"#,
        ] {
            assert_eq!(single(body), "accepted", "{body}");
        }
        for body in [
            r#"{"error_code": "DBS.1"}"#,
            r#"{"errorCode": "DBS.1", "errorMsg": "m"}"#,
            r#"{"code": "DBS.1", "message": "m"}"#,
            r#"{"error": {"code": 403, "message": "m"}}"#,
            r#"{"error": {"error_code": "DBS.1"}}"#,
            r#"{"errCode": "RDS.3016", "externalMessage": "m"}"#,
            r#"{"error_code": null, "error_msg": "boom"}"#,
            r#"{"error_msg": "failed"}"#,
            r#"{"delete_results": [{"backup_id": "b", "error_code": "0"}]}"#,
            &format!("{{\"x\": \"{}\"}}", "y".repeat(100_000)),
        ] {
            assert_eq!(single(body), "unanswered", "{body}");
        }
        for body in ["text", "[]", "5"] {
            assert_eq!(single(body), "unreadable", "{body}");
        }
        let refused = r#"{"delete_results": [{"backup_id": "a", "error_code": "DBS.200054"}]}"#;
        assert_eq!(single(refused), "DBS.200054");
    }

    #[test]
    fn an_answer_without_results_is_no_answer() {
        for body in [
            "",
            "<html>",
            "[]",
            "{}",
            r#"{"delete_results": null}"#,
            r#"{"delete_results": "0"}"#,
        ] {
            assert!(outcomes(&[BackupId::from("a")], body.as_bytes()).is_err(), "{body}");
        }
        assert_eq!(short(&["a"], r#"{"delete_results": []}"#), ["unanswered"]);
    }
}
