//! Lists subscriptions of one session or of all sessions.

use std::ops::Bound;
use std::sync::Arc;

use super::page_limit::PageLimit;
use super::walk::{MOST_LOOKED_AT, holds};
use crate::broker::{Broker, SessionHandle};
use crate::protocol::{TopicFilter, matches};
use crate::session::Subscribed;

/// Subscriptions of one session that are read under one hold of its lock.
const STEP: usize = 1000;

/// One subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionInfo {
    /// The client id of the subscriber.
    pub client_id: Arc<str>,
    /// The full filter, including `$share/...`.
    pub filter: Box<str>,
    /// Options and identifier.
    pub subscribed: Subscribed,
}

/// Which subscriptions to list.
#[derive(Debug, Clone, Default)]
pub struct SubscriptionFilter {
    /// Part of the filter, case-insensitive.
    pub search: String,
    /// Only subscriptions that match a message with this topic.
    pub topic: Option<String>,
}

/// Client id and filter of the subscription after which a list continues.
type After = (String, String);

impl Broker {
    /// Lists up to `limit` of one session's subscriptions after the filter `after`. Also
    /// returns whether there are more. `None`: there is no such session.
    pub fn subscriptions_of(
        &self,
        client_id: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Option<(Vec<SubscriptionInfo>, bool)> {
        let handle = self.session_of(client_id)?;
        Some(behind(&handle, after, limit))
    }

    /// Lists up to `limit` subscriptions of all sessions after `after`, ordered by client id
    /// and filter. Also returns where to continue, if there may be more.
    pub async fn subscription_list(
        &self,
        filter: &SubscriptionFilter,
        after: Option<After>,
        limit: usize,
    ) -> (Vec<SubscriptionInfo>, Option<After>) {
        let wanted = SubscriptionFilter { search: filter.search.to_lowercase(), ..filter.clone() };
        let mut found = Found { items: Vec::new(), room: PageLimit::new(limit), looked_at: 0 };
        let mut from = after.clone().map(|(client_id, _)| client_id);
        // The last page may have ended within a session, so that session is visited again.
        let mut within = after;
        loop {
            let bound = match (&from, &within) {
                (None, _) => Bound::Unbounded,
                (Some(from), Some(_)) => Bound::Included(from.as_str()),
                (Some(from), None) => Bound::Excluded(from.as_str()),
            };
            let step = self.registry.page(bound);
            let Some(last) = step.last() else { return (found.items, None) };
            for handle in &step {
                let after = within.take().filter(|(id, _)| *id == *handle.client_id);
                if let Some(next) = found.look_into(handle, &wanted, after.map(|(_, f)| f)) {
                    return (found.items, Some(next));
                }
            }
            found.looked_at += step.len();
            from = Some(last.client_id.to_string());
            tokio::task::yield_now().await;
        }
    }
}

/// A list under construction.
struct Found {
    items: Vec<SubscriptionInfo>,
    room: PageLimit,
    looked_at: usize,
}

impl Found {
    /// Adds the matching subscriptions of one session. Returns where to continue if the page
    /// is full.
    fn look_into(
        &mut self,
        handle: &SessionHandle,
        filter: &SubscriptionFilter,
        mut after: Option<String>,
    ) -> Option<After> {
        loop {
            let (step, more) = behind(handle, after.as_deref(), STEP);
            for subscription in &step {
                if self.looked_at >= MOST_LOOKED_AT {
                    return Some((handle.client_id.to_string(), after.unwrap_or_default()));
                }
                self.looked_at += 1;
                if filter.takes(subscription) {
                    if !self.room.take(subscription.text()) {
                        let last = self.items.last()?;
                        return Some((last.client_id.to_string(), last.filter.to_string()));
                    }
                    self.items.push(subscription.clone());
                }
                after = Some(subscription.filter.to_string());
            }
            if !more {
                return None;
            }
        }
    }
}

impl SubscriptionInfo {
    /// Bytes of the names that the client has chosen.
    fn text(&self) -> usize {
        self.client_id.len() + self.filter.len()
    }
}

impl SubscriptionFilter {
    fn takes(&self, subscription: &SubscriptionInfo) -> bool {
        let is_matched = |topic: &String| {
            let filter = TopicFilter::new(&subscription.filter);
            filter.is_ok_and(|filter| matches(filter.matched(), topic))
        };
        holds(&subscription.filter, &self.search) && self.topic.as_ref().is_none_or(is_matched)
    }
}

/// Up to `count` of a session's subscriptions after the filter `after`, and whether there are
/// more.
fn behind(
    handle: &SessionHandle,
    after: Option<&str>,
    count: usize,
) -> (Vec<SubscriptionInfo>, bool) {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let (mut found, mut room) = (Vec::new(), PageLimit::new(count));
    let session = handle.lock();
    for (filter, subscribed) in session.subscriptions.range::<str, _>((from, Bound::Unbounded)) {
        let subscription = SubscriptionInfo {
            client_id: Arc::clone(&handle.client_id),
            filter: filter.clone(),
            subscribed: *subscribed,
        };
        if !room.take(subscription.text()) {
            return (found, true);
        }
        found.push(subscription);
    }
    (found, false)
}
