//! SIGTERM and SIGINT as a request to stop.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

/// Resolves at SIGTERM or SIGINT. Signals count from this call on, not from the first poll, so
/// one that arrives while the broker starts is not lost.
///
/// # Errors
/// The system refuses the handlers.
pub fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        info!("{name}: shutting down");
    })
}
