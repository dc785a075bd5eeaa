//! `[telemetry]`.

use serde::{Deserialize, Serialize};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `[telemetry]`: logs, written to standard error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// `error`, `warn`, `info`, `debug`, `trace` or `off`; also by module, as in
    /// `info,ferrymq::store=debug`.
    pub level: String,
    /// `text` or `json`.
    pub format: LogFormat,
    /// Lines a second that one kind of event may write after a burst of five times as
    /// many, 0 to 1,000,000; 0: no limit. Only for `info` and above.
    pub log_limit: u32,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text, log_limit: 10 }
    }
}

/// What a log level is expected to be.
pub const LOG_LEVELS: &str =
    "error, warn, info, debug, trace or off, also by module as in info,ferrymq::store=debug";

/// Whether this is a level, or a list of levels by module.
pub fn is_log_level(level: &str) -> bool {
    // The filter itself takes any lone word for a module's name, "inof" too.
    let is_level = |word: &str| {
        ["error", "warn", "info", "debug", "trace", "off"]
            .iter()
            .any(|l| word.eq_ignore_ascii_case(l))
    };
    let is_directive = |part: &str| is_level(part.rsplit('=').next().unwrap_or(part).trim());
    level.split(',').all(is_directive) && tracing_subscriber::EnvFilter::try_new(level).is_ok()
}
