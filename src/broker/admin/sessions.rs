//! Lists sessions and describes one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::page_limit::PageLimit;
use super::walk::{MOST_LOOKED_AT, holds};
use crate::broker::{Broker, SessionHandle};
use crate::message::WallMillis;
use crate::protocol::Version;
use crate::session::ConnectionInfo;

/// The state of a session at one moment.
#[derive(Debug, Clone)]
pub struct SessionInfo {
    /// Unique among current sessions.
    pub client_id: Arc<str>,
    /// The MQTT version of its last connection.
    pub version: Version,
    /// True if its deliveries and states are on disk.
    pub durable: bool,
    /// Seconds that it outlives its connection; `u32::MAX` is without end.
    pub expiry: u32,
    /// The connection, if there is one.
    pub connection: Option<Arc<ConnectionInfo>>,
    /// When its last connection ended, if there is no connection.
    pub disconnected_at: Option<WallMillis>,
    /// When it expires, if its client does not reconnect.
    pub expires_at: Option<WallMillis>,
    /// Deliveries that are waiting or in flight.
    pub queued: usize,
    /// Bytes of their topics, properties and payloads.
    pub queued_bytes: u64,
    /// Deliveries that are sent but not acknowledged.
    pub in_flight: usize,
    /// The largest `in_flight`: the client's Receive Maximum or `session.inflight_window`.
    pub receive_maximum: usize,
    /// QoS 2 packet identifiers of its own publishes that await PUBREL.
    pub incoming: usize,
    /// The number of its subscriptions.
    pub subscriptions: usize,
    /// It has a will that has not been published.
    pub has_will: bool,
}

/// Which sessions to list.
#[derive(Debug, Clone, Default)]
pub struct SessionFilter {
    /// Part of the client id, case-insensitive.
    pub search: String,
    /// Only sessions that are, or are not, connected.
    pub connected: Option<bool>,
}

/// The order of a list of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// By client id, bytewise.
    #[default]
    ClientId,
    /// The longest queue first.
    Queued,
}

/// The session after which a list continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The client id of the session.
    pub client_id: String,
    /// The length of its queue at that time; not used in the order of client ids.
    pub queued: usize,
}

/// The key of a list ordered by queue length. The last session has the largest key.
type Key = (Reverse<usize>, Arc<str>);

impl Broker {
    /// Describes one session. `None`: there is no such session.
    pub fn session_info(&self, client_id: &str) -> Option<SessionInfo> {
        info(&*self.session_of(client_id)?)
    }

    /// Lists up to `limit` sessions after `after`. Also returns where to continue, if there
    /// may be more.
    pub async fn session_list(
        &self,
        filter: &SessionFilter,
        order: Order,
        after: Option<Place>,
        limit: usize,
    ) -> (Vec<SessionInfo>, Option<Place>) {
        let wanted = SessionFilter { search: filter.search.to_lowercase(), ..*filter };
        match order {
            Order::ClientId => {
                let after = after.map(|place| place.client_id.into());
                self.by_client_id(&wanted, after, limit).await
            }
            Order::Queued => self.by_queue(&wanted, after, limit).await,
        }
    }

    async fn by_client_id(
        &self,
        filter: &SessionFilter,
        mut after: Option<Arc<str>>,
        limit: usize,
    ) -> (Vec<SessionInfo>, Option<Place>) {
        let mut found: Vec<SessionInfo> = Vec::new();
        let (mut looked_at, mut room) = (0, PageLimit::new(limit));
        loop {
            let step = self.registry.page_behind(after.as_deref());
            let Some(last) = step.last() else { return (found, None) };
            for handle in step.iter().filter(|handle| filter.takes(handle)) {
                let Some(session) = info(handle) else { continue };
                if !room.take(session.text()) {
                    let next = found.last().map(|last| Place::at(&last.client_id, 0));
                    return (found, next);
                }
                found.push(session);
            }
            looked_at += step.len();
            if looked_at >= MOST_LOOKED_AT {
                return (found, Some(Place::at(&last.client_id, 0)));
            }
            after = Some(Arc::clone(&last.client_id));
            tokio::task::yield_now().await;
        }
    }

    /// Visits all sessions and keeps the first ones of the order.
    async fn by_queue(
        &self,
        filter: &SessionFilter,
        after: Option<Place>,
        limit: usize,
    ) -> (Vec<SessionInfo>, Option<Place>) {
        let after: Option<Key> = after.map(|place| (Reverse(place.queued), place.client_id.into()));
        let mut first: BinaryHeap<Key> = BinaryHeap::new();
        let mut at: Option<Arc<str>> = None;
        loop {
            let step = self.registry.page_behind(at.as_deref());
            let Some(last) = step.last() else { break };
            for handle in step.iter().filter(|handle| filter.takes(handle)) {
                let key = (Reverse(handle.lock().backlog()), Arc::clone(&handle.client_id));
                let is_behind = after.as_ref().is_none_or(|after| key > *after);
                let has_room = first.len() <= limit;
                if is_behind && (has_room || first.peek().is_some_and(|last| key < *last)) {
                    first.push(key);
                    if !has_room {
                        first.pop();
                    }
                }
            }
            at = Some(Arc::clone(&last.client_id));
            tokio::task::yield_now().await;
        }
        let (mut found, mut room) = (Vec::new(), PageLimit::new(limit));
        let mut last: Option<Place> = None;
        for (Reverse(queued), client_id) in first.into_sorted_vec() {
            let session = self.session_info(&client_id);
            if !room.take(session.as_ref().map_or(0, SessionInfo::text)) {
                return (found, last);
            }
            found.extend(session);
            last = Some(Place::at(&client_id, queued));
        }
        (found, None)
    }
}

impl SessionInfo {
    /// Bytes of the names that the client has chosen.
    fn text(&self) -> usize {
        let user = self.connection.as_ref().and_then(|connection| connection.user.as_ref());
        self.client_id.len() + user.map_or(0, |user| user.len())
    }
}

impl SessionFilter {
    fn takes(&self, handle: &SessionHandle) -> bool {
        self.connected.is_none_or(|connected| connected == handle.is_online())
            && holds(&handle.client_id, &self.search)
    }
}

impl Place {
    fn at(client_id: &str, queued: usize) -> Self {
        Self { client_id: client_id.to_owned(), queued }
    }
}

/// `None`: the session has just ended.
fn info(handle: &SessionHandle) -> Option<SessionInfo> {
    let session = handle.lock();
    if session.life.is_ended() {
        return None;
    }
    let connected = session.life.connected();
    let window = session.limits.inflight_window;
    Some(SessionInfo {
        client_id: Arc::clone(&handle.client_id),
        version: session.version,
        durable: session.durable,
        expiry: session.life.expiry,
        connection: connected.map(|connected| Arc::clone(&connected.info)),
        disconnected_at: session.life.disconnected_at.filter(|_| connected.is_none()),
        expires_at: session.life.expires_at().filter(|_| connected.is_none()),
        queued: session.backlog(),
        queued_bytes: session.backlog_bytes(),
        in_flight: session.window.len(),
        receive_maximum: connected
            .map_or(window, |connected| connected.most_in_flight().min(window)),
        incoming: session.incoming.len(),
        subscriptions: session.subscriptions.len(),
        has_will: session.will.is_some(),
    })
}
