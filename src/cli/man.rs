//! The man pages, made from the definition of the command line.

use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use clap_mangen::Man;

use super::args::Cli;

/// When the text of the pages was last looked through; readers of manuals expect a date, and one of the build would make
/// two builds differ.
const DATE: &str = "2026-11-26";

/// What a man page says beside the commands.
const FILES: &str = r"
.SH EXIT STATUS
.TP
\fB0\fR
Done, also when there was nothing to do.
.TP
\fB1\fR
Something was left undone.
.TP
\fB3\fR
A guard refused.
.TP
\fB64\fR
Usage.
.TP
\fB69\fR
The API cannot be reached, or an address cannot be listened on.
.TP
\fB75\fR
Another process runs on this state.
.TP
\fB77\fR
Not allowed.
.TP
\fB78\fR
Configuration.
.PP
Of several, the first in 78 77 69 3 1.
.SH ENVIRONMENT
.TP
\fBRDS_RETENTIOND_CONFIG\fR
The configuration file, where \fB\-\-config\fR is not given.
.TP
\fBRDS_RETENTIOND_LOG\fR, \fBRDS_RETENTIOND_LOG_FORMAT\fR
The same as \fB\-\-log\-level\fR and \fB\-\-log\-format\fR.
.TP
\fBHUAWEICLOUD_SDK_AK\fR, \fBHUAWEICLOUD_SDK_SK\fR, \fBHUAWEICLOUD_SDK_SECURITY_TOKEN\fR
Credentials, where the configuration says so.
.TP
\fBNO_COLOR\fR
No colour.
.SH FILES
.TP
\fI/etc/rds\-retentiond/config.yaml\fR
The configuration.
.TP
\fI/var/lib/rds\-retentiond\fR
The state: the ledger.
";

/// A page of this program's manual.
fn man(command: clap::Command, name: &str) -> Man {
    Man::new(command)
        .title(name.to_uppercase())
        .date(DATE)
        .source(concat!("rds-retentiond ", env!("CARGO_PKG_VERSION")))
        .manual("rds-retentiond")
}

/// Writes one page with all commands.
pub fn page(out: &mut dyn Write) -> io::Result<()> {
    // A page is made where the package is built: what that machine has of zoneinfo does not matter.
    let mut root = Cli::command().long_version(None::<&str>);
    root.build();
    let man = man(root.clone(), "rds-retentiond");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    writeln!(page, ".SH COMMANDS")?;
    for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        command_sections(command, command.get_name(), &mut page)?;
    }
    man.render_extra_section(&mut page)?;
    page.write_all(FILES.as_bytes())?;
    man.render_version_section(&mut page)?;
    out.write_all(tidied(&page).as_bytes())
}

/// Without what `clap_mangen` leaves behind: blanks at the ends of lines, paragraphs with nothing in them, breaks beside blank
/// lines.
fn tidied(page: &[u8]) -> String {
    let page = String::from_utf8_lossy(page);
    let lines: Vec<&str> = page.lines().map(str::trim_end).collect();
    let is_idle = |place: usize| {
        let next = lines.get(place + 1).copied().unwrap_or_default();
        let before = place.checked_sub(1).and_then(|before| lines.get(before)).copied();
        match lines[place] {
            ".PP" => [".PP", ".TP", ".SS", ".SH"]
                .iter()
                .any(|opener| next.starts_with(opener)),
            // A blank line is one, too.
            ".br" => next.is_empty() || before == Some(""),
            _ => false,
        }
    };
    let kept = (0..lines.len()).filter(|place| !is_idle(*place));
    kept.map(|place| lines[place]).collect::<Vec<_>>().join("\n") + "\n"
}

/// A command's part of the page: its sections, one level down.
fn command_sections(command: &clap::Command, path: &str, out: &mut dyn Write) -> io::Result<()> {
    // The flags of every command stand once, at the top of the page.
    let hide = |arg: clap::Arg| {
        let hidden = arg.is_global_set() || arg.get_id() == "help";
        arg.hide(hidden)
    };
    let man = man(command.clone().mut_args(hide), path);
    let mut sections = Vec::new();
    man.render_description_section(&mut sections)?;
    if command
        .get_arguments()
        .any(|arg| !arg.is_global_set() && arg.get_id() != "help")
    {
        man.render_options_section(&mut sections)?;
    }
    man.render_extra_section(&mut sections)?;
    writeln!(out, ".SS \"{path}\"")?;
    for line in String::from_utf8_lossy(&sections).lines() {
        match line {
            // The text speaks for itself, and so do the examples, whose section clap_mangen calls "extra".
            ".SH DESCRIPTION" => {}
            ".SH EXTRA" => writeln!(out, ".PP")?,
            _ => match line.strip_prefix(".SH ") {
                Some(title) => writeln!(out, ".PP\n\\fB{}\\fR\n.PP", title.trim_matches('"'))?,
                None => writeln!(out, "{line}")?,
            },
        }
    }
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        command_sections(inner, &format!("{path} {}", inner.get_name()), out)?;
    }
    Ok(())
}

/// Writes a page for every command into a directory, which is made where it is missing.
pub fn pages(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    pages_of(&root, "rds-retentiond", dir)
}

fn pages_of(command: &clap::Command, name: &str, dir: &Path) -> io::Result<()> {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        pages_of(inner, &format!("{name}-{}", inner.get_name()), dir)?;
    }
    let mut page = Vec::new();
    man(command.clone(), name).render(&mut page)?;
    std::fs::write(dir.join(format!("{name}.1")), tidied(&page))
}
