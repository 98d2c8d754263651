//! Who a person is, as far as the operating system and the database say it; what the environment claims stands apart.

use std::fs;
use std::io::IsTerminal as _;

use serde::{Deserialize, Serialize};

/// Who did something by command. Each field is absent where it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The real user id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uid: Option<u32>,
    /// The user id of the login, which `sudo` and `su` leave as it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub login_uid: Option<u32>,
    /// The host.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<String>,
    /// The terminal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tty: Option<String>,
    /// The name that the environment claims. Proves nothing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub claimed: Option<String>,
    /// The role that the database session logged in with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub role: Option<String>,
    /// The program's version.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// SHA-256 of the configuration, where it could be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub config_sha256: Option<String>,
}

impl Person {
    /// Who runs this process.
    pub fn of_this_process() -> Self {
        Self {
            uid: Some(rustix::process::getuid().as_raw()),
            login_uid: login_uid(&fs::read_to_string("/proc/self/loginuid").unwrap_or_default()),
            tty: tty(),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            ..Self::default()
        }
    }

    /// Their name: of the login where there is one, as the host's list of accounts has it.
    pub fn name(&self) -> String {
        let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let name = |uid: u32| account(&accounts, uid).map_or_else(|| format!("uid {uid}"), str::to_owned);
        match (self.login_uid, self.uid) {
            (Some(login), Some(uid)) if login != uid => format!("{} as {}", name(login), name(uid)),
            (Some(uid), _) | (None, Some(uid)) => name(uid),
            (None, None) => "unknown".to_owned(),
        }
    }

    /// Whether both are certainly one person: one role of the database, else one login, where either has none the user without it.
    pub fn is_same_as(&self, other: &Self) -> bool {
        match (&self.role, &other.role) {
            (Some(role), Some(others)) => return role == others,
            (None, None) => {}
            _ => return false,
        }
        // Root without a login may be anybody, and not who placed it with `sudo`.
        let one = self.login_uid.or(self.uid);
        one.is_some() && one == other.login_uid.or(other.uid)
    }

    /// Whether they are certainly two people: two roles of the database, else two logins, else, where either has none, two users.
    pub fn is_other_than(&self, other: &Self) -> bool {
        match (&self.role, &other.role) {
            (Some(role), Some(others)) => return role != others,
            (None, None) => {}
            _ => return false,
        }
        let (Some(uid), Some(others)) = (self.uid, other.uid) else {
            return false;
        };
        match (self.login_uid, other.login_uid) {
            (Some(login), Some(others)) => login != others,
            // One person with `sudo` and without a login, as from cron.
            (Some(login), None) => uid != others && login != others,
            (None, Some(login)) => uid != others && uid != login,
            (None, None) => uid != others,
        }
    }
}

/// What `/proc/self/loginuid` says; -1 is none.
fn login_uid(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|uid| *uid != u32::MAX)
}

fn tty() -> Option<String> {
    let is_terminal = [
        std::io::stdin().is_terminal(),
        std::io::stdout().is_terminal(),
        std::io::stderr().is_terminal(),
    ];
    let fd = is_terminal.iter().position(|is| *is)?;
    let path = fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
    Some(path.to_string_lossy().into_owned())
}

/// The name of an account.
fn account(accounts: &str, uid: u32) -> Option<&str> {
    let is_it = |line: &&str| line.split(':').nth(2).and_then(|field| field.parse().ok()) == Some(uid);
    accounts.lines().find(is_it)?.split(':').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(uid: u32, login_uid: Option<u32>) -> Person {
        Person {
            uid: Some(uid),
            login_uid,
            ..Person::default()
        }
    }

    fn role(role: &str, uid: u32) -> Person {
        Person {
            role: Some(role.to_owned()),
            ..person(uid, Some(uid))
        }
    }

    #[test]
    fn one_person_with_two_names_or_sudo_or_no_login_is_not_two() {
        let alice = person(1000, Some(1000));
        for same in [
            person(0, Some(1000)),
            person(1000, None),
            Person {
                claimed: Some("bob".to_owned()),
                tty: Some("/dev/pts/7".to_owned()),
                host: Some("elsewhere".to_owned()),
                ..alice.clone()
            },
        ] {
            assert!(!alice.is_other_than(&same) && !same.is_other_than(&alice), "{same:?}");
        }
        // With sudo, and once more without a login.
        assert!(!person(0, Some(1000)).is_other_than(&person(1000, None)));
        // In PostgreSQL the role alone counts.
        assert!(!role("dba", 1000).is_other_than(&role("dba", 1001)));
        // What is not known is nobody else.
        assert!(!alice.is_other_than(&Person::default()));
        assert!(!alice.is_other_than(&role("dba", 1001)));
        assert!(!Person::default().is_same_as(&Person::default()));
    }

    #[test]
    fn two_logins_two_users_and_two_roles_are_two_people() {
        let alice = person(0, Some(1000));
        assert!(alice.is_other_than(&person(0, Some(1001))));
        assert!(alice.is_other_than(&person(1001, None)));
        assert!(person(1000, None).is_other_than(&person(1001, None)));
        assert!(role("alice", 0).is_other_than(&role("bob", 0)));
        assert!(alice.is_same_as(&person(1000, Some(1000))));
        assert!(alice.is_same_as(&person(1000, None)), "from cron");
        for another in [person(0, Some(1001)), person(0, None)] {
            assert!(
                !alice.is_same_as(&another) && !another.is_same_as(&alice),
                "{another:?}"
            );
        }
    }

    #[test]
    fn a_login_is_read_and_named() {
        assert_eq!(login_uid("1000\n"), Some(1000));
        assert_eq!(login_uid("4294967295"), None);
        assert_eq!(login_uid(""), None);
        let accounts = "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/:/bin/sh\nbroken\n";
        assert_eq!(account(accounts, 1000), Some("alice"));
        assert_eq!(account(accounts, 7), None);
        assert_eq!(person(77_777, Some(77_778)).name(), "uid 77778 as uid 77777");
    }
}
