//! The inflight window: QoS 1 and 2 deliveries that are sent and not acknowledged.

use std::collections::VecDeque;

use super::Entry;
use crate::protocol::PacketId;

/// Entries by packet identifier. Identifiers are drawn in a cycle and sent in that order, so
/// the window is a range of the cycle with gaps, and an identifier is found by its index.
#[derive(Debug, Default)]
pub struct Window {
    slots: VecDeque<Option<Entry>>,
    /// The identifier of the first slot.
    base: Option<PacketId>,
    len: usize,
    bytes: u64,
}

impl Window {
    /// The number of unacknowledged deliveries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Entries that there is memory for.
    pub fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    /// True if all are acknowledged.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sum of their sizes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// True if a delivery with this identifier is in flight. The next one with it must wait
    /// [MQTT-2.2.1-3].
    pub fn contains(&self, packet_id: PacketId) -> bool {
        self.index(packet_id).and_then(|index| self.slots.get(index)).is_some_and(Option::is_some)
    }

    /// The delivery with this identifier, if it is in flight.
    pub fn get(&self, packet_id: PacketId) -> Option<&Entry> {
        self.slots.get(self.index(packet_id)?)?.as_ref()
    }

    /// Adds a delivery that is being sent. Its identifier must be free: see
    /// [`Window::contains`].
    pub fn insert(&mut self, packet_id: PacketId, entry: Entry) {
        debug_assert!(!self.contains(packet_id), "the id is free");
        if self.slots.is_empty() {
            self.base = Some(packet_id);
        }
        let Some(index) = self.index(packet_id) else { return };
        self.len += 1;
        self.bytes += entry.size();
        if index >= self.slots.len() {
            self.slots.resize_with(index, || None);
            self.slots.push_back(Some(entry));
        } else if let Some(slot) = self.slots.get_mut(index) {
            *slot = Some(entry);
        }
    }

    /// The delivery with this identifier, if it is in flight.
    pub fn get_mut(&mut self, packet_id: PacketId) -> Option<&mut Entry> {
        let index = self.index(packet_id)?;
        self.slots.get_mut(index)?.as_mut()
    }

    /// All deliveries, nearly in the order in which they were sent.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.slots.iter().flatten()
    }

    /// Removes a delivery.
    pub fn remove(&mut self, packet_id: PacketId) -> Option<Entry> {
        let index = self.index(packet_id)?;
        let entry = self.slots.get_mut(index)?.take()?;
        self.len -= 1;
        self.bytes -= entry.size();
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.base = self.base.map(PacketId::next);
        }
        super::queue::trim(&mut self.slots);
        Some(entry)
    }

    /// Removes all deliveries, in the order in which they were sent.
    pub fn drain(&mut self) -> VecDeque<Entry> {
        self.len = 0;
        self.bytes = 0;
        self.base = None;
        let mut entries: Vec<Entry> = self.slots.drain(..).flatten().collect();
        // A delivery that was repeated after a reconnect may be behind newer ones.
        entries.sort_by_key(|entry| entry.delivery);
        entries.into()
    }

    fn index(&self, packet_id: PacketId) -> Option<usize> {
        self.base.map(|base| usize::from(packet_id.steps_from(base)))
    }
}
