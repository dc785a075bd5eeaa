//! Names and help texts of the broker's metrics.

use std::sync::Arc;

use super::readiness::State;
use super::{
    AclAction, AuthMethod, AuthResult, BatchedGauge, Counter, Counters, Gauge, Label,
    ListenerMetrics, Metrics, MetricsRegistry, Readiness,
};

pub(super) fn register(registry: &MetricsRegistry, metrics: &Arc<Metrics>, readiness: &Readiness) {
    build_and_state(registry, readiness);
    listeners(registry, metrics);
    connections(registry, metrics);
    packets(registry, metrics);
    messages(registry, metrics);
    sessions(registry, metrics);
    access(registry, metrics);
    reloads(registry, metrics);
}

fn build_and_state(registry: &MetricsRegistry, readiness: &Readiness) {
    registry.gauge("ferrymq_build_info", "Always 1; the version is a label.", |see| {
        see(1.0, &[("version", env!("CARGO_PKG_VERSION"))]);
    });
    let readiness = readiness.clone();
    registry.gauge("ferrymq_state", "1 for the state that the broker is in.", move |see| {
        let current = readiness.get();
        for state in State::ALL {
            see(f64::from(u8::from(*state == current)), &[(State::NAME, state.as_str())]);
        }
    });
}

/// Metrics by listener.
fn listeners(registry: &MetricsRegistry, metrics: &Arc<Metrics>) {
    let counted = Arc::clone(metrics);
    let help = "Open connections, by MQTT version; none: before CONNECT.";
    registry.gauge("ferrymq_connections", help, move |see| {
        for listener in counted.connections.listeners.all() {
            let name = ("listener", &*listener.name);
            see(as_f64(&listener.handshaking), &[name, ("version", "none")]);
            for (version, count) in listener.connected.iter() {
                #[allow(clippy::cast_precision_loss)] // As in `as_f64`.
                see(count as f64, &[name, ("version", version.as_str())]);
            }
        }
    });
    of_listeners(
        registry,
        "ferrymq_connections_opened_total",
        "Clients whose CONNECT was accepted.",
        metrics,
        |listener| &listener.opened,
    );
    of_listeners(
        registry,
        "ferrymq_connections_closed_total",
        "Accepted clients whose connection has ended.",
        metrics,
        |listener| &listener.closed,
    );
    of_listeners(
        registry,
        "ferrymq_connections_rejected_total",
        "Connections turned away before they had a session.",
        metrics,
        |listener| &listener.rejected,
    );
}

fn of_listeners<L: Label>(
    registry: &MetricsRegistry,
    name: &'static str,
    help: &'static str,
    metrics: &Arc<Metrics>,
    read: fn(&ListenerMetrics) -> &Counters<L>,
) {
    let metrics = Arc::clone(metrics);
    registry.counter(name, help, move |see| {
        for listener in metrics.connections.listeners.all() {
            for (label, count) in read(&listener).iter() {
                see(count, &[("listener", &listener.name), (L::NAME, label.as_str())]);
            }
        }
    });
}

fn connections(registry: &MetricsRegistry, metrics: &Arc<Metrics>) {
    let counted = Arc::clone(metrics);
    registry.counter(
        "ferrymq_authentications_total",
        "Authentication attempts, by the method that decided and its result.",
        move |see| {
            for (method, result, count) in counted.connections.authentications.iter() {
                let labels =
                    [(AuthMethod::NAME, method.as_str()), (AuthResult::NAME, result.as_str())];
                see(count, &labels);
            }
        },
    );
    registry.counters(
        "ferrymq_protocol_errors_total",
        "Connections closed for what the client sent.",
        metrics,
        |m| &m.connections.protocol_errors,
    );
    registry.counters(
        "ferrymq_tls_handshakes_total",
        "TLS handshakes that succeeded.",
        metrics,
        |m| &m.connections.tls_handshakes,
    );
    registry.counters(
        "ferrymq_tls_handshake_failures_total",
        "TLS handshakes that failed, by reason.",
        metrics,
        |m| &m.connections.tls_refusals,
    );
    registry.counters(
        "ferrymq_websocket_handshake_failures_total",
        "WebSocket handshakes that failed, by reason.",
        metrics,
        |m| &m.connections.websocket_refusals,
    );
    counter(
        registry,
        "ferrymq_keep_alive_timeouts_total",
        "Connections closed because the client was silent, or did not finish a packet in time.",
        metrics,
        |m| &m.connections.keep_alive_timeouts,
    );
    gauge(
        registry,
        "ferrymq_stalled_connections",
        "Publishers that wait for room on the disk or in a queue (mqtt.on_full).",
        metrics,
        |m| &m.connections.stalled,
    );
    gauge(
        registry,
        "ferrymq_throttled_connections",
        "Publishers that wait for limits.publish_rate or limits.publish_bytes_rate.",
        metrics,
        |m| &m.connections.throttled,
    );
    gauge(registry, "ferrymq_banned_addresses", "Addresses that are banned.", metrics, |m| {
        &m.connections.banned
    });
    registry.counters("ferrymq_bans_total", "Bans that have begun, by cause.", metrics, |m| {
        &m.connections.bans
    });
}

fn packets(registry: &MetricsRegistry, metrics: &Arc<Metrics>) {
    registry.counters("ferrymq_packets_received_total", "Packets from clients.", metrics, |m| {
        &m.packets.received
    });
    registry.counters("ferrymq_packets_sent_total", "Packets to clients.", metrics, |m| {
        &m.packets.sent
    });
    registry.counters(
        "ferrymq_received_bytes_total",
        "Bytes of packets from clients.",
        metrics,
        |m| &m.packets.received_bytes,
    );
    registry.counters("ferrymq_sent_bytes_total", "Bytes of packets to clients.", metrics, |m| {
        &m.packets.sent_bytes
    });
}

