//! Metrics of bridges, one series for each bridge of the configuration.

use std::sync::atomic::Ordering;

use crate::bridge::status::{Failure, LinkState};
use crate::bridge::{BridgeView, Bridges};
use crate::protocol::ReasonCode;
use crate::telemetry::MetricsRegistry;

/// A number of a bridge.
type Figure = (&'static str, &'static str, fn(&BridgeView) -> u64);

/// Registers them.
pub(in crate::server) fn observe_bridges(registry: &MetricsRegistry, bridges: &Bridges) {
    let gauges: [Figure; 6] = [
        ("ferrymq_bridge_connected", "1 while the bridge is connected, 0 otherwise.", |bridge| {
            u64::from(bridge.link.state == LinkState::Connected)
        }),
        (
            "ferrymq_bridge_queued_messages",
            "Messages that wait for the bridge or are in flight.",
            |bridge| bridge.backlog.messages as u64,
        ),
        (
            "ferrymq_bridge_queued_bytes",
            "Bytes of messages that wait for the bridge or are in flight.",
            |bridge| bridge.backlog.bytes,
        ),
        (
            "ferrymq_bridge_oldest_message_age_seconds",
            "Time since the oldest message was accepted that the bridge has not delivered.",
            |bridge| bridge.backlog.oldest_age.as_secs(),
        ),
        (
            "ferrymq_bridge_max_queued_messages",
            "Messages that the queue of the bridge may have (bridges.NAME.max_queued_messages).",
            |bridge| bridge.bridge.max_queued_messages as u64,
        ),
        (
            "ferrymq_bridge_max_queued_bytes",
            "Bytes of messages that the queue of the bridge may have (bridges.NAME.max_queued_bytes).",
            |bridge| bridge.bridge.max_queued_bytes.bytes(),
        ),
    ];
    for (name, help, read) in gauges {
        let bridges = bridges.clone();
        registry.gauge(name, help, move |see| {
            for bridge in bridges.list() {
                see(as_gauge(read(&bridge)), &[("bridge", bridge.name.as_str())]);
            }
        });
    }
    let counters: [Figure; 2] = [
        (
            "ferrymq_bridge_forwarded_messages_total",
            "Messages that the other end of the bridge has acknowledged.",
            |bridge| bridge.counts.forwarded.load(Ordering::Relaxed),
        ),
        (
            "ferrymq_bridge_received_messages_total",
            "Messages of the other end that were taken.",
            |bridge| bridge.counts.received.load(Ordering::Relaxed),
        ),
    ];
    for (name, help, read) in counters {
        let bridges = bridges.clone();
        registry.counter(name, help, move |see| {
            for bridge in bridges.list() {
                see(read(&bridge), &[("bridge", bridge.name.as_str())]);
            }
        });
    }
    by_reason(registry, bridges);
}

/// Reasons that are reported before they occur, so that their first increase is seen.
const EXPECTED: [ReasonCode; 4] = [
    ReasonCode::UnspecifiedError,
    ReasonCode::NotAuthorized,
    ReasonCode::QuotaExceeded,
    ReasonCode::PacketTooLarge,
];

fn by_reason(registry: &MetricsRegistry, bridges: &Bridges) {
    let all = bridges.clone();
    registry.counter(
        "ferrymq_bridge_reconnects_total",
        "Connections of the bridge that ended or were not established, by reason.",
        move |see| {
            for bridge in all.list() {
                for reason in Failure::ALL {
                    let count = bridge.link.failures.get(&reason).copied().unwrap_or_default();
                    see(count, &[("bridge", bridge.name.as_str()), ("reason", reason.as_str())]);
                }
            }
        },
    );
    let all = bridges.clone();
    registry.counter(
        "ferrymq_bridge_dead_letters_total",
        "Messages that the other end has refused for good, by its reason code.",
        move |see| {
            for bridge in all.list() {
                let counted = bridge.counts.dead_letters.lock().clone();
                let others = EXPECTED.iter().filter(|it| !counted.contains_key(&(**it as u8)));
                let zeros = others.map(|reason| (*reason as u8, 0));
                for (reason, count) in counted.iter().map(|(it, count)| (*it, *count)).chain(zeros)
                {
                    let reason = ReasonCode::from_u8(reason).unwrap_or_default();
                    let reason = reason.description().replace(' ', "_");
                    see(count, &[("bridge", bridge.name.as_str()), ("reason", reason.as_str())]);
                }
            }
        },
    );
}

#[allow(clippy::cast_precision_loss)] // Exact up to 2^53.
fn as_gauge(count: u64) -> f64 {
    count as f64
}
