//! What may and must be retained: the model's judgement of what subscribers see, and of
//! memory beside the file.
//!
//! The last retained publish that was acknowledged holds. What the broker may have read
//! after it can have taken its place, and nothing else can: nothing may be retained only
//! if an operator may have removed it since, if a message that has expired may have
//! replaced it, or if one of QoS 0 may have done so that a full disk had no room for.

use std::collections::{BTreeSet, HashMap};

use crate::model::{Message, Model};

impl Message {
    /// True if it is certain that the broker read this message before the other one was
    /// read or even sent.
    fn is_before(&self, other: &Self) -> bool {
        let read = self.acknowledged.unwrap_or(self.last_read);
        // Within one connection the order is that of the client.
        let sent_once = self.resent == 0 && other.resent == 0 && self.connection > 0;
        let in_order = sent_once && self.connection == other.connection && self.id < other.id;
        read < other.sent || in_order
    }

    /// True if its retained copy, if there ever was one, may have expired by `now`: the
    /// broker counts from when it read it.
    fn may_have_expired(&self, now: u64) -> bool {
        self.expiry
            .zip(self.first_read_at)
            .is_some_and(|(seconds, read)| read + u64::from(seconds) * 1000 <= now)
    }

    /// True if its retained copy has certainly expired by `now`.
    fn has_expired(&self, now: u64) -> bool {
        self.expiry.is_some_and(|seconds| self.read_at + u64::from(seconds) * 1000 <= now)
    }

    /// True if the broker said that it does not take it, and cannot have taken it before.
    fn was_never_taken(&self) -> bool {
        self.refused && self.resent == 0
    }
}

impl Model {
    /// `retained`: topic to message, as a new subscriber sees them at `now`.
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

    /// A write that the broker answers for and that came after `message`.
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

    /// The publisher of a QoS 0 message is not told that the disk has no room for it: it
    /// is retained in memory alone until there is, and what it replaced is removed from
    /// the file. A broker that ends before that leaves nothing.
    fn may_be_lost_at_qos_0(&self, message: &Message) -> bool {
        message.qos == 0
            && message.first_read_at.is_some()
            && self.found_full.is_some_and(|step| step >= message.sent)
            && self.started >= message.sent
    }

    /// What memory holds when everything is committed, and what the file holds at `now`,
    /// then or after a crash.
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
                // The broker may have been down when it expired.
                let expired = disk.is_none() && message.may_have_expired(now);
                expired || self.may_wait_for_room(message)
            });
            assert!(
                memory == disk || may_differ,
                "message {memory:?} is retained on {topic} in memory, {disk:?} on disk"
            );
        }
    }

    /// It is not acknowledged, and may be in memory alone since the disk was full.
    fn may_wait_for_room(&self, message: &Message) -> bool {
        message.acknowledged.is_none() && self.found_full.is_some_and(|step| step >= message.sent)
    }
}
