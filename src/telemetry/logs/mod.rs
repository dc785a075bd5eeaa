//! Log lines on standard error, for people or machines.
//!
//! One gate stands before all of them: `telemetry.level`, which can be changed while the
//! broker runs, and the limit of similar lines. Here is how they are put together; what
//! an event says is the business of whoever logs it.

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
pub use level::LogLevel;
pub use limit::{AUDIT, LogLimit};

/// Whatever else takes the events that are logged, behind the same gate: a layer of which
/// only `on_event` is called, and which has no filter of its own around it.
pub type EventLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Why there are no logs.
#[derive(Debug, Error)]
pub enum LogError {
    /// `telemetry.level` is none.
    #[error("found \"{0}\", expected {LOG_LEVELS}")]
    Level(String),
    /// Somebody else in this process has set up logging.
    #[error("cannot start logging: {0}")]
    Taken(String),
}

/// Lines that wait to be written. Whoever reads standard error may have stopped: what comes
/// then is lost, and nobody waits for it. A line has some 200 bytes, and a few times 1,024,
/// where values are cut off, at the worst: 1 to 16 MiB.
const WAITING_LINES: usize = 4096;

/// What can be done with the logs of a running broker.
#[derive(Debug, Clone)]
pub struct Logs {
    /// Which events are logged.
    pub level: LogLevel,
    /// How many similar lines.
    pub limit: Arc<LogLimit>,
    /// The thread that writes. When the last handle is dropped, it has a second to finish.
    writer: Option<Arc<WorkerGuard>>,
}

/// From here on everything that is logged is written, and given to `layers`.
///
/// # Errors
/// The level means nothing, or logging was started before.
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
        // Whoever reads the log may be gone, or its volume full: that is no reason to
        // panic, and standard error is no place to say so.
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
