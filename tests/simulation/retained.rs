//! What may and must be retained: the model's check of what subscribers receive, and of memory
//! against the file.
//!
//! The last acknowledged retained publish is retained. Only what the broker may have read
//! after it can have replaced it. Nothing may be retained only if an operator may have removed
//! it since, if an expired message may have replaced it, or if a QoS 0 message may have, for
//! which a full disk had no room.

use std::collections::{BTreeSet, HashMap};

use crate::model::{Message, Model};

impl Message {
    /// True if the broker certainly read this message before the other one was read or sent.
    fn is_before(&self, other: &Self) -> bool {
        let read = self.acknowledged.unwrap_or(self.last_read);
        // Within one connection, the order is that of the client.
        let sent_once = self.resent == 0 && other.resent == 0 && self.connection > 0;
        let in_order = sent_once && self.connection == other.connection && self.id < other.id;
        read < other.sent || in_order
    }

    /// True if its retained copy, if any, may have expired by `now`: its expiry counts from
    /// when the broker read it.
    fn may_have_expired(&self, now: u64) -> bool {
        self.expiry
            .zip(self.first_read_at)
            .is_some_and(|(seconds, read)| read + u64::from(seconds) * 1000 <= now)
    }

    /// True if its retained copy has certainly expired by `now`.
    fn has_expired(&self, now: u64) -> bool {
        self.expiry.is_some_and(|seconds| self.read_at + u64::from(seconds) * 1000 <= now)
    }

    /// True if the broker refused it, and cannot have accepted it before.
    fn was_never_taken(&self) -> bool {
        self.refused && self.resent == 0
    }
}

impl Model {
    /// Checks `retained`, topic to message, as a new subscriber receives them at `now`.
    pub fn check_retained(&self, retained: &HashMap<String, u32>, now: u64) {
        let topics: BTreeSet<&str> =
            self.messages.iter().filter(|m| m.retain).map(|m| m.topic.as_str()).collect();
        for topic in topics {
            match retained.get(topic) {
                Some(id) => self.check_retained_message(topic, *id, now),
                None => self.check_nothing_is_retained(topic, now),
            }
        }
        for topic in retained.keys() {
            assert!(
                self.messages.iter().any(|m| m.retain && m.topic == *topic),
                "{topic} was never retained"
            );
        }
    }

    fn writes<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a Message> {
        self.messages.iter().filter(move |m| m.retain && m.topic == topic && !m.is_will)
    }

    /// An acknowledged write after `message`.
    fn overruled_by<'a>(&'a self, message: &'a Message) -> Option<&'a Message> {
        let answered = |m: &&Message| m.qos > 0 && m.acknowledged.is_some();
        self.writes(&message.topic).filter(answered).find(|m| message.is_before(m))
    }

    fn check_retained_message(&self, topic: &str, id: u32, now: u64) {
        let message = self.message(id);
        assert!(message.retain && message.topic == topic, "message {id} was not to be retained");
        assert!(!message.removes, "message {id} on {topic} removes what is retained");
        assert!(!message.has_expired(now), "message {id} is retained on {topic} and has expired");
        assert!(!message.was_never_taken(), "message {id} is retained on {topic} and was refused");
        let later = self.overruled_by(message);
        assert!(
            later.is_none(),
            "message {id} is retained on {topic}, but a later one was acknowledged: {later:?}"
        );
    }

    fn check_nothing_is_retained(&self, topic: &str, now: u64) {
        let answered = self.writes(topic).filter(|m| m.qos > 0 && m.acknowledged.is_some());
        let Some(last) = answered.last() else { return };
        let cleared = self.writes(topic).any(|m| {
            let clears = m.removes || m.may_have_expired(now) || self.may_be_lost_at_qos_0(m);
            clears && !m.was_never_taken() && self.overruled_by(m).is_none()
        });
        assert!(cleared, "LOST: nothing is retained on {topic}, where {last:?} was acknowledged");
    }

    /// True if this QoS 0 message may have been lost on a full disk: its publisher is not
    /// refused; it is retained only in memory until there is room, and the message that it
    /// replaced is removed from the file. A broker that ends before that leaves nothing.
    fn may_be_lost_at_qos_0(&self, message: &Message) -> bool {
        message.qos == 0
            && message.first_read_at.is_some()
            && self.found_full.is_some_and(|step| step >= message.sent)
            && self.started >= message.sent
    }

    /// Compares what memory holds when everything is committed with what the file holds at
    /// `now`, then or after a crash.
    pub fn check_retained_on_disk(
        &self,
        memory: &HashMap<String, u32>,
        disk: &HashMap<String, u32>,
        now: u64,
    ) {
        let topics: BTreeSet<&String> = memory.keys().chain(disk.keys()).collect();
        for topic in topics {
            let (memory, disk) = (memory.get(topic), disk.get(topic));
            let may_differ = memory.is_some_and(|id| {
                let message = self.message(*id);
                // The broker may have been stopped when it expired.
                let expired = disk.is_none() && message.may_have_expired(now);
                expired || self.may_wait_for_room(message)
            });
            assert!(
                memory == disk || may_differ,
                "message {memory:?} is retained on {topic} in memory, {disk:?} on disk"
            );
        }
    }

    /// True if it is not acknowledged and may be only in memory since the disk was full.
    fn may_wait_for_room(&self, message: &Message) -> bool {
        message.acknowledged.is_none() && self.found_full.is_some_and(|step| step >= message.sent)
    }
}
