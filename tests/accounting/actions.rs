//! Actions of clients that make the broker hold memory.

use crate::common::packets::{self, Message, Will, property};
use crate::game::Game;

/// Filters in one SUBSCRIBE.
const FILTERS: usize = 50;

impl Game {
    pub fn subscribe(&mut self, index: usize, filters: &[String], qos: u8) {
        for some in filters.chunks(FILTERS) {
            let mut bytes = Vec::new();
            let client = &mut self.clients[index];
            let (version, pid) = (client.version(), client.packet_id());
            let filters = some.iter().map(String::as_str);
            packets::subscribe_all(&mut bytes, version, pid, filters, qos);
            self.send(index, &bytes);
            self.commit();
        }
    }

    pub fn unsubscribe(&mut self, index: usize, filters: &[String]) {
        for filter in filters {
            let mut bytes = Vec::new();
            let client = &mut self.clients[index];
            let (version, pid) = (client.version(), client.packet_id());
            packets::unsubscribe(&mut bytes, version, pid, filter);
            self.send(index, &bytes);
        }
        self.commit();
    }

    /// Publishes `count` messages in one write. Only what must be committed is committed.
    pub fn publish(&mut self, index: usize, topic: &str, qos: u8, size: usize, count: usize) {
        let (mut bytes, payload) = (Vec::new(), vec![b'x'; size]);
        let message = Message { topic, payload: &payload, qos, ..Message::default() };
        for _ in 0..count {
            let client = &mut self.clients[index];
            let (version, pid) = (client.version(), client.packet_id());
            packets::message(&mut bytes, version, &Message { pid, ..message });
            if bytes.len() > 1 << 14 {
                self.send(index, &bytes);
                bytes.clear();
            }
        }
        self.send(index, &bytes);
    }

    /// Publishes a retained message; with `size` 0 it removes the retained message.
    pub fn retain(&mut self, index: usize, topic: &str, size: usize) {
        let (mut bytes, payload) = (Vec::new(), vec![b'x'; size]);
        let client = &mut self.clients[index];
        let (version, pid) = (client.version(), client.packet_id());
        let message = Message { topic, payload: &payload, qos: 1, pid, ..Message::default() };
        packets::message(&mut bytes, version, &Message { retain: true, ..message });
        self.send(index, &bytes);
    }

    /// Sends a PUBLISH of `size` bytes without its last ten.
    pub fn begin_publish(&mut self, index: usize, topic: &str, size: usize) {
        let (mut bytes, payload) = (Vec::new(), vec![b'x'; size]);
        let message = Message { topic, payload: &payload, ..Message::default() };
        packets::message(&mut bytes, self.clients[index].version(), &message);
        bytes.truncate(bytes.len() - 10);
        self.clients[index].is_in_packet = true;
        self.send(index, &bytes);
    }

    /// Sends the missing bytes of that PUBLISH.
    pub fn end_publish(&mut self, index: usize) {
        self.send(index, &[b'x'; 10]);
        self.clients[index].is_in_packet = false;
        self.run();
    }

    /// Sets topic aliases, whose identifiers have two bytes. MQTT 5.0 only.
    pub fn alias(&mut self, index: usize, topics: impl Iterator<Item = String>) {
        for (alias, topic) in (1..).zip(topics) {
            let mut bytes = Vec::new();
            let properties = &property::topic_alias(alias);
            let message = Message { topic: &topic, properties, ..Message::default() };
            packets::message(&mut bytes, 5, &message);
            self.send(index, &bytes);
        }
    }

    /// Connects again with a will.
    pub fn leave_a_will(&mut self, index: usize, topic: &str, size: usize, delay: u32) {
        // The payload of a will has a length of two bytes.
        let payload = vec![b'w'; size.min(65_535)];
        let will = Will { payload, delay, ..Will::new(topic) };
        self.connect(index, Some(will));
    }
}
