//! `/subscriptions`, and the subscriptions of one session.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::extract::{Query, Segment};
use super::page::{self, Page};
use super::problem::{Answer, Problem};
use super::sessions::none;
use crate::broker::admin::{SubscriptionFilter, SubscriptionInfo};
use crate::protocol::{RetainHandling, TopicName};

/// A subscription of a client.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Subscription {
    client_id: String,
    /// The full filter, `$share/...` included.
    filter: String,
    /// The maximum QoS.
    #[schema(minimum = 0, maximum = 2)]
    qos: u8,
    /// No Local: the client does not receive its own messages.
    no_local: bool,
    /// Retain As Published: the RETAIN flag is sent as published.
    retain_as_published: bool,
    retain_handling: Retained,
    /// The Subscription Identifier, if there is one.
    identifier: Option<u32>,
}

/// When retained messages are sent at a SUBSCRIBE.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RetainHandling)]
pub(super) enum Retained {
    Always,
    IfNew,
    Never,
}

impl From<SubscriptionInfo> for Subscription {
    fn from(info: SubscriptionInfo) -> Self {
        let options = info.subscribed.options;
        Self {
            client_id: info.client_id.to_string(),
            filter: info.filter.into(),
            qos: options.qos as u8,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            retain_handling: match options.retain_handling {
                RetainHandling::Always => Retained::Always,
                RetainHandling::IfNew => Retained::IfNew,
                RetainHandling::Never => Retained::Never,
            },
            identifier: info.subscribed.identifier,
        }
    }
}

/// The subscriptions to return.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct List {
    /// Part of the filter, case-insensitive.
    #[serde(default)]
    #[param(required = false)]
    search: String,
    /// Only subscriptions that match this topic: the receivers of a message.
    topic: Option<String>,
    /// Number of subscriptions per page, 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next` of the previous page.
    cursor: Option<String>,
}

/// The part of a session's subscriptions to return.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Own {
    /// Number of subscriptions per page, 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next` of the previous page.
    cursor: Option<String>,
}

/// Lists the subscriptions of all sessions, by client id and filter, in pages.
#[utoipa::path(get, path = "/subscriptions", operation_id = "listSubscriptions", tag = "subscriptions", params(List),
    responses((status = 200, description = "A page of them.", body = Page<Subscription>)))]
pub(super) async fn list(
    State(api): State<Api>,
    Query(query): Query<List>,
) -> Answer<Json<Page<Subscription>>> {
    let limit = page::limit(query.limit)?;
    if let Some(topic) = &query.topic {
        TopicName::new(topic).map_err(|error| Problem::bad_request(format!("topic: {error}")))?;
    }
    let after = api.cursors().place(query.cursor.as_deref())?;
    let filter = SubscriptionFilter { search: query.search, topic: query.topic };
    let (found, next) = api.broker()?.subscription_list(&filter, after, limit).await;
    let items = found.into_iter().map(Subscription::from).collect();
    Ok(Json(Page { items, next: next.and_then(|next| api.cursors().to(&next)) }))
}

/// Lists the subscriptions of one session, by filter, in pages.
#[utoipa::path(get, path = "/sessions/{client_id}/subscriptions", operation_id = "listSessionSubscriptions", tag = "sessions",
    params(("client_id" = String, Path, description = "Percent-encoded, `/` too; a `~` in front is no part of it."), Own),
    responses((status = 200, description = "A page of them.", body = Page<Subscription>)))]
pub(super) async fn of_session(
    State(api): State<Api>,
    Segment(client_id): Segment,
    Query(query): Query<Own>,
) -> Answer<Json<Page<Subscription>>> {
    let limit = page::limit(query.limit)?;
    let after = api.cursors().place::<String>(query.cursor.as_deref())?;
    let found = api.broker()?.subscriptions_of(&client_id, after.as_deref(), limit);
    let (found, more) = found.ok_or_else(|| none(&client_id))?;
    let next = found.last().filter(|_| more).and_then(|last| api.cursors().to(&last.filter));
    Ok(Json(Page { items: found.into_iter().map(Subscription::from).collect(), next }))
}
