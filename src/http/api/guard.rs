//! Runs before every handler: checks the token and limits the duration.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::super::AppState;
use super::super::bounded::Remote;
use super::BASE;
use super::problem::Problem;

/// The maximum duration of a request, its body included. Waiting for the disk has a shorter
/// limit of its own.
const LONGEST: Duration = Duration::from_mins(1);
/// The delay of the response to a wrong token.
const PAUSE: Duration = Duration::from_millis(500);
/// The maximum number of delayed responses; further wrong tokens are refused at once, because
/// a delayed response holds one of the few connections.
const PAUSING: usize = 8;

/// Slows down attempts to guess the token.
#[derive(Debug)]
pub(super) struct Failures(Arc<Semaphore>);

impl Default for Failures {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PAUSING)))
    }
}

impl Failures {
    async fn answer(&self, remote: SocketAddr) -> Problem {
        tracing::warn!(%remote, "API request refused: token missing or wrong (http.token, http.token_file)");
        let Ok(_slot) = self.0.try_acquire() else {
            let title = "Too many wrong tokens";
            let detail = "Others are being refused right now. Try again in a second.";
            return Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-failures", title, detail);
        };
        tokio::time::sleep(PAUSE).await;
        Problem::unauthorized()
    }
}

/// Rejects requests without the token.
pub(super) async fn token(
    State(state): State<AppState>,
    ConnectInfo(Remote(remote)): ConnectInfo<Remote>,
    request: Request,
    next: Next,
) -> Response {
    let api = &state.api.0;
    if !api.tokens.is_on() {
        return Problem::off().into_response();
    }
    match bearer(request.headers()) {
        Some(given) if api.tokens.matches(given) => next.run(request).await,
        // No token was tried.
        None if !request.headers().contains_key(header::AUTHORIZATION) => {
            Problem::unauthorized().into_response()
        }
        _ => api.failures.answer(remote).await.into_response(),
    }
}

/// The scheme's name is case-insensitive (RFC 9110, section 11.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, rest) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii())
}

/// Ends requests that take too long, adds the path to each problem, and keeps responses out of
/// caches.
pub(super) async fn bounds(request: Request, next: Next) -> Response {
    // Nested routes see only the rest of the path.
    let path = format!("{BASE}{}", request.uri().path());
    let answered = tokio::time::timeout(LONGEST, next.run(request)).await;
    let mut response = answered.unwrap_or_else(|_| {
        let detail = "It took longer than a minute, and may still have been done.";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", "It took too long", detail)
            .into_response()
    });
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let headers = std::mem::take(response.headers_mut());
        response = problem.at(&path).into_response();
        // Headers such as Allow are kept; the length belongs to another body.
        for (name, value) in &headers {
            if name != header::CONTENT_LENGTH {
                response.headers_mut().insert(name, value.clone());
            }
        }
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, axum::http::HeaderValue::from_static("no-store"));
    let sniff = axum::http::HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, sniff);
    response
}
