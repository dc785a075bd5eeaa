//! The session of a bridge without its other end: it exists, and queues messages, from the
//! moment at which the bridge is configured.

use std::sync::Arc;

use super::{BridgeTerms, PREFIX, principal_of};
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
            version: Version::V5,
            is_bridge: false,
            clean_start: false,
            keep_alive: 0,
            client_id: principal_of(&terms.name),
            will: None,
            username: None,
            password: None,
            session_expiry: Some(u32::MAX),
            receive_maximum: None,
            maximum_packet_size: None,
            topic_alias_maximum: 0,
            request_response_information: false,
            request_problem_information: false,
            user_properties: Vec::new(),
            authentication_method: None,
            authentication_data: None,
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

    /// What waits in the queue of a bridge.
    pub fn bridge_backlog(&self, name: &str) -> Backlog {
        let Some(handle) = self.registry.get(&principal_of(name)) else {
            return Backlog::default();
        };
        let session = handle.look();
        Backlog {
            messages: session.backlog(),
            bytes: session.backlog_bytes(),
            max_messages: session.limits.max_queued_messages,
        }
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
