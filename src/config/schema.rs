//! The JSON Schema of the configuration, from the tables of `raw`, for editors.
//!
//! It knows keys, shapes and ranges. It does not know what only `load` can: zones, schedules, names of projects.

use serde_json::{Map, Value, json};

use super::spec::{DELETED_INSTANCES, INCLUDED, MAIN, Section, Shape};

/// The schema of the main file (draft 2020-12).
pub fn schema() -> Value {
    let mut schema = section(&MAIN);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("rds-retentiond configuration");
    schema
}

/// The schema of a file that `include` names (draft 2020-12).
pub fn included_schema() -> Value {
    let mut schema = section(&INCLUDED);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("rds-retentiond policies");
    schema
}

fn section(section: &Section) -> Value {
    let mut properties = Map::new();
    for key in section.keys {
        let mut value = shape(key.shape);
        value["description"] = json!(key.doc);
        if let Some(examples) = examples(section.name, key.name) {
            value["examples"] = examples;
        }
        if let Some(pattern) = pattern(key.name) {
            // Of this kind of text only the pattern is known here; `load` knows the rest.
            value["pattern"] = json!(pattern);
        }
        properties.insert(key.name.to_owned(), value);
    }
    let required = section.keys.iter().filter(|key| key.required).map(|key| key.name);
    let mut schema = json!({
        "type": "object",
        "title": section.name,
        "properties": properties,
        "required": required.collect::<Vec<_>>(),
        "additionalProperties": false,
    });
    let one_of_these = one_of_these(section);
    if !one_of_these.is_empty() {
        let any: Vec<Value> = one_of_these.iter().map(|key| json!({"required": [key]})).collect();
        schema["anyOf"] = json!(any);
    }
    schema
}

/// Keys of which at least one must be there.
fn one_of_these(section: &Section) -> Vec<&'static str> {
    match section.name {
        "the configuration" => vec!["policies", "include"],
        "an included file" => vec!["policies"],
        "a hold" => vec!["backup", "instance", "name"],
        "a target of notify" => vec!["url", "url_file"],
        // `names` alone is no rule.
        "keep" => section
            .keys
            .iter()
            .map(|key| key.name)
            .filter(|name| *name != "names")
            .collect(),
        _ => Vec::new(),
    }
}

/// What the text of a key looks like, where that can be said.
fn pattern(key: &str) -> Option<&'static str> {
    Some(match key {
        "schedule" => r"^\s*(@(hourly|daily|weekly|monthly)|\S+(\s+\S+){4,5})\s*$",
        "listen" => r"^(none|.*:[0-9]+)$",
        "endpoint" | "iam_endpoint" | "url" => "^https?://",
        _ => return None,
    })
}

/// What is typical, for an editor to offer.
fn examples(section: &str, key: &str) -> Option<Value> {
    Some(match (section, key) {
        ("a project", "name") => json!(["prod"]),
        ("a policy", "name") => json!(["production"]),
        (_, "version") => json!([1]),
        (_, "state_dir") => json!(["/var/lib/rds-retentiond"]),
        (_, "postgres") => json!(["postgres://retention@db1,db2/retention"]),
        (_, "password_file") => json!(["pg_password"]),
        (_, "ca") => json!(["/etc/ssl/db.pem"]),
        (_, "listen") => json!(["127.0.0.1:9465", "none"]),
        (_, "include") => json!([["policies.d/*.yaml"]]),
        (_, "region") => json!(["ap-southeast-3"]),
        (_, "project_id") => json!(["054e292c9880d4992f02c0196d3ea468"]),
        ("credentials", "endpoint") => json!(["http://169.254.169.254"]),
        (_, "endpoint") => json!(["https://rds.ap-southeast-3.myhuaweicloud.com"]),
        (_, "iam_endpoint") => json!(["https://iam.ap-southeast-3.myhuaweicloud.com"]),
        (_, "credentials") => json!([{"source": "environment"}]),
        (_, "access_key_file") => json!(["access_key"]),
        (_, "secret_key_file") => json!(["secret_key"]),
        (_, "schedule") => json!(["0 3 * * *", "30 2 * * 1-5", "@daily"]),
        (_, "timezone") => json!(["UTC", "Asia/Singapore", "Europe/Berlin"]),
        (_, "jitter") => json!(["10min"]),
        (_, "max_age") => json!(["7y"]),
        (_, "failed_after") => json!(["7d"]),
        (_, "grace") => json!(["24h", "0s"]),
        // The third form is an object, which editors offer as `[object Object]`; they know it from the shape.
        (_, "deleted_instances") => json!(["ignore", "include"]),
        _ => return examples_of_policy(section, key),
    })
}

