//! Errors as `application/problem+json` (RFC 9457).

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::BASE;

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// The kind of problem, for programs. Begins with `urn:ferrymq:problem:`.
    #[serde(rename = "type")]
    kind: String,
    /// A description of the kind; the same for all problems of a kind.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this request, and what to do.
    detail: String,
    /// The path of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
}

/// The result of a handler.
pub(in crate::http) type Answer<T> = Result<T, Problem>;

impl Problem {
    /// Creates a problem. `kind`: a few words joined by dashes.
    pub(in crate::http) fn new(
        status: StatusCode,
        kind: &str,
        title: &str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind: format!("urn:ferrymq:problem:{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            instance: None,
        }
    }

    pub(in crate::http) fn starting() -> Self {
        let detail = "The database is being read back. /readyz tells when that is done.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "starting", "The broker is starting", detail)
    }

    /// Part of the request is invalid.
    pub(in crate::http) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "The request is not valid", detail)
    }

    /// The body is JSON, and a value in it cannot be used.
    pub(in crate::http) fn unfit(detail: impl Into<String>) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, "unfit-body", "The body is not valid", detail)
    }

    /// The resource does not exist.
    pub(in crate::http) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    /// The current state does not allow the operation.
    pub(in crate::http) fn conflict(kind: &str, title: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, kind, title, detail)
    }

    /// The store is poisoned, or does not answer in time.
    pub(in crate::http) fn store(detail: impl Into<String>) -> Self {
        let title = "The database does not answer";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "database", title, detail)
    }

    pub(super) fn off() -> Self {
        let detail = "Set http.token_file to a file with a token of at least 16 characters, or \
                      FERRYMQ_HTTP__TOKEN in the environment; SIGHUP or a restart reads it.";
        Self::new(StatusCode::NOT_FOUND, "api-off", "The admin API is off", detail)
    }

    pub(super) fn unauthorized() -> Self {
        let detail = "Send the token of http.token or http.token_file as \
                      `Authorization: Bearer TOKEN`.";
        let title = "A token is needed";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", title, detail)
    }

    pub(super) fn at(mut self, path: &str) -> Self {
        self.instance = Some(path.to_owned());
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(&self)).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // For `guard::bounds`, which adds the path.
        response.extensions_mut().insert(self);
        response
    }
}

/// There is no route with this path.
pub(super) async fn no_route(uri: Uri) -> Problem {
    let detail = format!(
        "There is nothing at {BASE}{}. {BASE}/openapi.json tells what there is.",
        uri.path()
    );
    Problem::not_found(detail)
}

/// There is a route, but not for this method. axum adds the allowed methods.
pub(super) async fn wrong_method(method: Method) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "Method not allowed",
        format!("{method} is not allowed here; the header Allow tells what is."),
    )
}
