//! QoS 2 from the client: packet ids that were received and not yet released.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::message::{CommitNo, Message};
use crate::protocol::PacketId;

#[derive(Debug)]
struct Held {
    /// Gates the PUBREC as long as it is not committed.
    message: Option<Arc<Message>>,
    /// The connection that sent it last.
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

/// Packet ids between PUBLISH and PUBREL: a PUBLISH under one of them is a repeat
/// and must not be delivered again [MQTT-4.3.3-10].
#[derive(Debug, Default)]
pub struct Incoming {
    /// Most sessions never have any, and every session has one of these: a pointer is all
    /// that it takes.
    ids: Option<Box<Ids>>,
}

#[derive(Debug, Default)]
struct Ids {
    held: BTreeMap<PacketId, Held>,
    /// Those whose messages may not be decided yet, in the order in which they came.
    undecided: VecDeque<PacketId>,
}

/// What is known of a packet id.
#[derive(Debug, Clone)]
pub enum Known {
    /// Never seen, or released since.
    New,
    /// A repeat; its PUBREC waits for this message, if any.
    Repeat {
        /// The message that was made of the first one.
        message: Option<Arc<Message>>,
        /// True if this connection has not sent it before, so that it counts
        /// against the receive maximum.
        counts: bool,
    },
}

impl Incoming {
    /// How many are held.
    pub fn len(&self) -> usize {
        self.ids.as_ref().map_or(0, |ids| ids.held.len())
    }

    /// True if none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if the id is held: its PUBREL has not come.
    pub fn holds(&self, packet_id: PacketId) -> bool {
        self.ids.as_ref().is_some_and(|ids| ids.held.contains_key(&packet_id))
    }

    /// Looks an id up, on behalf of connection `epoch`.
    pub fn look_up(&mut self, packet_id: PacketId, epoch: u64) -> Known {
        let Some(ids) = &mut self.ids else { return Known::New };
        match ids.held.get_mut(&packet_id) {
            None => Known::New,
            // The disk had no room for it, or it waits for room on behalf of a
            // connection that is gone: nothing has come of it, so it begins anew.
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

    /// A QoS 2 PUBLISH was accepted.
    pub fn insert(&mut self, packet_id: PacketId, message: Option<Arc<Message>>, epoch: u64) {
        let ids = self.ids.get_or_insert_default();
        if message.is_some() {
            ids.undecided.push_back(packet_id);
        }
        ids.held.insert(packet_id, Held { message, epoch });
    }

    /// Lets go of messages that are committed or need not be: an id is enough to know a
    /// repeat by, and PUBREL may be long in coming.
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
        /// Of an entry in a tree whose nodes are two thirds full.
        const ENTRY: usize = size_of::<(PacketId, Held)>() * 3 / 2;
        let of = |ids: &Ids| {
            size_of::<Ids>()
                + ids.held.len() * ENTRY
                + ids.undecided.capacity() * size_of::<PacketId>()
        };
        self.ids.as_deref().map_or(0, of) as u64
    }

    /// The message was refused after all; not if the id has come to stand for another one.
    pub fn remove_message(&mut self, packet_id: PacketId, message: &Arc<Message>) {
        let holds = |held: &Held| held.message.as_ref().is_some_and(|of| Arc::ptr_eq(of, message));
        let Some(ids) = &mut self.ids else { return };
        if ids.held.get(&packet_id).is_some_and(holds) {
            ids.held.remove(&packet_id);
        }
    }

    /// The ids under which a PUBLISH would be a repeat after a crash, if they were on disk:
    /// not those that the disk may still refuse.
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

    /// The other end has forgotten them all.
    pub fn take_all(&mut self) -> impl Iterator<Item = PacketId> + use<> {
        self.ids.take().into_iter().flat_map(|ids| ids.held.into_keys())
    }

    /// PUBREL came. The epoch of the connection that sent it, if the id was held.
    pub fn remove(&mut self, packet_id: PacketId) -> Option<u64> {
        self.ids.as_mut()?.held.remove(&packet_id).map(|held| held.epoch)
    }
}