/// Those of a policy, of its parts, and of what stands beside the policies.
fn examples_of_policy(section: &str, key: &str) -> Option<Value> {
    Some(match (section, key) {
        ("select.instances", "names") => json!([["mssql-prod-*"]]),
        ("select.instances", "exclude_names") => json!([["*-scratch"]]),
        ("select.backups", "names") => json!([["nightly-*"]]),
        ("select.backups", "exclude_names") => json!([["golden-*"]]),
        ("keep", "names") => json!([["release-*"]]),
        (_, "tags") => json!([{"env": "prod", "team": "*"}]),
        (_, "ids" | "exclude_ids") => json!([["cd613e30d8f16adf91b7584a2265b1f5in04"]]),
        (_, "enterprise_projects") => json!([["0"]]),
        (_, "projects") if section == "select" => json!([["prod"]]),
        (_, "engines") => json!([["sqlserver"], ["mysql", "postgresql"]]),
        ("keep", "last") => json!([7]),
        ("keep", "hourly") => json!([24]),
        ("keep", "daily") => json!([14]),
        ("keep", "weekly") => json!([8]),
        ("keep", "monthly") => json!([12]),
        ("keep", "quarterly") => json!([4]),
        ("keep", "yearly") => json!([7, "all"]),
        ("keep", "within" | "within_hourly") | (_, "require_backup_within") => json!(["3d"]),
        ("keep", "within_daily" | "within_weekly") => json!(["30d", "3mo"]),
        ("keep", _) | (_, "expire_after") => json!(["1y"]),
        ("a hold", "backup") => json!(["63ad3439af9776054br04"]),
        ("a hold", "instance") => json!(["*in04"]),
        ("a hold", "name") => json!(["pre-migration-*"]),
        ("audit", "anchor") => json!(["journal", "/var/log/rds-retentiond.anchors", "none"]),
        (_, "allowed_hosts") => json!([["retention.example.com"]]),
        ("the price", "currency") => json!(["USD"]),
        (_, "url") => json!(["https://hc.example/ping/1b2c"]),
        (_, "url_file") => json!(["slack_url"]),
        ("a target of notify", "on") => json!([["refused", "failed", "partial", "returned", "frozen", "ending"]]),
        (_, "reason") => json!(["case 4711"]),
        (_, "until") => json!(["2027-06-30", "2026-12-31T00:00:00Z"]),
        _ => return None,
    })
}

fn shape(of: Shape) -> Value {
    match of {
        // An unquoted number is taken as it is written.
        Shape::Text | Shape::Glob => json!({"type": ["string", "number"], "minLength": 1}),
        Shape::Name => json!({"type": ["string", "number"], "pattern": "^[A-Za-z0-9._-]{1,64}$"}),
        Shape::Boolean => json!({"type": "boolean"}),
        Shape::Integer(least, u32::MAX) => json!({"type": "integer", "minimum": least}),
        Shape::Integer(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
        Shape::Decimal => json!({"type": "number", "exclusiveMinimum": 0}),
        Shape::Count => json!({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "all"}]}),
        Shape::Duration { zero } => {
            let pattern = "^(?=.)([0-9]+y)?([0-9]+mo)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+min)?([0-9]+s)?$";
            let text = json!({"type": "string", "pattern": pattern});
            if zero {
                json!({"anyOf": [text, {"const": 0}]})
            } else {
                text
            }
        }
        Shape::Time => json!({"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}]}),
        Shape::Choice(words) => json!({"enum": words}),
        Shape::List(of) => json!({"type": "array", "items": shape(*of), "minItems": 1}),
        Shape::ListOrNone(of) => json!({"type": "array", "items": shape(*of)}),
        Shape::Section(of) => section(of),
        Shape::Tags => {
            json!({"type": "object", "additionalProperties": {"type": ["string", "number"]}, "minProperties": 1})
        }
        Shape::DeletedInstances => json!({"anyOf": [{"enum": ["ignore", "include"]}, section(&DELETED_INSTANCES)]}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_tables_is_in_the_schema() {
        let schema = schema();
        let policy = &schema["properties"]["policies"]["items"];
        assert_eq!(policy["required"], json!(["name", "mode", "keep"]));
        assert_eq!(policy["properties"]["mode"]["enum"], json!(["enforce", "dry-run"]));
        let keep = &policy["properties"]["keep"];
        assert_eq!(keep["properties"].as_object().map(Map::len), Some(15));
        assert_eq!(keep["additionalProperties"], json!(false));
        let deleted = &policy["properties"]["select"]["properties"]["deleted_instances"];
        assert_eq!(deleted["anyOf"][1]["required"], json!(["expire_after"]));
        assert_eq!(schema["required"], json!(["version"]));
    }

    #[test]
    fn every_key_is_described_and_texts_have_examples() {
        fn walk(schema: &Value, path: &str, found: &mut usize) {
            for (key, value) in schema["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}.{key}");
                assert!(
                    value["description"].as_str().is_some_and(|text| text.len() > 10),
                    "{path}"
                );
                *found += 1;
                walk(value, &path, found);
                walk(&value["items"], &path, found);
            }
        }
        let mut found = 0;
        walk(&schema(), "", &mut found);
        assert_eq!(found, 93, "keys of the configuration");
        let schema = schema();
        let policy = &schema["properties"]["policies"]["items"]["properties"];
        assert_eq!(policy["schedule"]["examples"][0], "0 3 * * *");
        assert_eq!(policy["keep"]["properties"]["within_yearly"]["examples"], json!(["1y"]));
        assert_eq!(policy["keep"]["anyOf"].as_array().map(Vec::len), Some(14));
    }
}
