//! What lifts a refusal of the guard: the same words in the terminal, on the page and wherever else a refusal is shown.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use super::sanitize::clean;
use crate::retention::report::RefusalRecord;
use crate::retention::{FreezeSources, Refusal};

/// The configuration's usual place, which commands need not name.
pub const DEFAULT_CONFIG: &str = "/etc/rds-retentiond/config.yaml";

/// How commands call this program with the same configuration.
pub fn program(config: &Path) -> String {
    if config == Path::new(DEFAULT_CONFIG) {
        "rds-retentiond".to_owned()
    } else {
        format!("rds-retentiond --config {}", shell_word(&config.to_string_lossy()))
    }
}

/// What to do about a refusal. Not escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A command to type.
    Command(String),
    /// Something that no command does.
    Words(String),
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Command(text) | Self::Words(text)) = self;
        f.write_str(text)
    }
}

/// What lifts a refusal of `policy`. `digest` is its refused plan's, where one waits for approval; `program` is how to
/// call this program with the same configuration.
pub fn remedy(refusal: &Refusal, policy: &str, digest: Option<&str>, program: &str) -> Remedy {
    match refusal {
        Refusal::MaxDeletions { .. } | Refusal::MaxPercent { .. } => approve(policy, digest, program),
        Refusal::RequireBackupWithin { .. } => make_a_backup(),
        Refusal::Clock { .. } => check_the_clock(program),
        Refusal::Ledger { .. } => put_the_state_back(),
        Refusal::Members { .. } => make_members_agree(),
        Refusal::Freeze { sources, .. } => end_freeze(sources, program),
        Refusal::Shrink { project, instance, .. } => {
            let target = instance.as_ref().map_or(project.as_str(), |instance| instance.as_str());
            approve_listing(target, program)
        }
    }
}

/// The same of a refusal as it is remembered; `None` where that does not say enough.
pub fn remedy_of_record(refusal: &RefusalRecord, policy: &str, digest: Option<&str>, program: &str) -> Option<Remedy> {
    match (refusal.limit.as_str(), &refusal.listing) {
        ("max_deletions" | "max_percent", _) => Some(approve(policy, digest, program)),
        ("require_backup_within", _) => Some(make_a_backup()),
        ("clock", _) => Some(check_the_clock(program)),
        ("ledger", _) => Some(put_the_state_back()),
        ("members", _) => Some(make_members_agree()),
        ("shrink", Some(target)) => Some(approve_listing(target, program)),
        // A freeze that is in force is shown by itself; and older programs did not record whose listing it was.
        _ => None,
    }
}

/// What ends freezes. `thaw` ends only what was placed by command.
pub fn end_freeze(sources: &FreezeSources, program: &str) -> Remedy {
    let mut steps: Vec<String> = sources.placed.iter().map(|id| format!("{program} thaw {id}")).collect();
    let Some(place) = &sources.configured else {
        return Remedy::Command(steps.join(" && "));
    };
    steps.push(format!("take `freeze` out of {place}"));
    Remedy::Words(steps.join(", and "))
}

/// The command that lets a shrunken listing be believed.
pub fn approve_listing(target: &str, program: &str) -> Remedy {
    Remedy::Command(format!("{program} approve --listing {}", shell_word(target)))
}

fn approve(policy: &str, digest: Option<&str>, program: &str) -> Remedy {
    match digest {
        Some(digest) => Remedy::Command(format!("{program} approve {} --plan {digest}", shell_word(policy))),
        // No run was refused these ids, so there is nothing to approve yet.
        None => Remedy::Words("a run that is refused prints the command that approves its plan".to_owned()),
    }
}

fn make_a_backup() -> Remedy {
    Remedy::Words("find out why no backup was made, and make one".to_owned())
}

fn check_the_clock(program: &str) -> Remedy {
    // It shows how far the clocks are apart, or that the API sends no time.
    Remedy::Command(format!("{program} check --online"))
}

fn put_the_state_back() -> Remedy {
    Remedy::Words("put the state back".to_owned())
}

