//! `/subscriptions`, and those of one session.

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

/// What a client has subscribed to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Subscription {
    client_id: String,
    /// In full, `$share/...` included.
    filter: String,
    /// The largest that is delivered.
    #[schema(minimum = 0, maximum = 2)]
    qos: u8,
    /// It does not get what it has published itself.
    no_local: bool,
    /// The RETAIN flag stays as it was published.
    retain_as_published: bool,
    retain_handling: Retained,
    /// The Subscription Identifier, if there is one.
    identifier: Option<u32>,
}

/// When retained messages are sent on SUBSCRIBE.
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

/// Which of all subscriptions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct List {
    /// Part of the filter, in any case.
    #[serde(default)]
    #[param(required = false)]
    search: String,
    /// Only those that a message under this topic matches: who would get it.
    topic: Option<String>,
    /// Subscriptions of a page, 100 unless told.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Which of one session's subscriptions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Own {
    /// Subscriptions of a page, 100 unless told.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Subscriptions of all sessions, by client id and filter, in pages.
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

/// Subscriptions of one session, by filter, in pages.
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
