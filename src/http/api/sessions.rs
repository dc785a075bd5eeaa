//! `/sessions`: connected and disconnected sessions, and ending them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{NoBody, Operator, Query, Segment};
use super::page::{self, Page};
use super::problem::{Answer, Problem};
use super::time::rfc3339;
use super::{Api, detached, not_committed};
use crate::broker::admin::{NotConnected, Order, Place, SessionFilter, SessionInfo};
use crate::broker::bridge;
use crate::config::Config;
use crate::session::NEVER_EXPIRES;
use crate::telemetry::AUDIT;
use crate::telemetry::Label as _;

/// A client's session.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Session {
    client_id: String,
    state: State_,
    /// MQTT version of the last connection: 3.1, 3.1.1 or 5.0.
    version: String,
    /// Whether its queue survives a crash of the broker.
    durable: bool,
    /// The client's address, while it is connected.
    remote: Option<String>,
    /// The name of the listener that the client connected through.
    listener: Option<String>,
    /// The listener's protocol: `mqtt`, `mqtts`, `ws`, `wss` or `unix`.
    transport: Option<&'static str>,
    /// The authenticated user name; null: anonymous, or not connected.
    user: Option<String>,
    #[schema(format = DateTime)]
    connected_at: Option<String>,
    /// Null while it is connected.
    #[schema(format = DateTime)]
    disconnected_at: Option<String>,
    /// When the session ends if the client does not reconnect; null: never, or it is
    /// connected.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// Clean Start as sent by the client.
    clean_start: Option<bool>,
    /// Session Expiry Interval in seconds; null: it does not expire.
    expiry_seconds: Option<u32>,
    /// Keep Alive in seconds; 0: none.
    keep_alive_seconds: Option<u16>,
    /// Receive Maximum: how many messages may be in flight to it.
    receive_maximum: usize,
    /// Messages that wait for it or are in flight to it.
    queued_messages: usize,
    /// Bytes of their topics, properties and payloads.
    queued_bytes: u64,
    /// Messages that are sent and not acknowledged.
    inflight_messages: usize,
    /// QoS 2 messages of the client for which PUBREL has not arrived.
    incoming_messages: usize,
    /// The number of subscriptions.
    subscriptions: usize,
    /// Whether it has a will that has not been published.
    has_will: bool,
}

/// Whether the client is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SessionState)]
pub(super) enum State_ {
    /// The client is connected.
    Connected,
    /// The session waits for its client.
    Waiting,
}

impl Session {
    /// `config` has the listeners, which change at a restart only.
    fn new(info: &SessionInfo, config: &Config) -> Self {
        let connection = info.connection.as_ref();
        let listener = connection.and_then(|one| config.listeners.get(&*one.listener));
        Self {
            client_id: info.client_id.to_string(),
            state: if connection.is_some() { State_::Connected } else { State_::Waiting },
            version: info.version.as_str().to_owned(),
            durable: info.durable,
            remote: connection.map(|connection| connection.remote.to_string()),
            listener: connection.map(|connection| connection.listener.to_string()),
            transport: listener.map(|listener| listener.protocol.as_str()),
            user: connection.and_then(|connection| connection.user.as_deref().map(Into::into)),
            connected_at: connection.map(|connection| rfc3339(connection.connected_at)),
            disconnected_at: info.disconnected_at.map(rfc3339),
            expires_at: info.expires_at.map(rfc3339),
            clean_start: connection.map(|connection| connection.clean_start),
            expiry_seconds: (info.expiry != NEVER_EXPIRES).then_some(info.expiry),
            keep_alive_seconds: connection.map(|connection| connection.keep_alive),
            receive_maximum: info.receive_maximum,
            queued_messages: info.queued,
            queued_bytes: info.queued_bytes,
            inflight_messages: info.in_flight,
            incoming_messages: info.incoming,
            subscriptions: info.subscriptions,
            has_will: info.has_will,
        }
    }
}

/// The sessions to return, and their order.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct List {
    /// Part of the client id, case-insensitive.
    #[serde(default)]
    #[param(required = false)]
    search: String,
    /// Only sessions in this state.
    state: Option<State_>,
    /// `client_id`, or `queued` for the longest queues first.
    sort: Option<Sort>,
    /// Number of sessions per page, 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next` of the previous page.
    cursor: Option<String>,
}

/// The order of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SessionOrder)]
pub(super) enum Sort {
    /// By the bytes of the client id.
    #[default]
    ClientId,
    /// The longest queue first.
    Queued,
}

/// Options for ending a connection or a session.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Ending {
    /// Do not publish the client's will.
    #[serde(default)]
    #[param(required = false)]
    without_will: bool,
}

/// The result of deleting a session.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Deleted {
    /// Messages that were waiting or in flight and are dropped.
    dropped_messages: usize,
    /// Whether its client was connected, and has been disconnected.
    was_connected: bool,
}

