//! `schema`: the JSON Schema of the configuration, for editors.

use std::io::Write as _;

use super::args::{Global, SchemaArgs};
use super::exit;
use super::failure::CommandResult;
use super::output::stdout::{Out, finish};
use crate::config;

pub(super) fn schema(args: SchemaArgs, _global: &Global) -> CommandResult {
    let schema = if args.included {
        config::included_schema()
    } else {
        config::schema()
    };
    let mut out = Out::raw();
    // `{:#}` of a JSON value is its indented form: people look at it, too.
    let written = writeln!(out, "{schema:#}");
    finish(out, written, exit::DONE)
}
