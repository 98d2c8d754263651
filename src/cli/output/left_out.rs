//! What an answer about all backups leaves out, because it could not be read.

use super::stdout;
use crate::retention::report::Skip;
use crate::wording::numbers::count;

/// Says on stderr what was left out, and why.
pub fn note(skipped: &[Skip]) {
    for skip in skipped {
        let whole = || format!("project {}", skip.project);
        let what = skip.instance.as_ref().map_or_else(whole, |id| format!("instance {id}"));
        // Some messages begin with what they are about.
        let named = if skip.message.starts_with(&what) {
            String::new()
        } else {
            format!("{what}: ")
        };
        stdout::note(&format!("left out: {named}{}", skip.message));
    }
}

/// The same in one sentence, for the end of the answer.
pub fn sentence(skipped: &[Skip]) -> Option<String> {
    let (projects, instances): (Vec<&Skip>, Vec<&Skip>) = skipped.iter().partition(|skip| skip.instance.is_none());
    let parts = [(projects.len(), "project"), (instances.len(), "instance")];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| count(number as u64, what))
        .collect();
    (!parts.is_empty()).then(|| format!("Not read, so left out here: {}.", parts.join(" and ")))
}
