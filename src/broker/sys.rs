//! Publishes `$SYS/broker/...`: the broker's statistics as retained messages, with Mosquitto's
//! topic names.

use std::sync::Arc;

use super::{Broker, Publication, Step};
use crate::protocol::QoS;
use crate::router::Routes;
use crate::telemetry::{Counters, Label};

impl Broker {
    /// Publishes all values once.
    pub fn publish_sys(self: &Arc<Self>) {
        let mut step = Step::new(self);
        for (name, value) in self.sys_values() {
            let topic = format!("$SYS/broker/{name}");
            let publication = Publication {
                topic: &topic,
                properties: &[],
                payload: value.as_bytes(),
                qos: QoS::AtMostOnce,
                retain: true,
                expires_at: None,
                is_copy: false,
            };
            let mut routes = Routes::new();
            self.route(&topic, None, &mut routes);
            let message = self.message_of(&publication, &routes, None, &step);
            self.deliver_at_once(message, &routes, &mut step);
            self.retained.retain_in_memory(&publication, step.now.wall);
        }
        step.submit_or_log(self);
    }

    fn sys_values(&self) -> Vec<(&'static str, String)> {
        let metrics = &self.metrics;
        let (online, waiting) = self.session_counts();
        let uptime = self.clock.started().elapsed().as_secs();
        vec![
            ("version", format!("FerryMQ {}", env!("CARGO_PKG_VERSION"))),
            ("uptime", format!("{uptime} seconds")),
            ("clients/connected", online.to_string()),
            ("clients/disconnected", waiting.to_string()),
            ("clients/total", (online + waiting).to_string()),
            ("subscriptions/count", metrics.sessions.subscriptions.get().to_string()),
            ("retained messages/count", metrics.messages.retained.get().to_string()),
            ("messages/received", sum(&metrics.packets.received)),
            ("messages/sent", sum(&metrics.packets.sent)),
            ("publish/messages/received", sum(&metrics.messages.received)),
            ("publish/messages/sent", sum(&metrics.messages.delivered)),
            ("publish/messages/dropped", sum(&metrics.messages.dropped)),
            ("bytes/received", sum(&metrics.packets.received_bytes)),
            ("bytes/sent", sum(&metrics.packets.sent_bytes)),
            ("store/messages/count", self.queued().to_string()),
            ("store/messages/bytes", self.memory().to_string()),
        ]
    }
}

fn sum<L: Label>(counters: &Counters<L>) -> String {
    counters.iter().map(|(_, count)| count).sum::<u64>().to_string()
}
