//! `[telemetry]`, `[runtime]`.

use serde::{Deserialize, Serialize};

use super::Span;

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
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// `[runtime]`: the process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    /// Threads for connections, 0 to 1024; 0: one for each core.
    pub worker_threads: usize,
    /// How long a shutdown waits for connections and the last commit, 0s to 1h.
    pub shutdown_timeout: Span,
}

impl Default for Runtime {
    fn default() -> Self {
        Self { worker_threads: 0, shutdown_timeout: Span::seconds(10) }
    }
}
