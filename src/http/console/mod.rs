//! The console: a page at `/` that shows a running broker, for people.
//!
//! The page consists of a few files that are compiled in. It loads nothing from other hosts
//! and gets all its data from the API under `/api/v1`, with the token that its user enters.
//! These files therefore contain no secret, and this module has no access to the broker.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::AppState;

/// The path of a file, its content type and its content.
type File = (&'static str, &'static str, &'static str);

macro_rules! files {
    ($($path:literal $kind:ident $name:literal,)+) => {
        [$(($path, $kind, include_str!($name))),+]
    };
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const ICON: &str = "image/svg+xml";

const FILES: [File; 24] = files! {
    "/" HTML "index.html",
    "/console/icon.svg" ICON "icon.svg",
    "/console/theme.css" CSS "theme.css",
    "/console/style.css" CSS "style.css",
    "/console/views.css" CSS "views.css",
    "/console/api.js" SCRIPT "api.js",
    "/console/app.js" SCRIPT "app.js",
    "/console/bans.js" SCRIPT "bans.js",
    "/console/bridges.js" SCRIPT "bridges.js",
    "/console/chart.js" SCRIPT "chart.js",
    "/console/client.js" SCRIPT "client.js",
    "/console/clients.js" SCRIPT "clients.js",
    "/console/dead-letters.js" SCRIPT "dead-letters.js",
    "/console/dialog.js" SCRIPT "dialog.js",
    "/console/dom.js" SCRIPT "dom.js",
    "/console/events.js" SCRIPT "events.js",
    "/console/format.js" SCRIPT "format.js",
    "/console/history.js" SCRIPT "history.js",
    "/console/lists.js" SCRIPT "lists.js",
    "/console/meter.js" SCRIPT "meter.js",
    "/console/overview.js" SCRIPT "overview.js",
    "/console/payload.js" SCRIPT "payload.js",
    "/console/signin.js" SCRIPT "signin.js",
    "/console/state.js" SCRIPT "state.js",
};

/// Allows only these files, no inline script or style, and no embedding in a frame. Trusted
/// types: a script cannot turn text into markup, so a name chosen by a client cannot become
/// markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// The response to the page's request before it has a token.
#[derive(Serialize)]
struct Api {
    on: bool,
}

/// The routes of the page.
pub(super) fn routes() -> Router<AppState> {
    let api = get(async |State(state): State<AppState>| {
        ([(header::CACHE_CONTROL, "no-store")], Json(Api { on: state.api.is_on() }))
    });
    FILES.iter().fold(Router::new().route("/console/api", api), |router, (path, kind, content)| {
        let tag = tag(content);
        router.route(path, get(async move |headers: HeaderMap| file(&headers, kind, content, &tag)))
    })
}

/// Serves a file. The browser revalidates it each time, so that a page of an older broker is
/// never used; the response is nearly always 304.
fn file(asked: &HeaderMap, kind: &'static str, content: &'static str, tag: &str) -> Response {
    let known = asked.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("same-origin"),
        ),
    ];
    let mut answer = if known.is_some_and(|known| matches(known, tag)) {
        (StatusCode::NOT_MODIFIED, headers).into_response()
    } else {
        (headers, [(header::CONTENT_TYPE, HeaderValue::from_static(kind))], content).into_response()
    };
    if let Ok(tag) = HeaderValue::from_str(tag) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    answer
}

/// An entity tag that changes with the content; the hasher is the same in each process.
fn tag(content: &str) -> String {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

/// Weak comparison, as `If-None-Match` requires [RFC 9110 section 13.1.2].
fn matches(known: &str, tag: &str) -> bool {
    known.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
