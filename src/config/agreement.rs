//! What the daemons on one state must agree on, in a form that stays the same from version to version.
//!
//! Each part is JSON in the configuration's own words: what is left out or has its default is not in it, so a key of a newer version is
//! there only where it is used. Not what is in force here alone: schedules, paths, `listen`, `notify`.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::Config;
use crate::retention::policy::{DeletedInstances, Limits, OverLimit, Selector};
use crate::retention::{Engine, Pattern, Policy, Span, Zone};

impl Config {
    /// What daemons on one state must agree on: a digest of each part, as `part:digest`.
    pub fn agreement(&self) -> String {
        let projects = self.projects.iter().map(|project| {
            object([
                ("name", json!(project.name)),
                ("region", json!(project.region)),
                ("project_id", json!(project.project_id)),
            ])
        });
        let policies = self.policies.iter().map(|entry| policy(&entry.policy));
        let policies = policies.chain(self.protecting.iter().map(|kept| {
            let mut kept = policy(kept);
            kept["protects"] = json!(true);
            kept
        }));
        let parts = [
            ("projects", sorted(projects)),
            ("policies", sorted(policies)),
            ("holds", sorted(self.holds.iter().map(|hold| json!(hold)))),
            ("freeze", json!(self.freeze)),
        ];
        let digest = |(part, value): (&str, Value)| {
            let digest = hex::encode(Sha256::digest(value.to_string()));
            format!("{part}:{}", &digest[..16])
        };
        parts.map(digest).join(" ")
    }
}

/// The values, in an order that does not depend on that of the files.
fn sorted(values: impl Iterator<Item = Value>) -> Value {
    let mut values: Vec<Value> = values.collect();
    values.sort_by_cached_key(Value::to_string);
    Value::Array(values)
}

/// What of it says something.
fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let says = |value: &Value| !matches!(value, Value::Null) && *value != json!([]) && *value != json!({});
    let members = members.into_iter().filter(|(_, value)| says(value));
    Value::Object(members.map(|(name, value)| (name.to_owned(), value)).collect())
}

/// `null` for the default.
fn unless<T: PartialEq>(value: T, default: &T, written: impl FnOnce(T) -> Value) -> Value {
    if value == *default { Value::Null } else { written(value) }
}

fn texts<T: ToString>(list: impl IntoIterator<Item = T>) -> Value {
    sorted(list.into_iter().map(|item| json!(item.to_string())))
}

// Taken apart whole, so that no key that comes later is left out.
fn policy(policy: &Policy) -> Value {
    let Policy {
        name,
        mode,
        zone,
        select: selector,
        keep,
        max_age,
        failed_after,
        min_backups,
        grace,
        require_backup_within,
        limits,
    } = policy;
    let span = |span: Span| json!(span.to_string());
    let rules: Map<String, Value> = keep
        .rules()
        .iter()
        .map(|rule| (rule.key().to_owned(), json!(rule.value())))
        .collect();
    let Limits {
        max_deletions,
        max_percent,
        over_limit,
        approvals,
    } = *limits;
    let usual = Limits::default();
    let limits = object([
        (
            "max_deletions",
            unless(max_deletions, &usual.max_deletions, |most| json!(most)),
        ),
        (
            "max_percent",
            unless(max_percent, &usual.max_percent, |most| json!(most)),
        ),
        (
            "over_limit",
            unless(over_limit, &OverLimit::Refuse, |_| json!("oldest-first")),
        ),
        ("approvals", unless(approvals, &usual.approvals, |people| json!(people))),
    ]);
    object([
        ("name", json!(name)),
        ("mode", json!(mode.as_str())),
        ("timezone", unless(*zone, &Zone::UTC, |zone| json!(zone.name()))),
        ("select", select(selector)),
        ("keep", Value::Object(rules)),
        ("keep_names", texts(keep.names().iter().map(Pattern::as_str))),
        ("max_age", json!(max_age.map(|span| span.to_string()))),
        ("failed_after", span(*failed_after)),
        ("min_backups", json!(min_backups)),
        ("grace", span(*grace)),
        (
            "require_backup_within",
            json!(require_backup_within.map(|span| span.to_string())),
        ),
        ("limits", limits),
    ])
}

fn select(select: &Selector) -> Value {
    let Selector {
        projects,
        engines,
        instance_names,
        instance_ids,
        tags,
        enterprise_projects,
        exclude_instance_names,
        exclude_instance_ids,
        backup_names,
        exclude_backup_names,
        deleted_instances,
    } = select;
    // An empty list is an error of the configuration, so it never means the same as none.
    let patterns = |list: &Option<Vec<Pattern>>| list.as_ref().map(|list| texts(list.iter().map(Pattern::as_str)));
    let tag = |tag: &crate::retention::policy::TagFilter| json!([tag.key, tag.value]);
    object([
        ("projects", json!(projects.as_ref().map(texts))),
        (
            "engines",
            unless(engines.clone(), &Selector::default().engines, |engines| {
                texts(engines.iter().map(Engine::as_str))
            }),
        ),
        ("names", json!(patterns(instance_names))),
        ("ids", json!(instance_ids.as_ref().map(texts))),
        ("tags", sorted(tags.iter().map(tag))),
        ("enterprise_projects", json!(enterprise_projects.as_ref().map(texts))),
        (
            "exclude_names",
            texts(exclude_instance_names.iter().map(Pattern::as_str)),
        ),
        ("exclude_ids", texts(exclude_instance_ids)),
        ("backup_names", json!(patterns(backup_names))),
        (
            "exclude_backup_names",
            texts(exclude_backup_names.iter().map(Pattern::as_str)),
        ),
        (
            "deleted_instances",
            match deleted_instances {
                DeletedInstances::Ignore => Value::Null,
                DeletedInstances::Include => json!("include"),
                DeletedInstances::ExpireAfter(span) => json!({"expire_after": span.to_string()}),
            },
        ),
    ])
}

#[cfg(test)]
mod tests {
    use crate::config::{Environment, load};

    fn agreement(select: &str, approvals: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.yaml");
        let text = format!(
            "version: 1\nprojects: [{{name: prod, region: ap-southeast-3}}]\npolicies: [{{name: p, mode: dry-run{select}{approvals}, keep: {{last: 3}}}}]\n"
        );
        std::fs::write(&file, text).unwrap();
        load(&file, &Environment::default()).unwrap().agreement()
    }

    #[test]
    fn what_is_left_out_is_its_default_and_what_decides_differs() {
        let usual = agreement("", "");
        assert_eq!(agreement(", select: {engines: [sqlserver]}", ", approvals: 1"), usual);
        let both = agreement(", select: {engines: [sqlserver, mysql]}", "");
        assert_ne!(both, usual);
        assert_eq!(agreement(", select: {engines: [mysql, sqlserver]}", ""), both);
        assert_ne!(agreement("", ", approvals: 2"), usual);
    }
}
