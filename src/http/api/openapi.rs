//! The `OpenAPI` document, generated from the handlers and their types.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::header;
use axum::response::IntoResponse;
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, PathItem, Ref, Response, ResponseBuilder};

use super::problem::Problem;
use super::{
    backup, bans, bridges, database, dead_letters, events, overview, process, publish, queue,
    retained, sessions, subscriptions,
};

#[derive(OpenApi)]
#[openapi(
    info(title = "FerryMQ admin API", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    servers((url = "/api/v1")),
    security(("token" = [])),
    tags(
        (name = "broker", description = "The broker at one look, and what was logged lately."),
        (name = "sessions", description = "Clients, there or away, and what waits for them."),
        (name = "subscriptions", description = "Subscriptions of all sessions."),
        (name = "bans", description = "Addresses that may not connect for a while."),
        (name = "bridges", description = "Connections to other brokers, and what they could not deliver."),
        (name = "retained", description = "The last message of each topic."),
        (name = "messages", description = "Messages of the operator's own."),
        (name = "database", description = "The file that everything is kept in."),
        (name = "process", description = "The running broker."),
    ),
    paths(
        overview::get, events::list,
        sessions::list, sessions::one, sessions::remove, sessions::disconnect,
        queue::list, subscriptions::of_session, subscriptions::list,
        bans::list, bans::add, bans::lift,
        bridges::list, bridges::pause, bridges::resume,
        retained::list, retained::one, retained::remove, publish::publish,
        dead_letters::list, dead_letters::purge, dead_letters::one, dead_letters::remove,
        database::status, database::checkpoint, backup::status, backup::begin,
        process::reload, process::level, process::set_level,
    ),
    components(schemas(Problem, sessions::Sort)),
    modifiers(&Token, &Problems),
)]
struct Document;

/// Adds the security scheme named in `security`.
struct Token;

impl utoipa::Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        if let Some(components) = document.components.as_mut() {
            components.add_security_scheme("token", SecurityScheme::Http(scheme));
        }
    }
}

/// Adds the problems that any operation may return, so that the operations need not list them.
struct Problems;

/// Problems of operations without a body, and of those with one.
const ALWAYS: [(u16, &str); 5] = [
    (400, "A parameter is not valid."),
    (401, "The token is missing or wrong."),
    (404, "Not found, or the API is off."),
    (429, "Later: too many wrong tokens, or a queue is full."),
    (503, "The broker is starting, or the database does not answer."),
];
const WITH_BODY: [(u16, &str); 3] = [
    (413, "The body, or what it holds, is too large."),
    (415, "The body is no JSON."),
    (422, "The body is not valid."),
];

impl utoipa::Modify for Problems {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let items = document.paths.paths.values_mut();
        for operation in items.flat_map(operations) {
            // Operations without a body check that none was sent, so they may return these
            // too.
            for (status, description) in ALWAYS.iter().chain(&WITH_BODY) {
                let known = &mut operation.responses.responses;
                known.entry(status.to_string()).or_insert_with(|| problem(description).into());
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, .. } = item;
    [get, put, post, delete].into_iter().flatten()
}

fn problem(description: &str) -> Response {
    let schema = Ref::from_schema_name("Problem");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content)
        .build()
}

/// Serves the document.
pub(super) async fn document() -> impl IntoResponse {
    // It is the same for all clients, and public.
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| {
        // All keys are strings and no value can fail.
        serde_json::to_vec(&Document::openapi()).unwrap_or_default().into()
    });
    ([(header::CONTENT_TYPE, "application/json")], TEXT.clone())
}
