//! That no backup is there by what was typed, and what may have been meant.

use std::sync::Arc;

use crate::operations::answer::{Answer, NotFound};
use crate::retention::BackupId;
use crate::wording::remedies::shell_word;
use crate::wording::sanitize::clean;

/// More backups than this are not named when none has the id that was typed.
const MOST_NAMED: usize = 5;

/// In a sentence.
pub fn sentence(answer: &Answer, not_found: &NotFound, in_file: bool) -> String {
    let hint = hint(answer, not_found);
    let nowhere = match (in_file, &answer.known) {
        (true, _) if matches!(not_found, NotFound::NothingListed) => "the file has no backup".to_owned(),
        (true, _) => format!("the file does not have it{hint}"),
        (false, Some(known)) => format!(
            "it was one of instance {} and is listed no more, and this program did not delete it",
            clean(known.instance.as_str())
        ),
        (false, None) if hint.is_empty() => {
            "no listing shows it and the ledger has never seen it deleted; `plan --wide` shows the ids".to_owned()
        }
        (false, None) => format!("no listing shows it and the ledger has never seen it deleted{hint}"),
    };
    format!("no backup {}: {nowhere}", clean(answer.id.as_str()))
}

fn hint(answer: &Answer, not_found: &NotFound) -> String {
    match not_found {
        NotFound::NothingListed | NotFound::Nothing => String::new(),
        NotFound::Instances(instances) => {
            let (what, named, whose) = match instances.as_slice() {
                [one] => ("an instance".to_owned(), one.as_str(), "its"),
                several => (
                    format!("the name of {} instances", several.len()),
                    answer.id.as_str(),
                    "their",
                ),
            };
            let named = shell_word(named);
            format!("; that is {what}: `plan --instance {named} --wide` shows the ids of {whose} backups")
        }
        NotFound::Backups(backups) => {
            let line = |(id, name, instance): &(BackupId, Arc<str>, Arc<str>)| {
                format!("\n  {id}  {} of {}", clean(name), clean(instance))
            };
            let lines: Vec<String> = backups.iter().take(MOST_NAMED).map(line).collect();
            let which = match backups.len() {
                1 => "this one?",
                2..=MOST_NAMED => "one of these?",
                _ => "one of these (and more)?",
            };
            format!("; did you mean {which}{}", lines.concat())
        }
    }
}
