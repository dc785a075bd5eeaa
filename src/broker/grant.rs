//! What a CONNECT asks for, what the broker grants of it, and the CONNACK that says so.

use std::sync::Arc;

use super::Broker;
use crate::protocol::{ConnAck, Connect, Version};

/// What the broker granted of the client's request.
pub(super) struct Granted {
    pub(super) expiry: u32,
    pub(super) keep_alive: u16,
    pub(super) client_id: Arc<str>,
    pub(super) assigned: bool,
    /// False: there is no room for a new session. An existing session can only be ended.
    pub(super) has_room: bool,
}

impl Broker {
    pub(super) fn grant(&self, connect: &Connect) -> Granted {
        let settings = &self.settings;
        let asked = match connect.version {
            Version::V5 => connect.session_expiry.unwrap_or(0),
            _ if connect.clean_start => 0,
            _ => u32::MAX,
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
            expiry: asked.min(settings.max_session_expiry),
            keep_alive,
            client_id: client_id.into(),
            assigned,
            has_room: true,
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
            ..ConnAck::default()
        }
    }
}
