//! Where the heads of the chain are written down outside the state: the journal, or a file that is appended to.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::state_file::give_away;

/// A head of some state's chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchoredHead {
    /// The state's path, or its database.
    pub state: String,
    /// The same as the configuration names it, where that is a link or leads over one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<String>,
    /// The hash of the chain's first row, which every copy of the state has. Versions before 0.2 wrote none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The row's number.
    pub row: i64,
    /// Its hash.
    pub head: String,
}

/// By what the heads of a state are found: where it is, and what its chain began with. By the place alone a link to a copy, or a copy under
/// another path, would be a state of which nothing is known.
#[derive(Clone, Debug, Default)]
pub struct StateKey {
    /// Its path as it is and as it is named, or its database.
    pub places: Vec<String>,
    /// The hash of its chain's first row; `None` where there is no state.
    pub origin: Option<String>,
}

impl StateKey {
    fn is_of(&self, head: &AnchoredHead) -> bool {
        let is_there = |place: &String| self.places.contains(place);
        is_there(&head.state)
            || head.named.as_ref().is_some_and(is_there)
            || (head.origin.is_some() && head.origin == self.origin)
    }

    /// The entries of the journal that match: those with any of these fields.
    fn matches(&self) -> Vec<String> {
        let places = |field: &'static str| self.places.iter().map(move |place| format!("{field}={}", plain(place)));
        let origin = self.origin.iter().map(|origin| format!("{ORIGIN}={origin}"));
        places(STATE).chain(places(NAMED)).chain(origin).collect()
    }
}

/// Fields of an entry of the journal.
const STATE: &str = "RDS_RETENTIOND_STATE";
const NAMED: &str = "RDS_RETENTIOND_STATE_NAMED";
const ORIGIN: &str = "RDS_RETENTIOND_ORIGIN";

#[derive(Serialize)]
struct Line<'a> {
    at: String,
    #[serde(flatten)]
    head: &'a AnchoredHead,
}

/// An entry of the journal; a field of it may be something else than text.
#[derive(Deserialize)]
struct JournalEntry {
    #[serde(rename = "RDS_RETENTIOND_ROW")]
    row: String,
    #[serde(rename = "RDS_RETENTIOND_HEAD")]
    head: String,
}

/// The journal, as systemd has it.
#[derive(Clone, Debug)]
pub struct Journal {
    socket: PathBuf,
    programs: Vec<PathBuf>,
}

/// Where heads are anchored.
#[derive(Clone, Debug)]
pub enum AnchorLog {
    /// In the journal.
    Journal(Journal),
    /// In a file.
    File(PathBuf),
}

/// The journal's `MESSAGE_ID` of a head.
pub const MESSAGE_ID: &str = "6d1c0e4f9f0b4b0f8e5a7c2d3b9a1f42";
/// So many are read: older ones were compared by earlier runs.
const MOST: usize = 1000;
/// A journal that takes longer cannot be read.
const PATIENCE: Duration = Duration::from_secs(10);

impl Default for Journal {
    fn default() -> Self {
        Self {
            socket: PathBuf::from("/run/systemd/journal/socket"),
            programs: [
                "/usr/bin/journalctl",
                "/bin/journalctl",
                "/run/current-system/sw/bin/journalctl",
            ]
            .map(PathBuf::from)
            .to_vec(),
        }
    }
}

impl Journal {
    /// Whether this host has one.
    pub fn is_there(&self) -> bool {
        self.socket.exists() && self.program().is_some()
    }

    fn program(&self) -> Option<&PathBuf> {
        self.programs.iter().find(|program| program.exists())
    }

    fn append(&self, head: &AnchoredHead) -> io::Result<()> {
        let field = |(name, value): (&str, &Option<String>)| {
            let value = value.as_ref().map(|value| format!("{name}={}\n", plain(value)));
            value.unwrap_or_default()
        };
        let optional = [(NAMED, &head.named), (ORIGIN, &head.origin)].map(field).concat();
        let text = format!(
            "MESSAGE_ID={MESSAGE_ID}\nPRIORITY=6\nSYSLOG_IDENTIFIER={name}\n\
             MESSAGE=the audit chain of {state} has reached row {row}, head {hash}\n\
             {STATE}={state}\n{optional}RDS_RETENTIOND_ROW={row}\nRDS_RETENTIOND_HEAD={hash}\n",
            name = env!("CARGO_PKG_NAME"),
            state = plain(&head.state),
            row = head.row,
            hash = head.head
        );
        UnixDatagram::unbound()?.send_to(text.as_bytes(), &self.socket)?;
        Ok(())
    }