fn make_members_agree() -> Remedy {
    Remedy::Words("give all daemons on this state the same projects, policies, holds and freeze".to_owned())
}

/// A name as a shell takes it: quoted where it must be.
pub fn shell_word(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(format!("'{}'", clean(text).replace('\'', r"'\''")))
    }
}

/// A refusal by every limit, for the tests of those who show them.
#[cfg(test)]
pub(crate) fn one_of_each() -> Vec<Refusal> {
    use crate::retention::plan::ClockCheck;
    let shrink = |instance: Option<&str>| Refusal::Shrink {
        project: "prod".into(),
        instance: instance.map(Into::into),
        expected: 9,
        found: 2,
    };
    let freeze = |placed: &[&str], configured: Option<&str>| Refusal::Freeze {
        reason: "audit".to_owned(),
        until: None,
        sources: FreezeSources {
            placed: placed.iter().map(ToString::to_string).collect(),
            configured: configured.map(str::to_owned),
        },
    };
    let refusals = vec![
        Refusal::MaxDeletions { planned: 9, limit: 8 },
        Refusal::MaxPercent {
            instance: "i1in04".into(),
            planned: 6,
            of: 9,
            percent: 50,
        },
        Refusal::RequireBackupWithin {
            instance: "i1in04".into(),
            newest: None,
            within: crate::retention::Span::days(2).to_string(),
        },
        Refusal::Clock {
            project: "prod".into(),
            check: ClockCheck::NoDate,
        },
        Refusal::Ledger {
            message: "the state is gone".to_owned(),
        },
        Refusal::Members {
            message: "db-host-2 has others".to_owned(),
        },
        shrink(None),
        shrink(Some("i1in04")),
        freeze(&["f1"], None),
        freeze(&[], Some("/etc/c.yaml:7")),
        freeze(&["f1"], Some("/etc/c.yaml:7")),
    ];
    for limit in Refusal::LIMITS {
        // `listing` is no refusal of the guard.
        assert!(
            limit == "listing" || refusals.iter().any(|refusal| refusal.limit() == limit),
            "{limit}"
        );
    }
    refusals
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(placed: &[&str], configured: Option<&str>) -> FreezeSources {
        FreezeSources {
            placed: placed.iter().map(ToString::to_string).collect(),
            configured: configured.map(str::to_owned),
        }
    }

    #[test]
    fn thaw_is_named_only_for_what_it_ends() {
        let end = |placed: &[&str], configured| end_freeze(&sources(placed, configured), "rds-retentiond");
        let command = |text: &str| Remedy::Command(text.to_owned());
        let words = |text: &str| Remedy::Words(text.to_owned());
        assert_eq!(end(&["f1"], None), command("rds-retentiond thaw f1"));
        assert_eq!(
            end(&["f1", "f2"], None),
            command("rds-retentiond thaw f1 && rds-retentiond thaw f2")
        );
        assert_eq!(end(&[], Some("c.yaml:7")), words("take `freeze` out of c.yaml:7"));
        assert_eq!(
            end(&["f1"], Some("c.yaml:7")),
            words("rds-retentiond thaw f1, and take `freeze` out of c.yaml:7")
        );
    }

    #[test]
    fn names_are_quoted_for_a_shell() {
        for (name, quoted) in [
            ("production", "production"),
            ("a b", "'a b'"),
            ("it's; rm", r"'it'\''s; rm'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(name), quoted);
        }
        let Remedy::Command(command) = approve("my policy", Some("c0ffee"), "rds-retentiond") else {
            panic!("no command")
        };
        assert_eq!(command, "rds-retentiond approve 'my policy' --plan c0ffee");
    }

    #[test]
    fn what_no_run_was_refused_cannot_be_approved() {
        let many = Refusal::MaxDeletions { planned: 9, limit: 8 };
        let Remedy::Words(words) = remedy(&many, "my policy", None, "rds-retentiond") else {
            panic!("a command")
        };
        assert!(!words.contains("my policy"));
    }
}
