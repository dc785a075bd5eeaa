//! Assembles and stops the broker: opens the database, the listeners and the HTTP endpoints,
//! waits for a reason to stop, and stops in an order that loses nothing. Contains no protocol
//! and no policy.

mod certificates;
mod changes;
mod differences;
mod listen;
mod machine;
mod observe;
mod reload;
mod shutdown;
mod start;

use std::sync::Arc;

use tokio::sync::watch;

use crate::auth::{PolicyError, RulesError};
use crate::broker::Broker;
use crate::http::TokenError;
use crate::net::BindError;
use crate::net::tls::TlsError;
use crate::store::{OpenError, Store};

pub use start::Server;

/// Why the broker did not start, or did not stop in order.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// A listener cannot be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A listener's certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The HTTP endpoint cannot be opened.
    #[error("HTTP cannot listen on {bind} ({key}): {source}")]
    Http {
        /// The configuration key.
        key: &'static str,
        /// The address.
        bind: std::net::SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// The password file cannot be used.
    #[error(transparent)]
    Auth(#[from] PolicyError),
    /// The access rules cannot be used.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// The token of the admin API cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The database failed while the broker ran; it contains everything that was acknowledged.
    #[error("the database failed: {0}; restart the broker to recover from the file")]
    Poisoned(String),
    /// The shutdown timed out or failed before the WAL was copied back.
    #[error("the database was not closed in order ({0}); the next start recovers from it")]
    Unclosed(String),
    /// Another operation of the system failed.
    #[error("{what}: {source}")]
    System {
        /// The operation.
        what: &'static str,
        /// The cause.
        source: std::io::Error,
    },
}

/// The parts that run until the end.
struct Running {
    broker: Arc<Broker>,
    store: Option<Store>,
    /// Set by the store's poison hook.
    poisoned: watch::Receiver<Option<String>>,
}
