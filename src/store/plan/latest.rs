//! The highest change number that was applied under each key, kept as long as an older one may
//! still arrive. An older number never replaces a newer one. Pure.

use ahash::AHashMap;

use crate::message::{ChangeNo, SessionId};
use crate::protocol::PacketId;
use crate::sabotage::Sabotage;
use crate::store::op::Change;

/// The state that a change applies to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Session(SessionId),
    /// The session's end, which covers everything that belongs to it.
    End(SessionId),
    Subscription(SessionId, Box<str>),
    Incoming(SessionId, PacketId),
    Retained(Box<str>),
}

impl Key {
    fn of(change: &Change) -> Self {
        match change {
            Change::OpenIncoming(session, packet_id)
            | Change::CloseIncoming(session, packet_id) => Self::Incoming(*session, *packet_id),
            Change::Session(record) => Self::Session(record.id),
            Change::EndSession(session) => Self::End(*session),
            Change::Subscribe(session, record) => {
                Self::Subscription(*session, record.filter.clone())
            }
            Change::Unsubscribe(session, filter) => Self::Subscription(*session, filter.clone()),
            Change::Retain(record, _) => Self::Retained(record.topic.clone()),
            Change::Unretain(topic) => Self::Retained(topic.clone()),
        }
    }

    /// The session whose end covers it.
    fn session(&self) -> Option<SessionId> {
        match self {
            Self::Session(session)
            | Self::Subscription(session, _)
            | Self::Incoming(session, _) => Some(*session),
            Self::End(_) | Self::Retained(_) => None,
        }
    }
}

/// The numbers of three generations of steps: two for the steps that have yet to submit (see
/// [`crate::message::Order`]), and one because submitted changes may wait in the open batch
/// while the generation advances.
#[derive(Debug, Default)]
pub(in crate::store) struct Latest {
    now: AHashMap<Key, ChangeNo>,
    before: [AHashMap<Key, ChangeNo>; 2],
}

impl Latest {
    /// Starts a new generation. Called between two batches.
    pub(in crate::store) fn next_generation(&mut self) {
        /// Capacity that is kept for the numbers of an ordinary batch.
        const KEEP: usize = 1024;
        let [last, oldest] = &mut self.before;
        std::mem::swap(last, oldest);
        std::mem::swap(&mut self.now, last);
        self.now.clear();
        self.now.shrink_to(KEEP);
    }

    /// Records a change. False if a newer change under the same key, or the end of its
    /// session, was recorded before: then it must not be applied.
    pub(in crate::store) fn note(&mut self, no: ChangeNo, change: &Change) -> bool {
        self.note_key(no, Key::of(change))
    }

    /// True if a newer change under the same key was recorded before.
    pub(in crate::store) fn is_older(&self, no: ChangeNo, change: &Change) -> bool {
        !Sabotage::SubmitBeforeLock.is_on()
            && self.get(&Key::of(change)).is_some_and(|last| last > no)
    }

    /// As [`Latest::note`], for the packet identifier that a message opens.
    pub(in crate::store) fn note_incoming(
        &mut self,
        no: ChangeNo,
        session: SessionId,
        packet_id: PacketId,
    ) -> bool {
        self.note_key(no, Key::Incoming(session, packet_id))
    }

    fn note_key(&mut self, no: ChangeNo, key: Key) -> bool {
        if Sabotage::SubmitBeforeLock.is_on() {
            return true;
        }
        let ended = key.session().and_then(|session| self.get(&Key::End(session)));
        if ended.is_some_and(|ended| ended > no) || self.get(&key).is_some_and(|last| last > no) {
            return false;
        }
        // An end that was decided before the session's row was written again is void: what it
        // would remove is newer.
        if let Key::End(session) = &key
            && self.get(&Key::Session(*session)).is_some_and(|last| last > no)
        {
            return false;
        }
        self.now.insert(key, no);
        true
    }

    fn get(&self, key: &Key) -> Option<ChangeNo> {
        let [last, oldest] = &self.before;
        self.now.get(key).or_else(|| last.get(key)).or_else(|| oldest.get(key)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unretain(topic: &str) -> Change {
        Change::Unretain(topic.into())
    }

    #[test]
    fn an_older_number_never_replaces_a_newer_one() {
        let mut latest = Latest::default();
        assert!(latest.note(ChangeNo(2), &unretain("a")));
        assert!(!latest.note(ChangeNo(1), &unretain("a")));
        assert!(latest.note(ChangeNo(1), &unretain("b")), "another key");
        assert!(latest.note(ChangeNo(3), &unretain("a")));
    }

    #[test]
    fn the_end_of_a_session_covers_what_was_decided_before_it() {
        let (mut latest, session) = (Latest::default(), SessionId(7));
        let filter = Change::Unsubscribe(session, "a".into());
        assert!(latest.note(ChangeNo(5), &Change::EndSession(session)));
        assert!(!latest.note(ChangeNo(4), &filter));
        assert!(!latest.note_incoming(ChangeNo(3), session, PacketId::FIRST));
        assert!(latest.note(ChangeNo(6), &filter), "it is durable again");
    }

    #[test]
    fn a_number_is_remembered_for_three_generations() {
        let mut latest = Latest::default();
        latest.note(ChangeNo(9), &unretain("a"));
        latest.next_generation();
        latest.next_generation();
        assert!(!latest.note(ChangeNo(1), &unretain("a")));
        latest.next_generation();
        assert!(latest.note(ChangeNo(1), &unretain("a")), "nobody carries an older one");
    }
}
