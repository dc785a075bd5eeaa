//! Parses requests, and answers invalid ones with a problem.

use std::net::SocketAddr;

use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, OptionalFromRequest, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;

use super::super::bounded::Remote;
use super::problem::Problem;

/// The query parameters.
pub(in crate::http) struct Query<T>(pub(in crate::http) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        let query = query.map_err(|error| Problem::bad_request(error.body_text()))?;
        Ok(Self(query.0))
    }
}

/// The variable part of the path, decoded: `a%2Fb` is `a/b`. A leading `~` is removed: clients
/// resolve a segment that is just `.` or `..`, even as `%2E` (RFC 3986, 5.2.4; the URL
/// standard), but pass on `~..`.
pub(in crate::http) struct Segment(pub(in crate::http) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        let axum::extract::Path(path) =
            path.map_err(|error| Problem::bad_request(error.body_text()))?;
        Ok(Self(path.strip_prefix('~').map_or(path.clone(), str::to_owned)))
    }
}

/// A JSON body.
pub(in crate::http) struct Body<T>(pub(in crate::http) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        <axum::Json<T> as FromRequest<S>>::from_request(request, state)
            .await
            .map(|json| Self(json.0))
            .map_err(|rejection| refused(&rejection))
    }
}

fn refused(rejection: &JsonRejection) -> Problem {
    let (kind, title) = match rejection.status() {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            let detail = "Send JSON, with `Content-Type: application/json`.";
            return Problem::new(rejection.status(), "not-json", "The body is no JSON", detail);
        }
        StatusCode::PAYLOAD_TOO_LARGE => ("too-large", "The body is too large"),
        StatusCode::UNPROCESSABLE_ENTITY => return Problem::unfit(rejection.body_text()),
        _ => ("bad-request", "The request is not valid"),
    };
    Problem::new(rejection.status(), kind, title, rejection.body_text())
}

/// For writes without a body: accepts no body, or an empty JSON object. Other content types,
/// some of which browsers send cross-origin without a preflight, are rejected as a defence in
/// addition to the token.
pub(in crate::http) struct NoBody;

impl<S: Send + Sync> FromRequest<S> for NoBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if request.headers().get(header::CONTENT_TYPE).is_none() {
            let bytes = axum::body::Bytes::from_request(request, state).await;
            let empty = bytes.is_ok_and(|bytes| bytes.is_empty());
            return if empty {
                Ok(Self)
            } else {
                Err(Problem::bad_request("This operation takes no request body."))
            };
        }
        let body = <axum::Json<serde_json::Value> as OptionalFromRequest<S>>::from_request;
        match body(request, state).await {
            Ok(None) => Ok(Self),
            Ok(Some(axum::Json(serde_json::Value::Object(fields)))) if fields.is_empty() => {
                Ok(Self)
            }
            Ok(Some(_)) => Err(Problem::bad_request("This operation takes no request body.")),
            Err(rejection) => Err(refused(&rejection)),
        }
    }
}

/// The client's address, for the log, since a token has no name.
pub(in crate::http) struct Operator(pub(in crate::http) SocketAddr);

impl<S: Send + Sync> FromRequestParts<S> for Operator {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let remote = parts.extensions.get::<ConnectInfo<Remote>>();
        // Always present, see `http::serve`.
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Ok(Self(remote.map_or(nowhere, |ConnectInfo(Remote(address))| *address)))
    }
}
