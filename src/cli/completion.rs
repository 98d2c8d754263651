//! What a shell offers after Tab: commands and flags from the command line's definition, names and ids from the configuration and the
//! state.
//!
//! The script that `completions` prints calls this program with [`VARIABLE`] set, for every Tab. What cannot be read then is not
//! offered, without a word: nobody reads an error there.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::PathBuf;

use clap::builder::StyledStr;
use clap::{Arg, CommandFactory as _, ValueHint};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Zsh};
use clap_complete::{CompleteEnv, Shell};

use super::args::{Cli, DEFAULT_CONFIG, in_groups};
use super::context::{self, environment};
use crate::config::{self, Config};
use crate::ledger::{Access, Ledger, RunFilter};
use crate::retention::report::RunResult;
use crate::run;
use crate::wording::numbers::count;
use crate::wording::sanitize::clean;
use crate::wording::times::zoned;

const PROGRAM: &str = env!("CARGO_PKG_NAME");
/// In the environment of a call that asks what may come next; the value is the shell.
const VARIABLE: &str = "RDS_RETENTIOND_COMPLETE";
/// At most so many of a kind are offered.
const MOST: usize = 500;

/// Answers a shell that asks what may come next; `false` where none does.
pub fn answer() -> bool {
    let is_asked = std::env::var_os(VARIABLE).is_some_and(|shell| !shell.is_empty());
    is_asked && {
        let directory = std::env::current_dir().ok();
        let completer = CompleteEnv::with_factory(command).var(VARIABLE);
        // What went wrong would only disturb the line that is being typed.
        completer
            .try_complete(std::env::args_os(), directory.as_deref())
            .unwrap_or(true)
    }
}

/// Writes the script that makes a shell ask.
pub fn script(shell: Shell, out: &mut dyn Write) -> io::Result<()> {
    let shells: [(&Shell, &dyn EnvCompleter); 5] = [
        (&Shell::Bash, &Bash),
        (&Shell::Elvish, &Elvish),
        (&Shell::Fish, &Fish),
        (&Shell::PowerShell, &Powershell),
        (&Shell::Zsh, &Zsh),
    ];
    if shell == Shell::Bash {
        let mut text = Vec::new();
        Bash.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut text)?;
        return out.write_all(joined_at_equals(&String::from_utf8_lossy(&text)).as_bytes());
    }
    for (_, completer) in shells.iter().filter(|(name, _)| **name == shell) {
        completer.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, out)?;
    }
    if shell == Shell::Zsh {
        // As a file of `fpath` it is loaded by the first Tab, which wants its answer from it.
        let name = PROGRAM.replace('-', "_");
        writeln!(
            out,
            "[ \"$funcstack[1]\" = _{PROGRAM} ] && _clap_dynamic_completer_{name} \"$@\"\n:"
        )?;
    }
    Ok(())
}

/// Bash takes `--flag=value` apart into three words and puts in place of the last one what is offered.
fn joined_at_equals(script: &str) -> String {
    let (split, joined) = (
        "    local words=(\"${COMP_WORDS[@]}\")\n    if [[ \"${BASH_VERSINFO[0]}\" -ge 4 ]]; then\n        words[COMP_CWORD]=\"$2\"\n    fi\n",
        include_str!("completion_words.bash"),
    );
    let offered = "    if [[ $? != 0 ]]; then\n        unset COMPREPLY\n";
    let asked = script.replacen(split, joined, 1);
    // What is offered for a value is the whole of `--flag=value`.
    let cut = "    else\n        COMPREPLY=(\"${COMPREPLY[@]#\"$_CLAP_BEFORE\"}\")\n    fi\n    if [[ ${COMPREPLY+set} != set ]]; then\n        :\n";
    asked.replacen(offered, &format!("{offered}{cut}"), 1)
}

/// The command line, where each argument knows what it may be.
fn command() -> clap::Command {
    let mut command = in_groups(Cli::command());
    let names: Vec<String> = command
        .get_subcommands()
        .map(|inner| inner.get_name().to_owned())
        .collect();
    for name in &names {
        let at = name.clone();
        command = command.mut_subcommand(name, move |inner| inner.mut_args(|argument| completed(&at, argument)));
    }
    command.mut_args(|argument| completed("", argument))
}

fn completed(command: &str, argument: Arg) -> Arg {
    let values = match (command, argument.get_id().as_str()) {
        (_, "policies") | ("approve" | "history", "policy") => ArgValueCandidates::new(policies),
        ("plan" | "hold", "instance") | ("approve", "listing") => ArgValueCandidates::new(instances),
        ("approve", "plan") => ArgValueCandidates::new(refused_plans),
        ("release", "id") => ArgValueCandidates::new(holds),
        ("thaw", "id") => ArgValueCandidates::new(freezes),
        ("history", "run") => ArgValueCandidates::new(runs),
        _ => {
            let hint = match argument.get_value_names() {
                Some([name]) if name == "FILE" => ValueHint::FilePath,
                Some([name]) if name == "DIR" => ValueHint::DirPath,
                _ => return argument,
            };
            return argument.value_hint(hint);
        }
    };
    argument.add(values)
}

