//! What a CONNECT asks for, what the broker grants of it, and the CONNACK that says so.

use std::sync::Arc;

use super::Broker;
use super::bridge::Window;
use crate::protocol::{ConnAck, Connect, QoS, UserProperty, Version, hops};
use crate::session::{Limits, NEVER_EXPIRES};

/// What the broker granted of the client's request.
pub(super) struct Granted {
    pub(super) expiry: u32,
    pub(super) keep_alive: u16,
    pub(super) client_id: Arc<str>,
    pub(super) assigned: bool,
    /// False: there is no room for a new session. An existing session can only be ended.
    pub(super) has_room: bool,
    /// Present for the session of a bridge.
    pub(super) bridge: Option<BridgeSession>,
}

/// What is different for the session of a bridge, beside its expiry.
pub(super) struct BridgeSession {
    /// The limits of its session; `None`: those of other sessions.
    pub(super) limits: Option<Arc<Limits>>,
    /// How many messages it may have in flight.
    pub(super) window: Window,
    /// The highest QoS that its other end accepts.
    pub(super) max_qos: QoS,
}

impl Broker {
    pub(super) fn grant(&self, connect: &Connect, bridge: Option<BridgeSession>) -> Granted {
        let settings = &self.settings;
        let asked = match connect.version {
            Version::V5 => connect.session_expiry.unwrap_or(0),
            _ if connect.clean_start => 0,
            _ => NEVER_EXPIRES,
        };
        let expiry = match bridge {
            Some(_) => NEVER_EXPIRES,
            None => asked.min(settings.max_session_expiry),
        };
        let keep_alive = match self.connect_settings().max_keep_alive {
            0 => connect.keep_alive,
            limit if connect.version == Version::V5 && connect.keep_alive == 0 => limit,
            limit if connect.version == Version::V5 => connect.keep_alive.min(limit),
            _ => connect.keep_alive,
        };
        let assigned = connect.client_id.is_empty();
        let client_id = if assigned { self.assign_client_id() } else { connect.client_id.clone() };
        Granted {
            expiry,
            keep_alive,
            client_id: client_id.into(),
            assigned,
            has_room: true,
            bridge,
        }
    }

    pub(super) fn connack(
        &self,
        connect: &Connect,
        granted: &Granted,
        session_present: bool,
    ) -> ConnAck {
        let settings = &self.settings;
        let asked = connect.session_expiry.unwrap_or(0);
        ConnAck {
            // 3.1 has no Session Present flag; its byte is reserved and 0.
            session_present: session_present && connect.version > Version::V31,
            session_expiry: (asked != granted.expiry).then_some(granted.expiry),
            receive_maximum: Some(settings.receive_maximum),
            maximum_packet_size: Some(settings.max_packet_size),
            retain_available: (!settings.retain_available).then_some(false),
            assigned_client_id: granted.assigned.then(|| granted.client_id.to_string()),
            topic_alias_maximum: Some(settings.topic_alias_maximum),
            server_keep_alive: (granted.keep_alive != connect.keep_alive)
                .then_some(granted.keep_alive),
            user_properties: self.introduction(connect),
            ..ConnAck::default()
        }
    }

    /// What a broker at the other end has to know of this one.
    fn introduction(&self, connect: &Connect) -> Vec<UserProperty> {
        let is_broker = connect.user_properties.iter().any(|(name, _)| name == hops::BROKER);
        let own = is_broker.then(|| (hops::BROKER.to_owned(), self.identity.to_string()));
        own.into_iter().collect()
    }
}
