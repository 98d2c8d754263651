//! `audit:`, where the head of each run's chain is written down outside the state.

use std::path::{Path, PathBuf};

use super::reader::{Cursor, Fields};
use super::spec::AUDIT;
use super::state_at::StateAt;

/// Where heads are anchored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AnchorAt {
    /// In the journal, where there is one: the default.
    #[default]
    JournalIfAny,
    /// In the journal.
    Journal,
    /// In this file, which is appended to.
    File(PathBuf),
    /// Nowhere.
    Nowhere,
}

/// What `audit` says; a relative file is beside the configuration.
pub(super) fn read(fields: &Fields<'_>, base: &Path, state: &StateAt) -> AnchorAt {
    let Some(section) = fields.get("audit").and_then(|at| at.section(&AUDIT)) else {
        return AnchorAt::default();
    };
    section
        .get("anchor")
        .and_then(|at| anchor(at, base, state))
        .unwrap_or_default()
}

fn anchor(at: &Cursor<'_>, base: &Path, state: &StateAt) -> Option<AnchorAt> {
    match at.text()? {
        "journal" => Some(AnchorAt::Journal),
        "none" => Some(AnchorAt::Nowhere),
        text if text.contains('/') => {
            let file = base.join(text);
            if matches!(state, StateAt::Directory(dir) if file.starts_with(dir)) {
                at.fail(
                    "the anchor is in the state directory, and would be set back with it",
                    "name a file outside of it, on another file system if you can",
                );
                return None;
            }
            Some(AnchorAt::File(file))
        }
        _ => {
            at.fail(
                "no anchor of that kind",
                "write `journal`, `none`, or a file's path with a `/`",
            );
            None
        }
    }
}
