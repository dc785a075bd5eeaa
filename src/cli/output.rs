//! Prints without panicking when standard output is closed.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use super::Exit;

/// What was to be said found no room, or no disk.
static FAILED: AtomicBool = AtomicBool::new(false);

/// A line for the caller. `ferrymq config show | head` closes the pipe early, which
/// is no reason to fail; any other error is, see [`ending`].
pub(super) fn say(text: impl Display) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush())
        && error.kind() != ErrorKind::BrokenPipe
        && !FAILED.swap(true, Ordering::Relaxed)
    {
        complain(&format_args!("cannot write the output: {error}"));
    }
}

/// How the process ends after all that was said: success only if it was heard.
pub(super) fn ending(exit: Exit) -> Exit {
    if exit == Exit::Ok && FAILED.load(Ordering::Relaxed) { Exit::Failure } else { exit }
}

/// A line about what went wrong.
pub(super) fn complain(error: &dyn Display) {
    let _ = writeln!(std::io::stderr().lock(), "ferrymq: {error}");
}
