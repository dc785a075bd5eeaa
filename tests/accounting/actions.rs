//! Actions of clients that make the broker hold memory.

use crate::common::raw;
use crate::game::Game;
use crate::packets::{self, Will};

/// Filters in one SUBSCRIBE.
const FILTERS: usize = 50;

impl Game {
    pub fn subscribe(&mut self, index: usize, filters: &[String], qos: u8) {
        for some in filters.chunks(FILTERS) {
            let mut bytes = Vec::new();
            let client = &mut self.clients[index];
            let (v5, pid) = (client.v5, client.packet_id());
            packets::subscribe(&mut bytes, v5, pid, some.iter().map(String::as_str), qos);
            self.send(index, &bytes);
            self.commit();
        }
    }

    pub fn unsubscribe(&mut self, index: usize, filters: &[String]) {
        for filter in filters {
            let mut bytes = Vec::new();
            let client = &mut self.clients[index];
            let (v5, pid) = (client.v5, client.packet_id());
            raw::unsubscribe(&mut bytes, if v5 { 5 } else { 4 }, pid, filter);
            self.send(index, &bytes);
        }
        self.commit();
    }

    /// Publishes `count` messages in one write. Only what must be committed is committed.
    pub fn publish(&mut self, index: usize, topic: &str, qos: u8, size: usize, count: usize) {
        let mut bytes = Vec::new();
        for _ in 0..count {
            let client = &mut self.clients[index];
            let (v5, pid) = (client.v5, client.packet_id());
            packets::publish(&mut bytes, v5, (qos, pid, false), (topic, None), size);
            if bytes.len() > 1 << 14 {
                self.send(index, &bytes);
                bytes.clear();
            }
        }
        self.send(index, &bytes);
    }

    /// Publishes a retained message; with `size` 0 it removes the retained message.
    pub fn retain(&mut self, index: usize, topic: &str, size: usize) {
        let mut bytes = Vec::new();
        let client = &mut self.clients[index];
        let (v5, pid) = (client.v5, client.packet_id());
        packets::publish(&mut bytes, v5, (1, pid, true), (topic, None), size);
        self.send(index, &bytes);
    }

    /// Sends a PUBLISH of `size` bytes without its last ten.
    pub fn begin_publish(&mut self, index: usize, topic: &str, size: usize) {
        let mut bytes = Vec::new();
        let v5 = self.clients[index].v5;
        packets::publish(&mut bytes, v5, (0, 0, false), (topic, None), size);
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
            packets::publish(&mut bytes, true, (0, 0, false), (&topic, Some(alias)), 0);
            self.send(index, &bytes);
        }
    }

    /// Connects again with a will.
    pub fn leave_a_will(&mut self, index: usize, topic: &str, size: usize, delay: u32) {
        let will = Will { topic: topic.to_owned(), size, delay };
        self.connect(index, Some(&will));
    }
}
