//! Deleted instances with what of their backups is retained (API reference, section 12), also those that no state ever saw.
//!
//! For people to look at: whatever is no answer counts as none. Not for what is retained: that is `listings`.

use std::sync::atomic::Ordering;

use super::client::Client;
use super::lenient_json::{Many, Scalar, lenient_object};
use super::operation::Operation;
use super::wire::LIMIT;
use crate::retention::{Engine, InstanceId};

/// No account has deleted more than 5,000 instances with backups.
const MOST_PAGES: usize = 50;

lenient_object! {
    /// What is retained of one instance.
    RetainPolicy { id: Scalar<'a> = "instance_id", name: Scalar<'a> = "name" | "instance_name", engine: Scalar<'a> = "engine_name", manual: Scalar<'a> = "manual" }
}
lenient_object! {
    /// A page; the SDK has one object where a list is expected.
    RetainPolicies { items: Many<RetainPolicy<'a>, LIMIT> = "backup_retain_policies" | "backup_retain_policy" }
}

/// A deleted instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedInstance {
    /// Its id.
    pub id: InstanceId,
    /// Its last name.
    pub name: String,
    /// Its engine.
    pub engine: Engine,
}

/// The instances of a page of which manual backups may be retained, and how many entries it has.
fn page(body: &[u8]) -> Option<(Vec<DeletedInstance>, usize)> {
    let page: RetainPolicies<'_> = serde_json::from_slice(body).ok()?;
    let Many::Items(items) = page.items else { return None };
    let entries = items.len();
    let deleted = |policy: RetainPolicy<'_>| {
        Some(DeletedInstance {
            id: policy
                .id
                .word()
                .filter(|_| !policy.id.is_odd_id() && policy.manual.word() != Some("NONE"))
                .map(InstanceId::from)?,
            name: policy.name.text().unwrap_or_default().to_owned(),
            engine: Engine::parse(policy.engine.word().unwrap_or_default()),
        })
    };
    Some((items.into_iter().filter_map(deleted).collect(), entries))
}

impl Client {
    /// The deleted instances of which backups may be retained, each once; none where the API refuses to say, which then is not asked
    /// again in this process. `Err` where the answer cannot be had or read: why.
    pub async fn deleted_instances(&self) -> Result<Vec<DeletedInstance>, String> {
        if self.is_naming_refused().load(Ordering::Relaxed) {
            return Ok(Vec::new());
        }
        let segments = ["backup-retain-policy"];
        let ask = self
            .ask(Operation::ListRetainPolicies, None, &segments, Vec::new())
            .await;
        let mut ask = ask.map_err(|error| error.to_string())?;
        let (mut all, mut received) = (Vec::new(), 0);
        for _ in 0..MOST_PAGES {
            let body = serde_json::json!({"instance_status": "deleted", "offset": received, "limit": LIMIT});
            ask.body = Some(body.to_string().into_bytes());
            let sent = self.exchange().send(&ask).await.map_err(|error| error.to_string())?;
            let reply = sent.map_err(|failure| format!("{}: {}", ask.place, failure.why))?;
            if matches!(reply.status, 400 | 403..=405 | 501) {
                self.is_naming_refused().store(true, Ordering::Relaxed);
                return Ok(Vec::new());
            }
            let read = (reply.status == 200).then(|| page(&reply.body)).flatten();
            let (mut found, entries) =
                read.ok_or_else(|| format!("{}: the answer cannot be read (HTTP {})", ask.place, reply.status))?;
            all.append(&mut found);
            received += entries;
            if entries < LIMIT {
                break;
            }
        }
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all.dedup_by(|a, b| a.id == b.id);
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retain_policies_are_read_as_a_list_or_as_one_object() {
        let one = r#"{"instance_id": "ain04", "name": "db", "engine_name": "SQLServer", "manual": "ALL"}"#;
        let wanted = DeletedInstance {
            id: InstanceId::from("ain04"),
            name: "db".to_owned(),
            engine: Engine::SqlServer,
        };
        for body in [
            format!(r#"{{"backup_retain_policies": [{one}], "total_count": 1}}"#),
            format!(r#"{{"backup_retain_policies": {one}}}"#),
        ] {
            assert_eq!(page(body.as_bytes()), Some((vec![wanted.clone()], 1)), "{body}");
        }
        let odd = br#"{"backup_retain_policies": [null, 7, {"name": "x"}, {"instance_id": "../x"}, {"instance_id": "bin04", "manual": "NONE"}]}"#;
        assert_eq!(page(odd), Some((Vec::new(), 5)));
        for no_answer in ["", "[]", "{}", r#"{"backup_retain_policies": 7}"#] {
            assert_eq!(page(no_answer.as_bytes()), None, "{no_answer}");
        }
    }
}
