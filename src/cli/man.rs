//! The man page and the shells' completions, both made from the one definition of the command line.

use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use super::args::Cli;

/// What a man page says beside the commands.
const FILES: &str = r"
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

/// Writes a completion script.
pub fn completions(shell: Shell, out: &mut dyn Write) -> io::Result<()> {
    // `generate` panics when its writer fails, as `| head` makes it do; a Vec does not.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "rds-retentiond", &mut script);
    out.write_all(&script)
}

/// Writes one page with all commands.
pub fn page(out: &mut dyn Write) -> io::Result<()> {
    let mut root = Cli::command();
    root.build();
    let man = Man::new(root.clone());
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    writeln!(out, ".SH COMMANDS")?;
    for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        command_sections(command, command.get_name(), out)?;
    }
    man.render_extra_section(out)?;
    out.write_all(FILES.as_bytes())?;
    man.render_version_section(out)
}

/// A command's part of the page: its sections, one level down.
fn command_sections(command: &clap::Command, path: &str, out: &mut dyn Write) -> io::Result<()> {
    // The flags of every command stand once, at the top of the page.
    let hide = |arg: clap::Arg| {
        let hidden = arg.is_global_set() || arg.get_id() == "help";
        arg.hide(hidden)
    };
    let man = Man::new(command.clone().mut_args(hide));
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

/// Writes a page for every command into a directory, which must exist.
pub fn pages(dir: &Path) -> io::Result<()> {
    clap_mangen::generate_to(Cli::command(), dir)
}
