//! QoS 2 from the client: packet ids that were received and not yet released.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::message::Message;
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
    /// Empty most of the time, so its own size counts: every session has one.
    held: BTreeMap<PacketId, Held>,
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
        self.held.len()
    }

    /// True if none is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Looks an id up, on behalf of connection `epoch`.
    pub fn look_up(&mut self, packet_id: PacketId, epoch: u64) -> Known {
        match self.held.get_mut(&packet_id) {
            None => Known::New,
            // The disk had no room for it, or it waits for room on behalf of a
            // connection that is gone: nothing has come of it, so it begins anew.
            Some(held) if held.is_void(epoch) => {
                self.held.remove(&packet_id);
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
        self.held.insert(packet_id, Held { message, epoch });
    }

    /// The message was refused after all; not if the id has come to stand for another one.
    pub fn remove_message(&mut self, packet_id: PacketId, message: &Arc<Message>) {
        let holds = |held: &Held| held.message.as_ref().is_some_and(|of| Arc::ptr_eq(of, message));
        if self.held.get(&packet_id).is_some_and(holds) {
            self.held.remove(&packet_id);
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
        self.held.iter().filter(move |(_, held)| stays(held)).map(|(packet_id, _)| *packet_id)
    }

    /// The other end has forgotten them all.
    pub fn take_all(&mut self) -> impl Iterator<Item = PacketId> + use<> {
        std::mem::take(&mut self.held).into_keys()
    }

    /// PUBREL came. The epoch of the connection that sent it, if the id was held.
    pub fn remove(&mut self, packet_id: PacketId) -> Option<u64> {
        self.held.remove(&packet_id).map(|held| held.epoch)
    }
}
