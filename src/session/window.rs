//! The in-flight window: what was sent at QoS 1 or 2 and is not acknowledged.

use std::collections::VecDeque;

use super::Entry;
use crate::protocol::PacketId;

/// Entries by packet id. Ids are drawn in a cycle and sent in that order, so the
/// window is a run of the cycle with holes, and finding an id is an index.
#[derive(Debug, Default)]
pub struct Window {
    slots: VecDeque<Option<Entry>>,
    /// The id of the first slot.
    base: Option<PacketId>,
    len: usize,
    bytes: u64,
}

impl Window {
    /// How many are unacknowledged.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Entries that there is memory for.
    pub fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    /// True if all is acknowledged.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sum of their sizes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// True if a message under this id is unacknowledged: the next one with it must
    /// wait [MQTT-2.2.1-3].
    pub fn contains(&self, packet_id: PacketId) -> bool {
        self.index(packet_id).and_then(|index| self.slots.get(index)).is_some_and(Option::is_some)
    }

    /// The delivery under this id, if it is in flight.
    pub fn get(&self, packet_id: PacketId) -> Option<&Entry> {
        self.slots.get(self.index(packet_id)?)?.as_ref()
    }

    /// Adds what has just been sent. Its id must be free, see [`Window::contains`].
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

    /// Looks at one.
    pub fn get_mut(&mut self, packet_id: PacketId) -> Option<&mut Entry> {
        let index = self.index(packet_id)?;
        self.slots.get_mut(index)?.as_mut()
    }

    /// All of them; nearly in the order in which they were sent.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.slots.iter().flatten()
    }

    /// Takes one out.
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

    /// Takes all, in the order in which they were sent.
    pub fn drain(&mut self) -> VecDeque<Entry> {
        self.len = 0;
        self.bytes = 0;
        self.base = None;
        let mut entries: Vec<Entry> = self.slots.drain(..).flatten().collect();
        // An id that was repeated after a reconnect may stand behind newer ones.
        entries.sort_by_key(|entry| entry.delivery);
        entries.into()
    }

    fn index(&self, packet_id: PacketId) -> Option<usize> {
        self.base.map(|base| usize::from(packet_id.steps_from(base)))
    }
}
