//! Log lines on standard error, as text or JSON.
//!
//! All of them pass one gate: `telemetry.level`, which can be changed while the broker runs,
//! and the limit of similar lines. This module assembles them; the content of an event is
//! defined where it is logged.

mod gate;
mod json;
mod level;
mod limit;
mod text;

use std::io::IsTerminal;
use std::sync::Arc;

use thiserror::Error;
use tracing::Subscriber;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer, Registry};

use crate::config::{LOG_LEVELS, LogFormat, Telemetry};
use gate::Gate;
pub use level::{LogLevel, NewLevel};
pub use limit::{AUDIT, LogLimit};

/// Another consumer of logged events, behind the same gate: a layer of which only `on_event`
/// is called, and which has no filter around it.
pub type EventLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Why logging could not be started or changed.
#[derive(Debug, Error)]
pub enum LogError {
    /// `telemetry.level` is invalid.
    #[error("found \"{0}\", expected {LOG_LEVELS}")]
    Level(String),
    /// Logging has been set up already in this process.
    #[error("cannot start logging: {0}")]
    Taken(String),
}

/// Number of lines that wait to be written. If the reader of standard error has stopped, later
/// lines are lost and nothing waits for it. A line has about 200 bytes, or a few times 1,024
/// at worst, where values are truncated: 1 to 16 MiB in total.
const WAITING_LINES: usize = 4096;

/// A handle to the logs of a running broker.
#[derive(Debug, Clone)]
pub struct Logs {
    /// Which events are logged.
    pub level: LogLevel,
    /// The limit of similar lines.
    pub limit: Arc<LogLimit>,
    /// The thread that writes. When the last handle is dropped, it has a second to finish.
    writer: Option<Arc<WorkerGuard>>,
}

/// Starts logging to standard error and to `layers`.
///
/// # Errors
/// The level is invalid, or logging was started before.
pub fn init(config: &Telemetry, layers: Vec<EventLayer>) -> Result<Logs, LogError> {
    let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (lines, writer) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING_LINES)
        .thread_name("ferrymq-log")
        .finish(std::io::stderr());
    let lost = lines.error_counter();
    let (subscriber, mut logs) = compose(config, ansi, lines, layers)?;
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|error| LogError::Taken(error.to_string()))?;
    logs.limit.watch(lost);
    logs.writer = Some(Arc::new(writer));
    Ok(logs)
}

fn compose<W>(
    config: &Telemetry,
    ansi: bool,
    writer: W,
    mut layers: Vec<EventLayer>,
) -> Result<(impl Subscriber + Send + Sync, Logs), LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, level) = LogLevel::new(&config.level)?;
    let limit = Arc::new(LogLimit::new(config.log_limit));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(ansi)
        // The reader of the log may be gone, or its volume full: that must not cause a panic,
        // and cannot be reported on standard error.
        .log_internal_errors(false);
    layers.push(match config.format {
        LogFormat::Text => lines.fmt_fields(text::fields()).boxed(),
        LogFormat::Json => lines.event_format(json::Json).boxed(),
    });
    let gate = Gate::new(layers, Arc::clone(&limit));
    let subscriber = tracing_subscriber::registry().with(gate.with_filter(filter));
    Ok((subscriber, Logs { level, limit, writer: None }))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
