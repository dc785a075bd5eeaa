//! The admin API under `/api/v1`: what an operator may see and do while the broker runs.
//!
//! - `guard`: checks the token before anything else; `token`: the configured token.
//! - `problem`: errors by RFC 9457; `extract`: parses requests and returns such errors;
//!   `time`: times as text.
//! - One file for each part of the API: the handlers of its routes and the types of their
//!   JSON.
//! - `page`, `cursor`: long lists.
//! - `openapi`: the document, generated from those types and handlers.
//!
//! Requests become calls of [`Broker`], and results become JSON. What is done to sessions,
//! queues and messages is decided in `broker/admin/`; nothing here takes a lock of the broker
//! or blocks a thread that serves connections.

mod backup;
mod bans;
mod bridges;
mod cursor;
mod database;
mod dead_letters;
mod events;
mod extract;
mod guard;
mod openapi;
mod overview;
mod page;
mod problem;
mod process;
mod properties;
mod publish;
mod queue;
mod retained;
mod sessions;
mod subscriptions;
mod time;
mod token;

#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::routing::{MethodRouter, delete, get, post};

pub use process::{Reload, Reloaded};
pub use token::{NewToken, TokenError, Tokens};

use self::backup::Backups;
use self::guard::Failures;
use self::problem::{Answer, Problem};
use super::AppState;
use crate::bridge::Bridges;
use crate::broker::Broker;
use crate::broker::admin::NotCommitted;
use crate::config::Config;
use crate::telemetry::LogLevel;

/// The base path.
pub(super) const BASE: &str = "/api/v1";

/// Maximum bytes of a body, except that of a message to be published.
const SMALL_BODY: usize = 64 << 10;

/// The state that the handlers share; clones share it too.
#[derive(Debug, Clone)]
pub struct Api(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tokens: Arc<Tokens>,
    failures: Failures,
    config: Arc<Config>,
    level: Option<LogLevel>,
    backups: Backups,
    cursors: cursor::Cursors,
    /// Held while rows are counted: each count reads the whole database.
    counting: Arc<tokio::sync::Mutex<()>>,
    broker: OnceLock<Arc<Broker>>,
    reload: OnceLock<Reload>,
    bridges: OnceLock<Bridges>,
}

impl Api {
    /// Creates the API before the broker: HTTP listens before the database is read. `level`:
    /// the log level, if the process' logs are the broker's.
    pub fn new(config: Arc<Config>, tokens: Arc<Tokens>, level: Option<LogLevel>) -> Self {
        Self(Arc::new(Inner {
            tokens,
            failures: Failures::default(),
            config,
            level,
            backups: Backups::default(),
            cursors: cursor::Cursors::default(),
            counting: Arc::default(),
            broker: OnceLock::new(),
            reload: OnceLock::new(),
            bridges: OnceLock::new(),
        }))
    }

    /// Sets the broker and the function that reloads its configuration.
    pub fn serve(&self, broker: Arc<Broker>, reload: Option<Reload>) {
        // Only the first call has an effect; there is one broker per process.
        let _ = self.0.broker.set(broker);
        if let Some(reload) = reload {
            let _ = self.0.reload.set(reload);
        }
    }

    /// Sets the bridges of the broker.
    pub fn serve_bridges(&self, bridges: Bridges) {
        let _ = self.0.bridges.set(bridges);
    }

    fn config(&self) -> &Arc<Config> {
        &self.0.config
    }

    fn level(&self) -> Option<&LogLevel> {
        self.0.level.as_ref()
    }

    fn counting(&self) -> &Arc<tokio::sync::Mutex<()>> {
        &self.0.counting
    }

    fn cursors(&self) -> &cursor::Cursors {
        &self.0.cursors
    }

    fn backups(&self) -> &Backups {
        &self.0.backups
    }

    fn reload(&self) -> Option<&Reload> {
        self.0.reload.get()
    }

    /// True if there is a token, and so an API.
    pub(super) fn is_on(&self) -> bool {
        self.0.tokens.is_on()
    }

    /// True if the console at `/` is enabled.
    pub(super) fn has_console(&self) -> bool {
        self.0.config.http.console
    }

    /// The broker, once there is one.
    ///
    /// # Errors
    /// 503 while the database is being read.
    fn broker(&self) -> Result<&Arc<Broker>, Problem> {
        self.0.broker.get().ok_or_else(Problem::starting)
    }
}

/// Every route of the API except the document's, by its path below [`BASE`].
fn table(config: &Config) -> Vec<(&'static str, MethodRouter<AppState>)> {
    // The message may be in Base64, or text with escapes.
    let message = usize::try_from(config.mqtt.max_packet_size.bytes()).unwrap_or(usize::MAX);
    let message = DefaultBodyLimit::max(message.saturating_mul(2).saturating_add(SMALL_BODY));
    vec![
        ("/overview", get(overview::get)),
        ("/events", get(events::list)),
        ("/sessions", get(sessions::list)),
        ("/sessions/{client_id}", get(sessions::one).delete(sessions::remove)),
        ("/sessions/{client_id}/disconnect", post(sessions::disconnect)),
        ("/sessions/{client_id}/queue", get(queue::list)),
        ("/sessions/{client_id}/subscriptions", get(subscriptions::of_session)),
        ("/subscriptions", get(subscriptions::list)),
        ("/bans", get(bans::list).post(bans::add)),
        ("/bans/{address}", delete(bans::lift)),
        ("/bridges", get(bridges::list)),
        ("/bridges/{name}/pause", post(bridges::pause)),
        ("/bridges/{name}/resume", post(bridges::resume)),
        ("/retained", get(retained::list)),
        // The rest of the path: a topic may be written without encoding its slashes.
        ("/retained/{*topic}", get(retained::one).delete(retained::remove)),
        ("/dead-letters", get(dead_letters::list).delete(dead_letters::purge)),
        ("/dead-letters/{id}", get(dead_letters::one).delete(dead_letters::remove)),
        ("/publish", post(publish::publish).layer(message)),
        ("/database", get(database::status)),
        ("/database/backup", get(backup::status).post(backup::begin)),
        ("/database/checkpoint", post(database::checkpoint)),
        ("/reload", post(process::reload)),
        ("/log-level", get(process::level).put(process::set_level)),
    ]
}

impl FromRef<AppState> for Api {
    fn from_ref(state: &AppState) -> Self {
        state.api.clone()
    }
}

/// Runs to completion, even if the requester does not wait.
async fn detached<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Answer<T> {
    tokio::spawn(work).await.map_err(|_| stopping())
}

/// Runs blocking work on a thread for that.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| stopping())
}

fn stopping() -> Problem {
    Problem::store("The broker is being stopped, or something in it has failed: see its log.")
}

/// The problem for an operation that the disk did not confirm.
fn not_committed(why: NotCommitted) -> Problem {
    Problem::store(format!("{why}."))
}

/// The routes with their middleware.
pub(super) fn routes(state: &AppState) -> Router<AppState> {
    let routes =
        table(state.api.config()).into_iter().fold(Router::new(), |router, (path, methods)| {
            router.route(path, methods.fallback(problem::wrong_method))
        });
    let guarded = routes
        .fallback(problem::no_route)
        .layer(DefaultBodyLimit::max(SMALL_BODY))
        .layer(axum::middleware::from_fn_with_state(state.clone(), guard::token));
    // The document is not secret: developers of clients may read it.
    let open = Router::new().route("/openapi.json", get(openapi::document));
    let all = open.merge(guarded).layer(axum::middleware::from_fn(guard::bounds));
    Router::new().nest(BASE, all)
}
