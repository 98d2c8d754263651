//! Backups from a file, for offline plans; made for a million of them.
//!
//! Not for the API's pages: a file cannot be asked again, so it is read more strictly.

mod collected;
mod halves;
mod pages;

pub use self::collected::BackupsOfInstance;
use self::collected::whole;

/// A smaller file is not worth a second thread.
const WORTH_HALVING: usize = 1 << 20;

/// Reads backups from a file: a JSON array in the API's list shape, `{"backups": [...]}`, several such pages one after another or joined
/// by `jq -s`, or a backup a line (NDJSON). Instances and their backups come in the
/// file's order.
///
/// Stricter than a listing, for a file cannot be asked again: an entry without id, or two entries of one id that differ, are errors; exact
/// repetitions are dropped. The error names the entry's index (from 0), line and column.
pub fn backups_from_json(bytes: &[u8]) -> Result<Vec<BackupsOfInstance>, String> {
    // Windows' tools put a byte order mark before what they write.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.len() >= WORTH_HALVING
        && let Some(file) = halves::read(bytes)
    {
        return Ok(file.groups);
    }
    whole(bytes).map(|file| file.groups).or_else(|error| {
        // What is wrong with one array is said of it, unless the file is of another shape and good.
        let joined = pages::as_one_array(bytes).map(|array| whole(&array).map(|file| file.groups));
        joined.and_then(Result::ok).ok_or(error)
    })
}

/// A file read as a whole, and in halves whatever its size.
#[cfg(any(test, fuzzing))]
pub(super) fn both_ways(bytes: &[u8]) -> (Result<Vec<BackupsOfInstance>, String>, Option<Vec<BackupsOfInstance>>) {
    (
        whole(bytes).map(|file| file.groups),
        halves::read(bytes).map(|file| file.groups),
    )
}
