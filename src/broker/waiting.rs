//! Publishers that wait for room in a queue (`mqtt.on_full = "stall"`), and what wakes them.
//!
//! A publisher waits at the receiver whose queue is full. At a member of a shared group it waits
//! at all members that are full, since any of them may take the message. It is woken when one of
//! these has room, and tries again. Whatever else may let its message pass wakes it as well: a
//! changed subscription, another client of a session, other access rules.
//!
//! Against lost wake-ups, a publisher first counts itself and enters the lines, and then looks
//! whether it still has to wait. Whoever changes something else first changes it, and then looks
//! for those who wait.

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use super::{Broker, SessionHandle};
use crate::auth::acl::Rules;
use crate::message::Wake;
use crate::primitives::Ordering;
use crate::protocol::TopicFilter;
use crate::router::{Availability, Receiver};

/// The sessions at whose queues a publisher waits.
#[derive(Debug)]
pub(super) struct WaitingLine(Vec<Weak<SessionHandle>>);

impl WaitingLine {
    /// The number of sessions.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Bytes that it takes in memory.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.0.capacity() * size_of::<Weak<SessionHandle>>()
    }
}

impl Broker {
    /// Makes a publisher wait for room for a message of this topic, whose receiver is full.
    pub(super) fn wait_for_room(
        &self,
        receiver: &Receiver<Arc<SessionHandle>>,
        topic: &str,
        publisher: &Arc<Wake>,
    ) -> WaitingLine {
        self.waiting_publishers.fetch_add(1, Ordering::SeqCst);
        let full = match &receiver.share {
            Some(share) => self.full_members(share),
            None => vec![Arc::clone(&receiver.handle)],
        };
        for handle in &full {
            handle.wait_for_room(publisher);
        }
        let may_receive = receiver.handle.may_receive(topic, &self.rules);
        if !may_receive || self.other_member(receiver.share.as_ref(), topic, &[]).is_some() {
            publisher.notify();
        }
        WaitingLine(full.iter().map(Arc::downgrade).collect())
    }

    /// Ends the waiting of a publisher in `line`, except at the sessions of `now`.
    pub(super) fn stop_waiting(
        &self,
        line: &WaitingLine,
        now: Option<&WaitingLine>,
        publisher: &Arc<Wake>,
    ) {
        self.waiting_publishers.fetch_sub(1, Ordering::SeqCst);
        let stays: HashSet<_> = now.iter().flat_map(|line| &line.0).map(Weak::as_ptr).collect();
        for session in line.0.iter().filter(|session| !stays.contains(&session.as_ptr())) {
            if let Some(session) = session.upgrade() {
                session.stop_waiting(publisher);
            }
        }
    }

    /// The members of a shared subscription whose queues are full.
    fn full_members(&self, share: &str) -> Vec<Arc<SessionHandle>> {
        let mut full = Vec::new();
        self.for_each_member(share, |member| {
            if member.is_full() {
                full.push(Arc::clone(member));
            }
        });
        full
    }

    fn for_each_member(&self, share: &str, mut visit: impl FnMut(&Arc<SessionHandle>)) {
        let visit = std::cell::RefCell::new(&mut visit);
        self.subscriptions.read().choose_member(share, |member| {
            (visit.borrow_mut())(member);
            // None is chosen, so that all are visited.
            Availability::Ended
        });
    }

    /// A member of a shared group may take messages that it did not take before: it has joined,
    /// or its client may receive more. Publishers that wait at the others try again.
    pub(super) fn note_member(&self, filter: &TopicFilter) {
        // Most brokers never have one that waits, and a group may have many members.
        if filter.shared().is_none() || !self.has_waiting_publishers() {
            return;
        }
        self.for_each_member(filter.as_str(), |member| {
            if member.is_full() {
                member.notify_waiting_publishers();
            }
        });
    }

    /// The client of a session may receive something else than before.
    pub(super) fn note_rights_of(&self, handle: &SessionHandle) {
        if !self.has_waiting_publishers() {
            return;
        }
        handle.notify_waiting_publishers();
        let shared = {
            let session = handle.look();
            let shared =
                session.subscriptions.keys().filter(|filter| filter.starts_with("$share/"));
            shared.filter_map(|filter| TopicFilter::new(filter).ok()).collect::<Vec<_>>()
        };
        for filter in &shared {
            self.note_member(filter);
        }
    }

    /// Replaces the access rules. True if they differ from those before. Connections take the
    /// new ones in their next step.
    pub fn replace_rules(&self, rules: Rules) -> bool {
        let differs = self.rules.replace(rules);
        if differs && self.has_waiting_publishers() {
            for handle in self.registry.all() {
                handle.notify_waiting_publishers();
            }
        }
        differs
    }

    fn has_waiting_publishers(&self) -> bool {
        self.waiting_publishers.load(Ordering::SeqCst) > 0
    }
}