    /// Only what root or the state's owner wrote: anybody may write to the journal.
    fn read(&self, of: &StateKey) -> io::Result<Vec<AnchoredHead>> {
        let program = self
            .program()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no journalctl"))?;
        let mut owners = vec![0, rustix::process::getuid().as_raw()];
        let places = of.places.iter();
        owners.extend(places.filter_map(|place| Some(std::fs::metadata(place).ok()?.uid())));
        let mut command = Command::new(program);
        command
            .args(["--no-pager", "--quiet", "--reverse", "--output=json", "--lines"])
            .arg(MOST.to_string())
            .env_clear();
        // What stands on either side of a `+` is enough; else all of it has to match, but for values of one field.
        for (nth, field) in of.matches().iter().enumerate() {
            if nth > 0 {
                command.arg("+");
            }
            command.args([&format!("MESSAGE_ID={MESSAGE_ID}"), field]);
            command.args(owners.iter().map(|uid| format!("_UID={uid}")));
        }
        let state = of.places.first().cloned().unwrap_or_default();
        let mut heads: Vec<AnchoredHead> = lines_of(&mut command)?
            .iter()
            .filter_map(|line| serde_json::from_str::<JournalEntry>(line).ok())
            .filter_map(|entry| {
                Some(AnchoredHead {
                    state: state.clone(),
                    row: entry.row.parse().ok()?,
                    head: entry.head,
                    ..AnchoredHead::default()
                })
            })
            .collect();
        heads.reverse();
        Ok(heads)
    }
}

/// What a program writes, which must not take long.
fn lines_of(command: &mut Command) -> io::Result<Vec<String>> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (sender, receiver) = std::sync::mpsc::channel();
    if let Some(mut out) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut text = String::new();
            let read = out.by_ref().take(16 << 20).read_to_string(&mut text).map(|_| text);
            let _ = sender.send(read);
        });
    }
    let until = Instant::now() + PATIENCE;
    let text = receiver.recv_timeout(PATIENCE);
    while child.try_wait()?.is_none() {
        if Instant::now() >= until || text.is_err() {
            let _ = child.kill();
            child.wait()?;
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "journalctl did not end within 10 s",
            ));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    if !child.wait()?.success() {
        return Err(io::Error::other("journalctl failed"));
    }
    let text = text.map_err(|error| io::Error::other(error.to_string()))??;
    Ok(text.lines().map(str::to_owned).collect())
}

/// A field of the journal ends with its line.
fn plain(state: &str) -> String {
    state.replace(char::is_control, "?")
}

impl AnchorLog {
    /// What it is called.
    pub fn name(&self) -> String {
        match self {
            Self::Journal(_) => "the journal".to_owned(),
            Self::File(file) => file.display().to_string(),
        }
    }

    /// Writes a head down.
    pub fn append(&self, head: &AnchoredHead, at: DateTime<Utc>) -> io::Result<()> {
        let file = match self {
            Self::Journal(journal) => return journal.append(head),
            Self::File(file) => file,
        };
        let line = Line {
            at: at.to_rfc3339_opts(SecondsFormat::Secs, true),
            head,
        };
        let mut file = open_to_append(file, &head.state)?;
        // One write, so that a line of another process does not come into it.
        file.write_all(format!("{}\n", serde_json::to_string(&line)?).as_bytes())?;
        file.sync_data()
    }

    /// The last heads of this state, the oldest first; none where there is no file yet.
    pub fn read(&self, of: &StateKey) -> io::Result<Vec<AnchoredHead>> {
        match self {
            Self::Journal(journal) => journal.read(of),
            Self::File(file) => read_file(file, of),
        }
    }
}

/// One that root makes beside a service user is that user's, as the state is.
fn open_to_append(file: &Path, state: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).mode(0o600);
    match options.clone().create_new(true).open(file) {
        Ok(made) => {
            if let Ok(state) = std::fs::metadata(state) {
                give_away(&made, &made.metadata()?, &state);
            }
            Ok(made)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(file),
        Err(error) => Err(error),
    }
}

