//! `telemetry.level`, which can be changed while the broker runs.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing_subscriber::{EnvFilter, Registry, reload};

use super::LogError;
use crate::config::is_log_level;

/// A handle to the log level; clones share it.
#[derive(Clone)]
pub struct LogLevel {
    filter: reload::Handle<EnvFilter, Registry>,
    /// The text of the level; the filter does not provide it.
    text: Arc<Mutex<String>>,
}

/// A level that is valid and not yet set.
pub struct NewLevel {
    filter: EnvFilter,
    text: String,
}

impl NewLevel {
    /// A level in the form of `telemetry.level`.
    ///
    /// # Errors
    /// [`LogError::Level`]: it is invalid.
    pub fn of(level: &str) -> Result<Self, LogError> {
        Ok(Self { filter: parse(level)?, text: level.to_owned() })
    }
}

impl LogLevel {
    pub(super) fn new(level: &str) -> Result<(reload::Layer<EnvFilter, Registry>, Self), LogError> {
        let (layer, filter) = reload::Layer::new(parse(level)?);
        Ok((layer, Self { filter, text: Arc::new(Mutex::new(level.to_owned())) }))
    }

    /// A level that no log has.
    #[cfg(test)]
    pub(crate) fn unattached(level: &str) -> Self {
        Self::new(level).unwrap().1
    }

    /// The current level, in the form of `telemetry.level`.
    pub fn get(&self) -> String {
        self.text.lock().clone()
    }

    /// Sets the level. True if it differs from the one before.
    pub fn set(&self, level: NewLevel) -> bool {
        // Held for both updates, so that the text matches the filter.
        let mut text = self.text.lock();
        // It fails only if logging has ended, and then there is no level.
        let differs = *text != level.text && self.filter.reload(level.filter).is_ok();
        if differs {
            *text = level.text;
        }
        differs
    }
}

impl fmt::Debug for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogLevel").field(&self.get()).finish()
    }
}

fn parse(level: &str) -> Result<EnvFilter, LogError> {
    let wrong = || LogError::Level(level.to_owned());
    if !is_log_level(level) {
        return Err(wrong());
    }
    EnvFilter::try_new(spelt_out(level)).map_err(|_| wrong())
}

/// A plain level applies to the broker only: the `debug` output of the HTTP and OTLP libraries
/// would bury the broker's. An operator who wants it can name the libraries.
fn spelt_out(level: &str) -> String {
    match level.trim().to_ascii_lowercase().as_str() {
        "debug" => "info,ferrymq=debug".to_owned(),
        "trace" => "info,ferrymq=trace".to_owned(),
        _ => level.to_owned(),
    }
}