/// The configuration that the line names so far.
fn configuration() -> Option<Config> {
    let words: Vec<OsString> = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
    let of_line = words
        .iter()
        .enumerate()
        .find_map(|(at, word)| match word.to_str()?.strip_prefix("--config")? {
            "" => words.get(at + 1).cloned(),
            value => value.strip_prefix('=').map(OsString::from),
        });
    let file = of_line.or_else(|| std::env::var_os("RDS_RETENTIOND_CONFIG").filter(|file| !file.is_empty()));
    let file = file.unwrap_or_else(|| DEFAULT_CONFIG.into());
    config::load(&PathBuf::from(file), &environment(false)).ok()
}

/// What of the state a Tab is about, with what is said beside each.
fn of_state<T>(read: impl FnOnce(&Ledger, &Config) -> Option<T>) -> Option<T> {
    let config = configuration()?;
    let ledger = Ledger::open(run::state_of(&config), Access::ReadOnly, crate::clock::now()).ok()?;
    read(&ledger, &config)
}

fn offered<S: AsRef<OsStr>>(value: S, help: &str) -> CompletionCandidate {
    let help = clean(help).into_owned();
    CompletionCandidate::new(value.as_ref()).help((!help.is_empty()).then(|| StyledStr::from(help)))
}

fn policies() -> Vec<CompletionCandidate> {
    let config = configuration();
    let names = config.iter().flat_map(|config| &config.policies);
    names.map(|entry| offered(entry.policy.name.as_str(), "")).collect()
}

fn instances() -> Vec<CompletionCandidate> {
    let found = of_state(|ledger, config| {
        let of = |name| ledger.seen_instances(name).ok();
        let seen = config.projects.iter().filter_map(|project| of(&project.name)).flatten();
        // A shell puts what is offered on its command line as it is, and the cloud chose it.
        let is_plain = |id: &str| {
            id.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        let seen = seen.filter(|seen| is_plain(seen.instance.id.as_str()));
        let one = |seen: crate::ledger::SeenInstance| offered(seen.instance.id.as_str(), &seen.instance.name);
        Some(seen.take(MOST).map(one).collect())
    });
    found.unwrap_or_default()
}

fn refused_plans() -> Vec<CompletionCandidate> {
    let found = of_state(|ledger, config| {
        let now = crate::clock::now();
        let plans = config.policies.iter().filter_map(|entry| {
            let plans = ledger.refused_plans(&entry.policy.name).ok()?;
            let plans = plans.into_iter().filter(|plan| plan.is_approvable(now));
            let help = |ids: usize| {
                format!(
                    "{}: {}",
                    entry.policy.name,
                    count(u64::try_from(ids).unwrap_or(u64::MAX), "deletion")
                )
            };
            Some(
                plans
                    .map(|plan| offered(&plan.digest, &help(plan.backups.len())))
                    .collect::<Vec<_>>(),
            )
        });
        Some(plans.flatten().collect())
    });
    found.unwrap_or_default()
}

fn holds() -> Vec<CompletionCandidate> {
    let found = of_state(|ledger, _| {
        let now = crate::clock::now();
        let placed = ledger
            .holds()
            .ok()?
            .into_iter()
            .filter(|placed| placed.is_active(now))
            .take(MOST);
        let one = |placed: crate::ledger::PlacedHold| Some(offered(placed.hold.id.as_ref()?, &placed.hold.reason));
        Some(placed.filter_map(one).collect())
    });
    found.unwrap_or_default()
}

fn freezes() -> Vec<CompletionCandidate> {
    let found = of_state(|ledger, _| {
        let placed = ledger.freezes().ok()?.into_iter();
        Some(
            placed
                .map(|placed| offered(&placed.id, &placed.freeze.reason))
                .collect(),
        )
    });
    found.unwrap_or_default()
}

fn runs() -> Vec<CompletionCandidate> {
    let filter = RunFilter {
        policy: None,
        limit: Some(20),
    };
    let found = of_state(|ledger, config| {
        let one = |run: crate::ledger::RunRow| {
            let result = run.result.map_or("", RunResult::as_str);
            offered(
                &run.run,
                &format!(
                    "{} {} {result}",
                    zoned(run.started_at, context::zone_of_policy(config, &run.policy)),
                    run.policy
                ),
            )
        };
        Some(ledger.runs(&filter).ok()?.into_iter().map(one).collect())
    });
    found.unwrap_or_default()
}
