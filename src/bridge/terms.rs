//! From the configuration of a bridge to what the broker and the link work with.

use std::sync::Arc;

use crate::broker::bridge::{BridgeTerms, OnRefused};
use crate::config::{self, Bridge};
use crate::protocol::{
    Connect, LastWill, QoS, RetainHandling, SubscribeFilter, SubscriptionOptions, TopicName,
    Version,
};
use crate::router::{RuleError, TopicMap};
use crate::session::{Limits, Overflow};
use crate::token_bucket::Rate;

/// What a bridge subscribes to, at both ends.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Subscriptions {
    /// At this broker.
    pub forward: Vec<SubscribeFilter>,
    /// At the other end.
    pub subscribe: Vec<SubscribeFilter>,
}

/// The terms of a bridge and its subscriptions. `base` has the limits of other sessions.
///
/// # Errors
/// A rule that is none; the check of the configuration finds it first.
pub fn terms_of(
    name: &str,
    bridge: &Bridge,
    base: &Limits,
) -> Result<(BridgeTerms, Subscriptions), RuleError> {
    let forward = TopicMap::forward(&bridge.forward)?;
    let subscribe = TopicMap::subscribe(&bridge.subscribe)?;
    let subscriptions =
        Subscriptions { forward: filters(&forward), subscribe: filters(&subscribe) };
    let terms = BridgeTerms {
        name: name.into(),
        limits: Some(Arc::new(limits(bridge, base))),
        receive_maximum: Some(bridge.receive_maximum),
        forward: Some(forward),
        subscribe: Some(subscribe),
        on_refused: match bridge.on_refused {
            config::OnRefused::DeadLetter => OnRefused::DeadLetter,
            config::OnRefused::Stop => OnRefused::Stop,
        },
        max_dead_letters: u32::try_from(bridge.max_dead_letters).unwrap_or(u32::MAX),
        ack_timeout: Some(bridge.ack_timeout.duration()),
        message_rate: Rate::never_above(bridge.max_rate.messages.into()),
        byte_rate: Rate::never_above(bridge.max_rate.bytes.bytes()),
        ..BridgeTerms::default()
    };
    Ok((terms, subscriptions))
}

fn limits(bridge: &Bridge, base: &Limits) -> Limits {
    Limits {
        inflight_window: usize::from(bridge.receive_maximum),
        max_queued_messages: bridge.max_queued_messages,
        max_queued_bytes: bridge.max_queued_bytes.bytes(),
        overflow: match bridge.overflow {
            config::Overflow::Refuse => Overflow::Refuse,
            config::Overflow::DropOldest => Overflow::DropOldest,
            config::Overflow::DropNewest => Overflow::DropNewest,
        },
        queue_qos0: bridge.queue_qos0,
        ..*base
    }
}

/// One filter for each, with the highest QoS if several rules have the same.
fn filters(map: &TopicMap) -> Vec<SubscribeFilter> {
    let mut filters: Vec<SubscribeFilter> = Vec::new();
    for source in map.subscriptions() {
        let known = filters.iter_mut().find(|known| known.filter == *source.filter);
        if let Some(known) = known {
            known.options.qos = known.options.qos.max(source.qos);
            continue;
        }
        let options = SubscriptionOptions {
            qos: source.qos,
            // A shared subscription with No Local is a protocol error [MQTT-3.8.3-4].
            no_local: source.filter.shared().is_none(),
            retain_as_published: true,
            retain_handling: RetainHandling::IfNew,
        };
        filters.push(SubscribeFilter { filter: source.filter.clone(), options });
    }
    filters
}

/// The CONNECT that is sent to the other end. `is_bridge`: with the bit of bridges, before 5.0.
pub fn connect_of(
    name: &str,
    bridge: &Bridge,
    (version, is_bridge): (Version, bool),
    password: Option<Vec<u8>>,
    max_packet_size: u32,
) -> Connect {
    let is_v5 = version == Version::V5;
    let username = Some(bridge.username.clone()).filter(|name| !name.is_empty());
    Connect {
        is_bridge: is_bridge && !is_v5,
        clean_start: bridge.clean_start,
        keep_alive: bridge.keep_alive_seconds(),
        will: notification(name, bridge).map(|topic| LastWill {
            topic,
            payload: b"0".to_vec(),
            qos: QoS::AtLeastOnce,
            retain: true,
            delay: 0,
            expiry: None,
            properties: Vec::new(),
        }),
        username,
        password,
        session_expiry: is_v5.then(|| bridge.session_expiry.as_mqtt_seconds()),
        receive_maximum: is_v5.then_some(bridge.receive_maximum),
        maximum_packet_size: is_v5.then_some(max_packet_size),
        ..Connect::new(version, bridge.client_id(name))
    }
}

/// Where the state of the connection is published at the other end, if it is.
pub fn notification(name: &str, bridge: &Bridge) -> Option<TopicName> {
    let topic = bridge.remote_notification_topic(name)?;
    TopicName::new(&topic).ok()
}
