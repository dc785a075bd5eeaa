//! Ctrl-C for commands without a runtime: they check a flag between two steps.

use std::io;

use super::stop::stop_signal;
use crate::load::Stop;

/// Returns a flag that is set at SIGINT or SIGTERM. From now on these signals no longer end
/// the process by themselves.
///
/// # Errors
/// The system refuses a thread or the handlers.
pub(super) fn stop_on_signal() -> io::Result<Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let told = {
        let _context = runtime.enter();
        stop_signal()?
    };
    let stop = Stop::default();
    let flag = stop.clone();
    std::thread::Builder::new().name("ferrymq-signals".to_owned()).spawn(move || {
        runtime.block_on(told);
        flag.set();
    })?;
    Ok(stop)
}
