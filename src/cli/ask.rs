//! Asking a person at the terminal.

use std::io::{self, BufRead as _, Write as _};

use super::exit;
use super::failure::Failure;

/// Shows the question; whether the answer is yes.
pub(super) fn is_confirmed(question: &str) -> Result<bool, Failure> {
    let failed = |error: io::Error| Failure::new(exit::UNDONE, format!("the terminal: {error}"));
    let mut terminal = io::stderr().lock();
    terminal
        .write_all(question.as_bytes())
        .and_then(|()| terminal.flush())
        .map_err(failed)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}
