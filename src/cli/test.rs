//! `test FILE…`: policies checked against examples. No network, credentials or state.

use std::path::Path;
use std::sync::Arc;

use super::args::{Global, TestArgs, TestFormat};
use super::failure::{CommandResult, Failure};
use super::output::stdout::{Out, finish, note};
use super::output::{junit, policy_test};
use super::{context, exit};
use crate::config::Config;
use crate::config::policy_test::TestFile;
use crate::operations::policy_test::{self as operation, TestOutcome};

pub(super) fn test(args: &TestArgs, global: &Global) -> CommandResult {
    // All files are read before the first test runs: what is bad in one is not missed below the results of another.
    let files = args.files.iter().map(|path| open(path));
    let files = files.collect::<Result<Vec<_>, Failure>>()?;
    let mut outcomes: Vec<TestOutcome> = Vec::new();
    for (file, config) in &files {
        outcomes.extend(operation::run(file, config)?);
    }
    let code = if outcomes.iter().all(TestOutcome::passes) {
        exit::DONE
    } else {
        exit::UNDONE
    };
    let mut out = match args.format {
        TestFormat::Table => Out::table(global.color),
        TestFormat::Json | TestFormat::Junit => Out::raw(),
    };
    let written = match args.format {
        TestFormat::Table => {
            let theme = out.theme(global);
            policy_test::draw(&mut out, &theme, &outcomes, args.all)
        }
        TestFormat::Json => policy_test::write_json(&mut out, &outcomes),
        TestFormat::Junit => junit::write(&mut out, &outcomes),
    };
    finish(out, written, code)
}

fn open(path: &Path) -> Result<(TestFile, Arc<Config>), Failure> {
    let file = TestFile::read(path)?;
    if file.tests.is_empty() {
        let message = format!("{}: `tests` is empty, so nothing would be checked", path.display());
        return Err(Failure::new(exit::USAGE, message));
    }
    // Not this service's: no service manager has a say in it, and who may write it only matters to what deletes.
    let config = context::load_other(&file.policies)?;
    for foreign in &config.foreign {
        note(&format!("warning: {}", foreign.one_line()));
    }
    Ok((file, config))
}
