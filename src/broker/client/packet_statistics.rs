//! Packet counters of one step. They are added to the shared counters once a step, not once a
//! packet.

use crate::auth::acl::Effect;
use crate::protocol::QoS;
use crate::session::Entry;
use crate::telemetry::{AclAction, Label, Metrics, PacketType};

const TYPES: usize = PacketType::ALL.len();

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    packets: u32,
    bytes: u32,
}

/// Counts that are not yet in the shared counters. Every connection has them. They cover one
/// step, so four bytes for each are enough.
#[derive(Debug, Default)]
pub struct PacketStatistics {
    received: [Count; TYPES],
    sent: [Count; TYPES],
    published: [u32; 3],
    delivered: [u32; 3],
    redelivered: u32,
    /// Decisions of the access rules, by action.
    allowed: [u32; 3],
    denied: [u32; 3],
    dirty: bool,
}

impl PacketStatistics {
    /// Counts a received packet.
    pub fn received(&mut self, kind: PacketType, bytes: usize) {
        self.dirty = true;
        count(&mut self.received, kind, bytes);
    }

    /// Counts a sent packet.
    pub fn sent(&mut self, kind: PacketType, bytes: usize) {
        self.dirty = true;
        count(&mut self.sent, kind, bytes);
    }

    /// Counts an accepted publish.
    pub fn published(&mut self, qos: QoS) {
        self.dirty = true;
        if let Some(count) = self.published.get_mut(qos.index()) {
            *count += 1;
        }
    }

    /// Counts a delivery that is sent.
    pub fn delivered(&mut self, entry: &Entry, bytes: usize) {
        self.sent(PacketType::Publish, bytes);
        if let Some(count) = self.delivered.get_mut(entry.qos.index()) {
            *count += 1;
        }
        self.redelivered += u32::from(entry.dup);
    }

    /// Counts a decision of the access rules.
    pub fn decided(&mut self, action: AclAction, effect: Effect) {
        self.dirty = true;
        let counts = match effect {
            Effect::Allow => &mut self.allowed,
            Effect::Deny => &mut self.denied,
        };
        if let Some(count) = counts.get_mut(action.index()) {
            *count += 1;
        }
    }

    /// Adds all counts to the shared counters.
    pub fn hand_in(&mut self, metrics: &Metrics) {
        if !self.dirty {
            return;
        }
        for &kind in PacketType::ALL {
            let packets = &metrics.packets;
            if let Some(count) = self.received.get(kind.index()).filter(|count| count.packets > 0) {
                packets.received.add(kind, u64::from(count.packets));
                packets.received_bytes.add(kind, u64::from(count.bytes));
            }
            if let Some(count) = self.sent.get(kind.index()).filter(|count| count.packets > 0) {
                packets.sent.add(kind, u64::from(count.packets));
                packets.sent_bytes.add(kind, u64::from(count.bytes));
            }
        }
        for &qos in QoS::ALL {
            if let Some(&count) = self.published.get(qos.index()).filter(|&&count| count > 0) {
                metrics.messages.received.add(qos, u64::from(count));
            }
            if let Some(&count) = self.delivered.get(qos.index()).filter(|&&count| count > 0) {
                metrics.messages.delivered.add(qos, u64::from(count));
            }
        }
        for &action in AclAction::ALL {
            let access = &metrics.access;
            if let Some(&count) = self.allowed.get(action.index()).filter(|&&count| count > 0) {
                access.allowed.add(action, u64::from(count));
            }
            if let Some(&count) = self.denied.get(action.index()).filter(|&&count| count > 0) {
                access.denied.add(action, u64::from(count));
            }
        }
        if self.redelivered > 0 {
            metrics.messages.redelivered.add(u64::from(self.redelivered));
        }
        *self = Self::default();
    }
}

fn count(counts: &mut [Count; TYPES], kind: PacketType, bytes: usize) {
    if let Some(count) = counts.get_mut(kind.index()) {
        count.packets += 1;
        // A packet is at most 256 MiB, and a step reads and writes far less than 4 GiB.
        count.bytes = count.bytes.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }
}
