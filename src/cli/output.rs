//! Prints without panicking when standard output is closed.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use super::Exit;

/// True once a write to standard output has failed, other than with a closed pipe.
static FAILED: AtomicBool = AtomicBool::new(false);

/// Prints a line to standard output. `ferrymq config show | head` closes the pipe early, which
/// is not an error; any other write error is, see [`ending`].
pub(super) fn say(text: impl Display) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush())
        && error.kind() != ErrorKind::BrokenPipe
        && !FAILED.swap(true, Ordering::Relaxed)
    {
        complain(&format_args!("cannot write the output: {error}"));
    }
}

/// The exit code after all output: success only if all of it was written.
pub(super) fn ending(exit: Exit) -> Exit {
    if exit == Exit::Ok && FAILED.load(Ordering::Relaxed) { Exit::Failure } else { exit }
}

/// Prints an error to standard error.
pub(super) fn complain(error: &dyn Display) {
    let _ = writeln!(std::io::stderr().lock(), "ferrymq: {error}");
}
