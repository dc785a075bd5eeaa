//! Printing that does not panic when nobody reads.

use std::fmt::Display;
use std::io::Write;

/// A line for the caller. `ferrymq config show | head` closes the pipe early, which
/// is no reason to fail.
pub(super) fn say(text: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// A line about what went wrong.
pub(super) fn complain(error: &dyn Display) {
    let _ = writeln!(std::io::stderr().lock(), "ferrymq: {error}");
}
