//! QoS 2 publishes of the client: packet identifiers that await PUBREL.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::message::{CommitNo, Message};
use crate::protocol::PacketId;

#[derive(Debug)]
struct Held {
    /// The message that PUBREC waits for, until it is committed.
    message: Option<Arc<Message>>,
    /// The connection that last sent the PUBLISH.
    epoch: u64,
}

impl Held {
    fn is_void(&self, epoch: u64) -> bool {
        self.message.as_ref().is_some_and(|message| {
            let durability = &message.durability;
            durability.is_refused() || (self.epoch != epoch && durability.refuse_parked())
        })
    }
}

/// Packet identifiers between PUBLISH and PUBREL. A PUBLISH with one of them is a repeat and
/// must not be delivered again [MQTT-4.3.3-10].
#[derive(Debug, Default)]
pub struct Incoming {
    /// Boxed, because every session has this, and most never use it.
    ids: Option<Box<Ids>>,
}

#[derive(Debug, Default)]
struct Ids {
    held: BTreeMap<PacketId, Held>,
    /// Those whose messages may be undecided, in the order in which they were received.
    undecided: VecDeque<PacketId>,
}

/// The result of looking up a packet identifier.
#[derive(Debug, Clone)]
pub enum Known {
    /// It is not in use.
    New,
    /// A repeat. Its PUBREC waits for this message, if there is one.
    Repeat {
        /// The message of the first PUBLISH.
        message: Option<Arc<Message>>,
        /// True if this connection has not sent it before, so that it counts against the
        /// receive maximum.
        counts: bool,
    },
}

impl Incoming {
    /// The number of identifiers.
    pub fn len(&self) -> usize {
        self.ids.as_ref().map_or(0, |ids| ids.held.len())
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if the identifier is in use: its PUBREL has not been received.
    pub fn holds(&self, packet_id: PacketId) -> bool {
        self.ids.as_ref().is_some_and(|ids| ids.held.contains_key(&packet_id))
    }

    /// Looks up an identifier for connection `epoch`.
    pub fn look_up(&mut self, packet_id: PacketId, epoch: u64) -> Known {
        let Some(ids) = &mut self.ids else { return Known::New };
        match ids.held.get_mut(&packet_id) {
            None => Known::New,
            // The disk refused its message, or parked it for a connection that has ended. It
            // was not delivered, so this PUBLISH counts as new.
            Some(held) if held.is_void(epoch) => {
                ids.held.remove(&packet_id);
                Known::New
            }
            Some(held) => {
                let counts = held.epoch != epoch;
                held.epoch = epoch;
                Known::Repeat { message: held.message.clone(), counts }
            }
        }
    }

    /// Records an accepted QoS 2 PUBLISH.
    pub fn insert(&mut self, packet_id: PacketId, message: Option<Arc<Message>>, epoch: u64) {
        let ids = self.ids.get_or_insert_default();
        if message.is_some() {
            ids.undecided.push_back(packet_id);
        }
        ids.held.insert(packet_id, Held { message, epoch });
    }

    /// Frees messages that are committed or need no commit. The identifier is enough to detect
    /// a repeat, and PUBREL may come late.
    pub fn release_messages(&mut self, committed: CommitNo) {
        let Some(Ids { held, undecided }) = self.ids.as_deref_mut() else { return };
        while let Some(packet_id) = undecided.front() {
            if let Some(held) = held.get_mut(packet_id)
                && let Some(message) = &held.message
            {
                if message.durability.may_acknowledge(committed) {
                    held.message = None;
                } else if !message.durability.is_refused() {
                    return;
                }
            }
            undecided.pop_front();
        }
        super::queue::trim(undecided);
    }

    /// Bytes that the ids take in memory.
    pub fn memory(&self) -> u64 {
        /// Bytes of an entry in a B-tree whose nodes are two thirds full.
        const ENTRY: usize = size_of::<(PacketId, Held)>() * 3 / 2;
        let of = |ids: &Ids| {
            size_of::<Ids>()
                + ids.held.len() * ENTRY
                + ids.undecided.capacity() * size_of::<PacketId>()
        };
        self.ids.as_deref().map_or(0, of) as u64
    }

    /// Removes an identifier whose message was refused, unless it has a newer message.
    pub fn remove_message(&mut self, packet_id: PacketId, message: &Arc<Message>) {
        let holds = |held: &Held| held.message.as_ref().is_some_and(|of| Arc::ptr_eq(of, message));
        let Some(ids) = &mut self.ids else { return };
        if ids.held.get(&packet_id).is_some_and(holds) {
            ids.held.remove(&packet_id);
        }
    }

    /// The identifiers whose repeats must be detected after a crash. Excludes those whose
    /// messages the disk may still refuse.
    pub fn held(&self) -> impl Iterator<Item = PacketId> + '_ {
        let stays = |held: &Held| {
            held.message.as_ref().is_none_or(|message| {
                let durability = &message.durability;
                !durability.is_refused() && !durability.is_parked()
            })
        };
        let held = self.ids.iter().flat_map(|ids| &ids.held);
        held.filter(move |(_, held)| stays(held)).map(|(packet_id, _)| *packet_id)
    }

    /// Removes all identifiers, because the other end has no session state.
    pub fn take_all(&mut self) -> impl Iterator<Item = PacketId> + use<> {
        self.ids.take().into_iter().flat_map(|ids| ids.held.into_keys())
    }

    /// Handles PUBREL. Returns the epoch of the connection that sent the PUBLISH, if the
    /// identifier was in use.
    pub fn remove(&mut self, packet_id: PacketId) -> Option<u64> {
        self.ids.as_mut()?.held.remove(&packet_id).map(|held| held.epoch)
    }
}
