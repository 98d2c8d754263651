//! `state`: what a person decides about the state as a whole.

use super::args::{Global, StateArgs, StateWhat};
use super::failure::CommandResult;
use super::operator::{Operator, say};
use super::{context, exit};
use crate::operations::audit as operation;
use crate::wording::numbers::count;

pub(super) fn state(args: &StateArgs, global: &Global) -> CommandResult {
    let StateWhat::AcceptRewind { reason } = &args.what;
    let config = context::configuration(global)?;
    let operator = Operator::of(Some(&config));
    let (missing, state) = operation::accept_rewind(&config, operator.actor(reason.as_deref()), crate::clock::now())?;
    let state = state.display();
    let text = match missing {
        0 => format!("{state} contains every anchored head: there is nothing to accept"),
        missing => format!(
            "{state} is accepted as it is, without {}; a daemon goes on by itself",
            count(missing as u64, "anchored head")
        ),
    };
    say(global, &text, exit::DONE)
}