/// Lists sessions, in pages.
#[utoipa::path(get, path = "/sessions", operation_id = "listSessions", tag = "sessions", params(List),
    responses((status = 200, description = "A page of them.", body = Page<Session>)))]
pub(super) async fn list(
    State(api): State<Api>,
    Query(query): Query<List>,
) -> Answer<Json<Page<Session>>> {
    let limit = page::limit(query.limit)?;
    let order = match query.sort.unwrap_or_default() {
        Sort::ClientId => Order::ClientId,
        Sort::Queued => Order::Queued,
    };
    let after = api
        .cursors()
        .place::<(usize, String)>(query.cursor.as_deref())?
        .map(|(queued, client_id)| Place { client_id, queued });
    let connected = query.state.map(|state| state == State_::Connected);
    let filter = SessionFilter { search: query.search, connected };
    let (found, next) = api.broker()?.session_list(&filter, order, after, limit).await;
    let next = next.and_then(|place| api.cursors().to(&(place.queued, place.client_id)));
    Ok(Json(Page {
        items: found.iter().map(|info| Session::new(info, api.config())).collect(),
        next,
    }))
}

/// Returns one session.
#[utoipa::path(get, path = "/sessions/{client_id}", operation_id = "getSession", tag = "sessions",
    params(("client_id" = String, Path, description = "Percent-encoded, `/` too; a `~` in front is no part of it.")),
    responses((status = 200, description = "It is there.", body = Session)))]
pub(super) async fn one(
    State(api): State<Api>,
    Segment(client_id): Segment,
) -> Answer<Json<Session>> {
    let info = api.broker()?.session_info(&client_id).ok_or_else(|| none(&client_id))?;
    Ok(Json(Session::new(&info, api.config())))
}

/// Ends a session with its connection, subscriptions and queue.
/// Answers when the end is on disk.
#[utoipa::path(delete, path = "/sessions/{client_id}", operation_id = "deleteSession", tag = "sessions",
    params(("client_id" = String, Path, description = "Percent-encoded, `/` too; a `~` in front is no part of it."), Ending),
    responses((status = 200, description = "It is gone.", body = Deleted)))]
pub(super) async fn remove(
    State(api): State<Api>,
    Operator(remote): Operator,
    Segment(client_id): Segment,
    Query(ending): Query<Ending>,
    _: NoBody,
) -> Answer<Json<Deleted>> {
    let broker = api.broker()?.clone();
    let missing = none(&client_id);
    let bridge = client_id.strip_prefix(bridge::PREFIX).map(str::to_owned);
    let bridges = api.bridges().ok().cloned();
    let ended = detached(async move {
        let ended = broker.remove_session(&client_id, ending.without_will).await;
        if let Some(Ok(ended)) = &ended {
            tracing::info!(
                target: AUDIT,
                client_id,
                %remote,
                dropped_messages = ended.dropped,
                "session deleted by an operator"
            );
            // A bridge goes on queueing, from nothing, before the answer says so.
            if let (Some(name), Some(bridges)) = (bridge, bridges) {
                bridges.open_again(&name).await;
            }
        }
        ended
    })
    .await?;
    let ended = ended.ok_or(missing)?.map_err(not_committed)?;
    Ok(Json(Deleted { dropped_messages: ended.dropped, was_connected: ended.was_connected }))
}

/// Ends the connection of a client. Its session stays unless it ends with its connection.
#[utoipa::path(post, path = "/sessions/{client_id}/disconnect", operation_id = "disconnectSession", tag = "sessions",
    params(("client_id" = String, Path, description = "Percent-encoded, `/` too; a `~` in front is no part of it."), Ending),
    responses(
        (status = 204, description = "It is disconnected."),
        (status = 409, description = "It is not connected.", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn disconnect(
    State(api): State<Api>,
    Operator(remote): Operator,
    Segment(client_id): Segment,
    Query(ending): Query<Ending>,
    _: NoBody,
) -> Answer<StatusCode> {
    let broker = api.broker()?.clone();
    let missing = none(&client_id);
    let detail = format!("The client {client_id:?} is not connected.");
    let ended = detached(async move {
        let ended = broker.end_connection(&client_id, ending.without_will).await;
        if let Some(Ok(())) = &ended {
            tracing::info!(target: AUDIT, client_id, %remote, "client disconnected by an operator");
        }
        ended
    })
    .await?;
    if let Err(NotConnected) = ended.ok_or(missing)? {
        return Err(Problem::conflict("not-connected", "The client is not connected", detail));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The problem for a session that does not exist.
pub(super) fn none(client_id: &str) -> Problem {
    Problem::not_found(format!("There is no session of the client {client_id:?}."))
}
