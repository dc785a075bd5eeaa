//! `[runtime]`.

use serde::{Deserialize, Serialize};

use super::Span;

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
