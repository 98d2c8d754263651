//! `init [FILE]`: writes an annotated configuration to begin with.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::args::{Global, InitArgs};
use super::exit;
use super::failure::{CommandResult, Failure};
use super::output::stdout::{Out, finish};
use crate::wording::remedies::{program, shell_word};

/// The shipped example is what a newcomer begins with.
const TEXT: &str = include_str!("../../config/config.yaml");

pub(super) fn init(args: &InitArgs, global: &Global) -> CommandResult {
    let file = args.file.as_deref().unwrap_or(&global.config);
    if file.as_os_str() == "-" {
        let mut out = Out::raw();
        let written = out.write_all(TEXT.as_bytes());
        return finish(out, written, exit::DONE);
    }
    write_new(file).map_err(|error| refusal(file, &error))?;
    let mut out = Out::table(global.color);
    let written = write!(out, "{}", next_steps(file));
    finish(out, written, exit::DONE)
}

/// Writes the whole file or none.
fn write_new(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    // It holds no secret, and the service's own user must be able to read what root wrote with a narrow umask.
    let written = file
        .set_permissions(Permissions::from_mode(0o644))
        .and_then(|()| file.write_all(TEXT.as_bytes()))
        .and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a configuration helps nobody; the first error is the one to show.
        let _ = std::fs::remove_file(path);
    }
    written
}

fn refusal(path: &Path, error: &io::Error) -> Failure {
    let file = path.display();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    match (error.kind(), parent) {
        (ErrorKind::AlreadyExists, _) => Failure::new(
            exit::USAGE,
            format!(
                "{file} is there already and was not touched; name another file, or look at the text with `rds-retentiond init -`"
            ),
        ),
        (ErrorKind::NotFound, Some(parent)) => {
            let parent = parent.to_string_lossy();
            let message = format!(
                "{file}: directory {parent} not found; make it first: mkdir -p {}",
                shell_word(&parent)
            );
            Failure::new(exit::USAGE, message)
        }
        (ErrorKind::PermissionDenied, _) => Failure::new(
            exit::NOT_ALLOWED,
            format!("{file}: permission denied; run it as a user who may write there, or name another file"),
        ),
        _ => Failure::new(exit::UNDONE, format!("{file}: {error}; nothing was written")),
    }
}

fn next_steps(path: &Path) -> String {
    let (file, program) = (path.display(), program(path));
    format!(
        "{file}: written. Its policy is a dry run: nothing is deleted.\n\n\
         Edit the lines marked EDIT (`state_dir` too, unless root or the service runs it), then:\n  \
         {program} check            is it valid?\n  \
         {program} check --online   do the credentials work?\n  \
         {program} plan             what would go, and why\n"
    )
}
