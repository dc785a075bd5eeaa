//! The session of a bridge without its other end: it exists, and queues messages, from the
//! moment at which the bridge is configured.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{BridgeTerms, Counts, PREFIX, principal_of};
use crate::auth::Identity;
use crate::broker::client::Peer;
use crate::broker::{Accepted, Broker, Publication, Step};
use crate::peer::PeerAddr;
use crate::protocol::{Connect, QoS, ReasonCode, SubscribeFilter, Version};
use crate::router::Routes;

/// The listener under which access rules and logs know bridges.
pub const LISTENER: &str = "bridge";

/// How much waits in the queue of a bridge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Messages, those in flight included.
    pub messages: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Messages that the queue may have.
    pub max_messages: usize,
    /// How long ago the oldest of them was accepted.
    pub oldest_age: Duration,
}

/// The other end of a bridge's connection, as access rules and logs know it.
pub fn peer_of(name: &str, address: PeerAddr) -> Peer {
    Peer {
        address,
        listener: LISTENER.into(),
        identity: Identity { username: Some(principal_of(name).into()), ..Identity::default() },
        certificate: None,
    }
}

impl Broker {
    /// Makes or resumes the session of a bridge without its other end, and subscribes it to
    /// exactly these filters. Must not be cancelled.
    ///
    /// # Errors
    /// As [`Broker::connect`].
    pub async fn open_bridge(
        self: &Arc<Self>,
        terms: &BridgeTerms,
        forward: Vec<SubscribeFilter>,
    ) -> Result<(), ReasonCode> {
        let connect = Connect {
            clean_start: false,
            session_expiry: Some(u32::MAX),
            ..Connect::new(Version::V5, principal_of(&terms.name))
        };
        let peer = peer_of(&terms.name, PeerAddr::Local);
        let Accepted { client, .. } =
            self.connect_bridge(&connect, peer, (terms, QoS::ExactlyOnce)).await?;
        Box::new(client).open_offline(forward).await;
        Ok(())
    }

    /// The names of the bridges that have a session, also of those that are no longer
    /// configured.
    pub fn bridges_with_sessions(&self) -> Vec<String> {
        let sessions = self.registry.all();
        let names = sessions.iter().filter_map(|handle| handle.client_id.strip_prefix(PREFIX));
        names.map(str::to_owned).collect()
    }

    /// True if the bridge has a session.
    pub fn has_bridge_session(&self, name: &str) -> bool {
        self.registry.get(&principal_of(name)).is_some()
    }

    /// What waits in the queue of a bridge.
    pub fn bridge_backlog(self: &Arc<Self>, name: &str, counts: &Counts) -> Backlog {
        let Some(handle) = self.registry.get(&principal_of(name)) else {
            return Backlog::default();
        };
        let mut session = handle.lock();
        let messages = session.backlog();
        let seen = session.oldest_message().map(|at| at.0);
        let known = Some(counts.oldest.load(Ordering::Relaxed)).filter(|at| *at > 0);
        let oldest = if messages == 0 { None } else { seen.or(known) };
        // After a start the whole queue waits on disk, and its beginning was not seen yet: at the
        // next look it was, also if it is no longer in memory.
        let page = (messages > 0 && oldest.is_none())
            .then(|| session.next_page(|| self.page_bytes()))
            .flatten();
        let bytes = session.backlog_bytes();
        let max_messages = session.limits.max_queued_messages;
        drop(session);
        counts.oldest.store(oldest.unwrap_or(0), Ordering::Relaxed);
        if let Some(page) = page {
            self.read_page(&handle, page);
        }
        let age = oldest.map(|at| self.clock.now().wall.0.saturating_sub(at));
        let oldest_age = age.map(Duration::from_millis).unwrap_or_default();
        Backlog { messages, bytes, max_messages, oldest_age }
    }

    /// Publishes whether a bridge is connected, as Mosquitto does: `1` or `0`, retained, at
    /// `$SYS/broker/connection/NAME/state`.
    pub fn publish_bridge_state(self: &Arc<Self>, name: &str, is_connected: bool) {
        let topic = format!("$SYS/broker/connection/{name}/state");
        let publication = Publication {
            topic: &topic,
            properties: &[],
            payload: if is_connected { b"1" } else { b"0" },
            qos: QoS::AtMostOnce,
            retain: true,
            expires_at: None,
            is_copy: false,
        };
        let mut step = Step::new(self);
        let mut routes = Routes::new();
        self.route(&topic, None, &mut routes);
        let message = self.message_of(&publication, &routes, None, &step);
        self.deliver_at_once(message, &routes, &mut step);
        self.retained.retain_in_memory(&publication, step.now.wall);
        step.submit_or_log(self);
    }
}
