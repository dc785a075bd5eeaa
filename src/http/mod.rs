//! HTTP for Prometheus, Docker, Kubernetes and operators.
//!
//! - `/metrics`: all metrics, for Prometheus; as `OpenMetrics` on request.
//! - `/healthz`: the process is alive. It does not report on the database: a poisoned store
//!   already leads to a restart.
//! - `/readyz`: clients may be sent here.
//! - `/`: the console, a page for people.
//! - `/api/v1`: the admin API, which requires a token.
//!
//! Everything except the API is read-only and without access control: bind it where only
//! permitted clients can reach it. Requests for a host name that is not allowed are refused
//! (`hosts.rs`). No MQTT here.

mod accept;
pub mod api;
mod bounded;
mod connection_slots;
mod console;
mod hosts;
mod probe;
mod requests;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;

pub use api::{Api, NewToken, TokenError, Tokens};
pub use hosts::AllowedHosts;
pub use probe::{Answer, get as probe};
pub use requests::Requests;

use crate::telemetry::{Label, MetricsRegistry, Readiness, RecentEvents};

/// The time for open connections to end: one that a scraper keeps open must not delay a
/// shutdown.
const DRAIN: Duration = Duration::from_secs(1);

/// The state of the handlers.
#[derive(Debug, Clone)]
pub struct AppState {
    /// For `/metrics`.
    pub metrics: Arc<MetricsRegistry>,
    /// For `/readyz`.
    pub readiness: Readiness,
    /// For `/api/v1`.
    pub api: Api,
    /// The most recent logged events, for `/api/v1/events`.
    pub events: RecentEvents,
    /// The counter of requests.
    pub requests: Requests,
    /// The routes that are served.
    pub scope: Scope,
    /// The host names that are accepted.
    pub hosts: AllowedHosts,
}

/// The routes of a listener. Health is served on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    Everything,
    /// All but `/metrics`, which has a listener of its own.
    WithoutMetrics,
    /// `/metrics` alone.
    Metrics,
}

/// Serves requests until `shutdown` resolves.
///
/// # Errors
/// None known: an error on one connection ends only that one.
pub async fn serve(
    listener: TcpListener,
    state: AppState,
    shutdown: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let service = router(state).into_make_service_with_connect_info::<bounded::Remote>();
    let server =
        axum::serve(bounded::Bounded::new(listener), service).with_graceful_shutdown(async {
            // Dropped or sent: both mean the end.
            let _ = stopped.await;
        });
    let mut server = std::pin::pin!(server.into_future());
    tokio::select! {
        result = &mut server => return result,
        () = shutdown => drop(stop),
    }
    tokio::time::timeout(DRAIN, server).await.unwrap_or(Ok(()))
}

fn router(state: AppState) -> Router {
    let mut router =
        Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(readyz));
    if state.scope != Scope::WithoutMetrics {
        router = router.route("/metrics", get(metrics));
    }
    if state.scope != Scope::Metrics {
        router = router.merge(api::routes(&state));
    }
    if state.scope != Scope::Metrics && state.api.has_console() {
        router = router.merge(console::routes());
    }
    let named = axum::middleware::from_fn_with_state(state.hosts.clone(), hosts::check);
    let count = axum::middleware::from_fn_with_state(state.requests.clone(), requests::count);
    router.layer(named).layer(count).with_state(state)
}

async fn metrics(State(state): State<AppState>, headers: HeaderMap) -> Response {
    let format = accept::format(&headers);
    let about = [(header::CONTENT_TYPE, format.content_type()), (header::VARY, "accept")];
    (about, state.metrics.render(format)).into_response()
}

async fn readyz(State(state): State<AppState>) -> Response {
    let current = state.readiness.get();
    let status = if current.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({
        "ready": current.is_ready(),
        "state": current.as_str(),
        "reason": current.describe(),
    });
    (status, Json(body)).into_response()
}

#[cfg(test)]
mod tests;
