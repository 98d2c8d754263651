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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchoredHead {
    /// The state's path, or its database.
    pub state: String,
    /// The row's number.
    pub row: i64,
    /// Its hash.
    pub head: String,
}

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
        let text = format!(
            "MESSAGE_ID={MESSAGE_ID}\nPRIORITY=6\nSYSLOG_IDENTIFIER={name}\n\
             MESSAGE=the audit chain of {state} has reached row {row}, head {hash}\n\
             RDS_RETENTIOND_STATE={state}\nRDS_RETENTIOND_ROW={row}\nRDS_RETENTIOND_HEAD={hash}\n",
            name = env!("CARGO_PKG_NAME"),
            state = plain(&head.state),
            row = head.row,
            hash = head.head
        );
        UnixDatagram::unbound()?.send_to(text.as_bytes(), &self.socket)?;
        Ok(())
    }

    /// Only what root or the state's owner wrote: anybody may write to the journal.
    fn read(&self, state: &str) -> io::Result<Vec<AnchoredHead>> {
        let program = self
            .program()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no journalctl"))?;
        let mut owners = vec![0, rustix::process::getuid().as_raw()];
        owners.extend(std::fs::metadata(state).ok().map(|state| state.uid()));
        let mut command = Command::new(program);
        command
            .args(["--no-pager", "--quiet", "--reverse", "--output=json", "--lines"])
            .arg(MOST.to_string())
            .arg(format!("MESSAGE_ID={MESSAGE_ID}"))
            .arg(format!("RDS_RETENTIOND_STATE={}", plain(state)))
            .args(owners.iter().map(|uid| format!("_UID={uid}")))
            .env_clear();
        let mut heads: Vec<AnchoredHead> = lines_of(&mut command)?
            .iter()
            .filter_map(|line| serde_json::from_str::<JournalEntry>(line).ok())
            .filter_map(|entry| {
                Some(AnchoredHead {
                    state: state.to_owned(),
                    row: entry.row.parse().ok()?,
                    head: entry.head,
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
    pub fn read(&self, state: &str) -> io::Result<Vec<AnchoredHead>> {
        match self {
            Self::Journal(journal) => journal.read(state),
            Self::File(file) => read_file(file, state),
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

fn read_file(file: &Path, state: &str) -> io::Result<Vec<AnchoredHead>> {
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
        if head.state == state {
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
            row: 7,
            head: "ab".to_owned(),
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
        assert_eq!(log.read(&head.state).unwrap(), std::slice::from_ref(&head));
        let asked = std::fs::read_to_string(args).unwrap();
        assert!(asked.contains("_UID=0") && asked.contains(MESSAGE_ID), "{asked}");
    }

    #[test]
    fn a_file_keeps_the_heads_of_each_state_apart_and_a_line_that_was_cut_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let log = AnchorLog::File(dir.path().join("anchors"));
        assert_eq!(log.read("a").unwrap(), []);
        let head = |state: &str, row| AnchoredHead {
            state: state.to_owned(),
            row,
            head: "ab".to_owned(),
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
        assert_eq!(log.read("a").unwrap(), [head("a", 1), head("a", 3)]);
        assert!(AnchorLog::File(dir.path().to_owned()).read("a").is_err());
    }
}
