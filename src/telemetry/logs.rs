//! Log lines on standard error, for people or for machines.

use std::io::IsTerminal;

use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{LogFormat, Telemetry};

/// Why there are no logs.
#[derive(Debug, Error)]
pub enum LogError {
    /// `telemetry.level` is none.
    #[error("telemetry.level: {0}")]
    Level(String),
    /// Somebody else in this process has set up logging.
    #[error("cannot start logging: {0}")]
    Taken(String),
}

/// From here on everything that is logged is written.
///
/// # Errors
/// The level means nothing, or logging was started before.
pub fn init(config: &Telemetry) -> Result<(), LogError> {
    let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber = subscriber(config, ansi, std::io::stderr)?;
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|error| LogError::Taken(error.to_string()))
}

fn subscriber<W>(
    config: &Telemetry,
    ansi: bool,
    writer: W,
) -> Result<Box<dyn tracing::Subscriber + Send + Sync>, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter =
        EnvFilter::try_new(&config.level).map_err(|error| LogError::Level(error.to_string()))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(ansi)
        // Whoever reads the log may be gone, or its volume full: that is no reason to
        // panic, and standard error is no place to say so.
        .log_internal_errors(false);
    Ok(match config.format {
        LogFormat::Text => Box::new(builder.finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).finish()),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: &str, format: LogFormat) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let config = Telemetry { level: level.to_owned(), format };
        let subscriber = subscriber(&config, false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(listener = "tcp", "listening");
            tracing::debug!("details");
        });
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn text_is_one_plain_line_for_each_event_of_the_level() {
        let text = logged("info", LogFormat::Text);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("INFO") && text.ends_with("listening listener=\"tcp\"\n"), "{text}");
        assert!(!text.contains('\u{1b}'), "no colours in a file");
        assert_eq!(logged("off", LogFormat::Text), "");
        assert_eq!(logged("error,ferrymq=debug", LogFormat::Text).lines().count(), 2);
    }

    #[test]
    fn json_is_one_object_for_each_event() {
        let text = logged("info", LogFormat::Json);
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event.get("message").unwrap(), "listening");
        assert_eq!(event.get("listener").unwrap(), "tcp");
        assert_eq!(event.get("level").unwrap(), "INFO");
    }
}
