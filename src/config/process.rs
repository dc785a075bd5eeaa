//! `[runtime]`.

use serde::{Deserialize, Serialize};

use super::Span;

/// `[runtime]`: the process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    /// Worker threads for connections, 1 to 1024; 0 for one per core.
    pub worker_threads: usize,
    /// How long a shutdown waits for connections and the last commit, 0s to 1h.
    pub shutdown_timeout: Span,
}

impl Default for Runtime {
    fn default() -> Self {
        Self { worker_threads: 0, shutdown_timeout: Span::seconds(10) }
    }
}
