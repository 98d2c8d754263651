//! What lies where a configuration should and is no regular file.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use rds_retentiond::config::{Environment, load};

use super::{MINIMAL, directory, load_in, one_lines};

/// A named pipe with somebody who writes into it as soon as somebody reads.
struct Pipe(PathBuf, Option<std::thread::JoinHandle<std::io::Result<()>>>);

impl Pipe {
    fn new(path: PathBuf, text: String) -> Self {
        let made = Command::new("mkfifo").arg("-m").arg("600").arg(&path).status().unwrap();
        assert!(made.success());
        let writer = std::thread::spawn({
            let path = path.clone();
            move || fs::write(path, text)
        });
        Self(path, Some(writer))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // Open for both, a pipe does not wait: and lets go the writer, whom nobody may have read.
        let _both = fs::File::options().read(true).write(true).open(&self.0);
        self.1.take().map(std::thread::JoinHandle::join);
    }
}

/// Opening a pipe waits for a writer: somebody's `mkfifo` in policies.d would stop the daemon's reload for ever.
#[test]
fn what_is_no_regular_file_is_refused_and_not_opened() {
    let policies = "policies: [{name: of-the-pipe, mode: dry-run, keep: {last: 1}}]\n";
    let dir = directory(&[
        ("config.yaml", format!("{MINIMAL}include: [\"d/*\"]\n").as_bytes()),
        ("d/good.yaml", policies.replace("of-the-pipe", "good").as_bytes()),
    ]);
    let _pipe = Pipe::new(dir.path().join("d/a-pipe.yaml"), policies.to_owned());
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("d/b-socket.yaml")).unwrap();
    symlink("/dev/null", dir.path().join("d/c-device.yaml")).unwrap();
    fs::create_dir(dir.path().join("d/d-directory.yaml")).unwrap();
    let hint = "name a regular file; `include` names it";
    assert_eq!(
        one_lines(&dir, &load_in(&dir).unwrap_err()),
        [
            format!("d/a-pipe.yaml: is a pipe; {hint}"),
            format!("d/b-socket.yaml: is a socket; {hint}"),
            format!("d/c-device.yaml: is a device; {hint}"),
            "d/d-directory.yaml: is a directory; name a file in it; `include` names it".to_owned(),
        ]
    );
    let main = Pipe::new(dir.path().join("main.yaml"), MINIMAL.to_owned());
    let problems = load(&main.0, &Environment::default()).unwrap_err();
    assert_eq!(
        one_lines(&dir, &problems),
        [
            "main.yaml: is a pipe; name a regular file; `--config FILE` names another, `init` writes one, and `demo` needs none"
        ]
    );
}

/// What the caller opened and handed over is another thing: `sops -d config.yaml | rds-retentiond --config /dev/stdin check`.
#[test]
fn a_pipe_that_the_caller_hands_over_is_read() {
    let program = env!("CARGO_BIN_EXE_rds-retentiond");
    let dir = directory(&[("config.yaml", MINIMAL.as_bytes())]);
    for name in ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"] {
        let line = format!("cat config.yaml | {program} --config {name} check");
        let ran = Command::new("sh")
            .arg("-c")
            .arg(line)
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
    }
}
