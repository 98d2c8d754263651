//! An error with its causes, as the log, the command line and JSON say it.

use std::error::Error;

/// The error and all its causes in one line; a cause that only repeats the end of what stands before it is left out.
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}
