//! The JSON Schema of the configuration, from the tables of `raw`, for editors.
//!
//! It knows keys, shapes and ranges. It does not know what only `load` can: zones, schedules, names of projects.

use serde_json::{Map, Value, json};

use super::raw::{DELETED_INSTANCES, INCLUDED, MAIN, Section, Shape};

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
        properties.insert(key.name.to_owned(), value);
    }
    let required = section.keys.iter().filter(|key| key.required).map(|key| key.name);
    json!({
        "type": "object",
        "properties": properties,
        "required": required.collect::<Vec<_>>(),
        "additionalProperties": false,
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
}
