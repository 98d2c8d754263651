//! Other shapes of a file: a backup a line, the API's pages one after another, or these joined by `jq -s`.

use serde::Deserialize;
use serde_json::value::RawValue;

/// The same entries as one array, where the file is nothing but such pages and backups; `None` for anything else.
pub(super) fn as_one_array(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut entries: Vec<&str> = Vec::new();
    let mut is_empty = true;
    for value in serde_json::Deserializer::from_slice(bytes).into_iter::<&RawValue>() {
        collect(value.ok()?, true, &mut entries)?;
        is_empty = false;
    }
    if is_empty {
        return None;
    }
    Some(format!("[{}]", entries.join(",")).into_bytes())
}

/// One array of pages or backups may be around all.
fn collect<'a>(value: &'a RawValue, may_be_array: bool, entries: &mut Vec<&'a str>) -> Option<()> {
    #[derive(Deserialize)]
    struct Page<'a> {
        #[serde(borrow)]
        backups: Vec<&'a RawValue>,
    }

    let text = value.get();
    if may_be_array && text.starts_with('[') {
        let values: Vec<&RawValue> = serde_json::from_str(text).ok()?;
        return values.into_iter().try_for_each(|value| collect(value, false, entries));
    }
    if !text.starts_with('{') {
        return None;
    }
    match serde_json::from_str::<Page<'_>>(text) {
        Ok(page) => entries.extend(page.backups.iter().map(|entry| entry.get())),
        Err(_) => entries.push(text),
    }
    Some(())
}
