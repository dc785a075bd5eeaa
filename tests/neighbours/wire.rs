//! Packets of MQTT 3.1.1 at QoS 0, as attackers send them.

use super::common::packets::{self, Message};

/// Appends a PUBLISH.
pub fn publish(out: &mut Vec<u8>, topic: &str, payload: &[u8], retain: bool) {
    packets::message(out, 4, &Message { topic, payload, retain, ..Message::default() });
}

/// Appends a SUBSCRIBE of many filters.
pub fn subscribe<'a>(out: &mut Vec<u8>, pid: u16, filters: impl IntoIterator<Item = &'a str>) {
    packets::subscribe_all(out, 4, pid, filters, 0);
}

/// As many of `packet` as fit into `bytes`, one at least.
pub fn repeated(packet: &[u8], bytes: usize) -> Vec<u8> {
    packet.repeat((bytes / packet.len()).max(1))
}
