//! What a person probably meant by a key that is not known.

use super::diagnostics::{nearest, one_of};
use super::spec::{SECTIONS, Section};
use super::yaml::clip;

/// What to write in place of an unknown key.
pub(super) fn hint_for_key(section: &'static Section, key: &str) -> String {
    // In braces YAML takes `{last:2}` for one key without a value.
    if let Some((name, value)) = key.split_once(':')
        && section.key(name).is_some()
    {
        return format!("write a blank behind the colon: `{name}: {}`", clip(value));
    }
    let keys = || section.keys.iter().map(|key| key.name);
    let plain = key.to_ascii_lowercase().replace('-', "_");
    let trap = match plain.as_str() {
        "<<" => {
            Some("YAML merge keys are not supported, so that every policy can be read as it stands: repeat the keys")
        }
        "cron" | "interval" => Some("schedule"),
        "tz" | "time_zone" | "zone" | "location" => Some("timezone"),
        "dryrun" | "dry_run" | "enabled" | "enforce" if section.key("mode").is_some() => {
            return "write `mode: dry-run` or `mode: enforce`".to_owned();
        }
        "keep_n" | "keep" | "count" => Some("last"),
        "keep_tag" | "keep_tags" => Some("names"),
        "ak" | "sk" | "access_key" | "secret_key" | "access_key_id" | "secret_access_key" | "security_token"
            if section.key("source").is_some() =>
        {
            return "secrets do not belong in the configuration: put them in files and name those with \
                    `access_key_file`, `secret_key_file` and `security_token_file`"
                .to_owned();
        }
        other => other.strip_prefix("keep_").filter(|rest| section.key(rest).is_some()),
    };
    if let Some(trap) = trap {
        if section.key(trap).is_some() {
            return format!("did you mean `{trap}`?");
        }
        if trap.contains(' ') {
            return trap.to_owned();
        }
    }
    if let Some(near) = nearest(key, keys()) {
        return format!("did you mean `{near}`?");
    }
    let bare = plain.strip_prefix("keep_").unwrap_or(&plain);
    let home = SECTIONS
        .iter()
        .find(|other| !std::ptr::eq(**other, section) && other.key(bare).is_some());
    if let Some(home) = home {
        return format!("`{bare}` is a key of {}; check the indentation", home.name);
    }
    let elsewhere = SECTIONS
        .iter()
        .find_map(|other| Some((other, nearest(key, other.keys.iter().map(|key| key.name))?)));
    match elsewhere {
        Some((home, near)) => format!("did you mean `{near}`? It is a key of {}", home.name),
        None => format!("expected {}", one_of(keys())),
    }
}