fn messages(registry: &MetricsRegistry, metrics: &Arc<Metrics>) {
    registry.counters(
        "ferrymq_messages_received_total",
        "Messages accepted from publishers, by their QoS.",
        metrics,
        |m| &m.messages.received,
    );
    registry.counters(
        "ferrymq_messages_delivered_total",
        "Messages sent to receivers for the first time, by the QoS of the delivery.",
        metrics,
        |m| &m.messages.delivered,
    );
    registry.counters(
        "ferrymq_persistence_dropped_messages_total",
        "Deliveries that will not happen, one for each receiver.",
        metrics,
        |m| &m.messages.dropped,
    );
    registry.counters(
        "ferrymq_messages_refused_total",
        "Publishes refused, by reason.",
        metrics,
        |m| &m.messages.refused,
    );
    counter(
        registry,
        "ferrymq_messages_redelivered_total",
        "Messages sent again after a reconnect.",
        metrics,
        |m| &m.messages.redelivered,
    );
    counter(
        registry,
        "ferrymq_messages_unrouted_total",
        "Messages accepted that nobody had subscribed to.",
        metrics,
        |m| &m.messages.unrouted,
    );
    gauge(
        registry,
        "ferrymq_persistence_queued_messages",
        "Deliveries waiting in all queues.",
        metrics,
        |m| &m.messages.queued,
    );
    batched_gauge(
        registry,
        "ferrymq_inflight_messages",
        "QoS 1 and 2 messages that were sent to receivers and are not acknowledged.",
        metrics,
        |m| &m.messages.in_flight,
    );
    gauge(registry, "ferrymq_retained_messages", "Topics with a retained message.", metrics, |m| {
        &m.messages.retained
    });
    gauge(registry, "ferrymq_retained_bytes", "Memory of all retained messages.", metrics, |m| {
        &m.messages.retained_bytes
    });
    let counted = metrics.messages.memory;
    // As `as_f64`.
    #[allow(clippy::cast_precision_loss)]
    registry.gauge(
        "ferrymq_message_memory_bytes",
        "Memory held for clients: messages, queues, subscriptions, wills, packets.",
        move |see| see(counted.get().max(0) as f64, &[]),
    );
}

fn sessions(registry: &MetricsRegistry, metrics: &Arc<Metrics>) {
    let counted = Arc::clone(metrics);
    registry.gauge("ferrymq_sessions", "Sessions, with a client or waiting for it.", move |see| {
        see(as_f64(&counted.sessions.connected), &[("state", "connected")]);
        see(as_f64(&counted.sessions.waiting), &[("state", "waiting")]);
    });
    gauge(registry, "ferrymq_subscriptions", "Subscriptions of all sessions.", metrics, |m| {
        &m.sessions.subscriptions
    });
    counter(
        registry,
        "ferrymq_session_take_overs_total",
        "Connections replaced by a new one of the same client.",
        metrics,
        |m| &m.sessions.take_overs,
    );
    counter(
        registry,
        "ferrymq_sessions_expired_total",
        "Sessions that ended because their expiry interval had passed.",
        metrics,
        |m| &m.sessions.expired,
    );
}

fn access(registry: &MetricsRegistry, metrics: &Arc<Metrics>) {
    let counted = Arc::clone(metrics);
    let help = "Decisions of the access rules.";
    registry.counter("ferrymq_acl_decisions_total", help, move |see| {
        let decisions = [("allow", &counted.access.allowed), ("deny", &counted.access.denied)];
        for (effect, counters) in decisions {
            for (action, count) in counters.iter() {
                see(count, &[(AclAction::NAME, action.as_str()), ("effect", effect)]);
            }
        }
    });
}

fn reloads(registry: &MetricsRegistry, metrics: &Arc<Metrics>) {
    registry.counters(
        "ferrymq_reloads_total",
        "Reloads of the configuration, by result.",
        metrics,
        |m| m.reloads.results(),
    );
    let counted = Arc::clone(metrics);
    let help =
        "1 if the configuration was valid when it was last read, 0 if not; the start counts.";
    registry.gauge("ferrymq_last_reload_successful", help, move |see| {
        see(f64::from(u8::from(counted.reloads.is_current())), &[]);
    });
}

fn counter(
    registry: &MetricsRegistry,
    name: &'static str,
    help: &'static str,
    metrics: &Arc<Metrics>,
    read: fn(&Metrics) -> &Counter,
) {
    let metrics = Arc::clone(metrics);
    registry.counter(name, help, move |see| see(read(&metrics).get(), &[]));
}

fn gauge(
    registry: &MetricsRegistry,
    name: &'static str,
    help: &'static str,
    metrics: &Arc<Metrics>,
    read: fn(&Metrics) -> &Gauge,
) {
    let metrics = Arc::clone(metrics);
    registry.gauge(name, help, move |see| see(as_f64(read(&metrics)), &[]));
}

fn batched_gauge(
    registry: &MetricsRegistry,
    name: &'static str,
    help: &'static str,
    metrics: &Arc<Metrics>,
    read: fn(&Metrics) -> &BatchedGauge,
) {
    let metrics = Arc::clone(metrics);
    // As `as_f64`.
    #[allow(clippy::cast_precision_loss)]
    registry.gauge(name, help, move |see| see(read(&metrics).get() as f64, &[]));
}

/// Prometheus uses floating point; above 2^53 the last digits are lost.
#[allow(clippy::cast_precision_loss)]
fn as_f64(gauge: &Gauge) -> f64 {
    gauge.get() as f64
}