fn read_file(file: &Path, of: &StateKey) -> io::Result<Vec<AnchoredHead>> {
    let file = match File::open(file) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut heads = Vec::new();
    for line in BufReader::new(file).lines() {
        // The rest of a line that was cut by a crash is no head.
        let Ok(head) = serde_json::from_str::<AnchoredHead>(&line?) else {
            continue;
        };
        if of.is_of(&head) {
            heads.push(head);
        }
    }
    Ok(heads.split_off(heads.len().saturating_sub(MOST)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_head_goes_to_the_journal_and_comes_back_from_it() {
        let dir = tempfile::tempdir().unwrap();
        let (socket, program) = (dir.path().join("socket"), dir.path().join("journalctl"));
        let listener = UnixDatagram::bind(&socket).unwrap();
        let args = dir.path().join("args");
        let script = format!(
            "#!/bin/sh\necho \"$@\" > {}\necho '{{\"RDS_RETENTIOND_ROW\":\"7\",\"RDS_RETENTIOND_HEAD\":\"ab\"}}'\necho '{{\"RDS_RETENTIOND_ROW\":[1]}}'\n",
            args.display()
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let log = AnchorLog::Journal(Journal {
            socket,
            programs: vec![program],
        });
        let head = AnchoredHead {
            state: "/var/lib/x\nMESSAGE=forged".to_owned(),
            origin: Some("0a".to_owned()),
            row: 7,
            head: "ab".to_owned(),
            ..AnchoredHead::default()
        };
        log.append(&head, DateTime::UNIX_EPOCH).unwrap();
        let mut sent = [0; 2000];
        let sent = listener
            .recv(&mut sent)
            .map(|length| String::from_utf8_lossy(&sent[..length]).into_owned());
        let sent = sent.unwrap();
        assert!(sent.contains(&format!("MESSAGE_ID={MESSAGE_ID}\n")), "{sent}");
        assert!(
            sent.contains("\nRDS_RETENTIOND_ROW=7\n") && !sent.contains("\nMESSAGE=forged"),
            "{sent}"
        );
        assert!(sent.contains("\nRDS_RETENTIOND_ORIGIN=0a\n"), "{sent}");
        let key = StateKey {
            places: vec![head.state.clone()],
            origin: head.origin.clone(),
        };
        let read = log.read(&key).unwrap();
        assert_eq!((read.len(), read[0].row, &read[0].head), (1, 7, &head.head));
        let asked = std::fs::read_to_string(args).unwrap();
        assert!(asked.contains("_UID=0") && asked.contains(MESSAGE_ID), "{asked}");
        assert!(
            asked.contains(&format!(" + MESSAGE_ID={MESSAGE_ID} RDS_RETENTIOND_ORIGIN=0a _UID=0")),
            "{asked}"
        );
    }

    #[test]
    fn a_file_keeps_the_heads_of_each_state_apart_and_a_line_that_was_cut_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let log = AnchorLog::File(dir.path().join("anchors"));
        let key = |place: &str, origin: Option<&str>| StateKey {
            places: vec![place.to_owned()],
            origin: origin.map(str::to_owned),
        };
        let at = |place: &str| log.read(&key(place, None)).unwrap();
        assert_eq!(at("a"), []);
        let head = |state: &str, row| AnchoredHead {
            state: state.to_owned(),
            row,
            head: "ab".to_owned(),
            ..AnchoredHead::default()
        };
        log.append(&head("a", 1), DateTime::UNIX_EPOCH).unwrap();
        log.append(&head("b", 2), DateTime::UNIX_EPOCH).unwrap();
        let AnchorLog::File(file) = &log else { panic!("a file") };
        OpenOptions::new()
            .append(true)
            .open(file)
            .unwrap()
            .write_all(b"{\"state\":\"a\",\n")
            .unwrap();
        log.append(&head("a", 3), DateTime::UNIX_EPOCH).unwrap();
        assert_eq!(at("a"), [head("a", 1), head("a", 3)]);
        assert!(AnchorLog::File(dir.path().to_owned()).read(&key("a", None)).is_err());
        // A copy elsewhere, a link to it, and another state.
        let copied = AnchoredHead {
            named: Some("link".to_owned()),
            origin: Some("0a".to_owned()),
            ..head("c", 4)
        };
        log.append(&copied, DateTime::UNIX_EPOCH).unwrap();
        assert_eq!(at("link"), std::slice::from_ref(&copied));
        assert_eq!(log.read(&key("d", Some("0a"))).unwrap(), [copied]);
        assert_eq!(log.read(&key("d", Some("0b"))).unwrap(), []);
    }
}
