//! The admin API under `/api/v1`: what an operator may see and do while the broker runs.
//!
//! - `guard`: the token, before anything else; `token`: what it is compared with.
//! - `problem`: errors as RFC 9457 has them; `extract`: requests that are taken apart
//!   with such errors; `page`: long lists in pages; `time`: moments as text.
//! - One file for each part of the API: its routes' handlers and the types of their JSON.
//! - `openapi`: the document, made from those types and handlers.
//!
//! Here requests become calls of [`Broker`] and answers become JSON. What is done to
//! sessions, queues and messages is decided in `broker/admin/`; nothing here takes a
//! lock of the broker's or blocks a thread that serves connections.

mod extract;
mod guard;
mod openapi;
mod page;
mod problem;
mod time;
mod token;

#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::routing::{MethodRouter, get};

pub use token::{TokenError, Tokens};

use self::guard::Failures;
use self::problem::Problem;
use super::AppState;
use crate::broker::Broker;
use crate::config::Config;
use crate::telemetry::LogLevel;

/// Where it is.
pub(super) const BASE: &str = "/api/v1";

/// What the handlers share; clones share it too.
#[derive(Debug, Clone)]
pub struct Api(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tokens: Arc<Tokens>,
    failures: Failures,
    config: Arc<Config>,
    level: Option<LogLevel>,
    broker: OnceLock<Arc<Broker>>,
}

impl Api {
    /// An API of a broker that is still to come: HTTP listens before the database is
    /// read. `level`: of the logs, if they are this process' own.
    pub fn new(config: Arc<Config>, tokens: Arc<Tokens>, level: Option<LogLevel>) -> Self {
        let failures = Failures::default();
        Self(Arc::new(Inner { tokens, failures, config, level, broker: OnceLock::new() }))
    }

    /// The broker is there.
    pub fn serve(&self, broker: Arc<Broker>) {
        // Only the first counts; there is one for each process.
        let _ = self.0.broker.set(broker);
    }

    /// The broker, once there is one.
    ///
    /// # Errors
    /// 503 while the database is being read.
    fn broker(&self) -> Result<&Arc<Broker>, Problem> {
        self.0.broker.get().ok_or_else(Problem::starting)
    }
}

/// Every route of the API but the document's own, by its path below [`BASE`].
fn table() -> Vec<(&'static str, MethodRouter<AppState>)> {
    vec![]
}

/// The routes, with all that stands before them.
pub(super) fn routes(state: &AppState) -> Router<AppState> {
    let routes = table().into_iter().fold(Router::new(), |router, (path, methods)| {
        router.route(path, methods.fallback(problem::wrong_method))
    });
    let guarded = routes
        .fallback(problem::no_route)
        .layer(axum::middleware::from_fn_with_state(state.clone(), guard::token));
    // The document is no secret: whoever writes a client may read it.
    let open = Router::new().route("/openapi.json", get(openapi::document));
    let all = open.merge(guarded).layer(axum::middleware::from_fn(guard::bounds));
    Router::new().nest(BASE, all)
}
