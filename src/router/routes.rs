//! The receivers of one message: the buffer that [`Router::route`](super::Router::route) fills.

use std::sync::Arc;

use hashbrown::HashTable;

use super::list::position;
use super::members::{Member, spread};
use super::slab::NodeId;
use crate::message::{SessionId, SubscriptionIds};
use crate::protocol::QoS;

/// The number of linear searches after which an index of the receivers is built. Building it
/// costs about as much as these.
const LOOKS: usize = 8;

/// An index with capacity for this many times its entries is dropped.
const SPARSE: usize = 64;

/// Entries for which an empty buffer keeps its memory after [`Routes::shrink`].
const KEPT: usize = 32;

/// A session that gets the message, with its options.
#[derive(Debug, Clone)]
pub struct Receiver<S> {
    /// The session.
    pub session: SessionId,
    /// The handle that the caller gave with its subscription.
    pub handle: S,
    /// The highest QoS of its matching subscriptions [MQTT-3.3.4-2].
    pub qos: QoS,
    /// True if one of its matching subscriptions has this option.
    pub retain_as_published: bool,
    /// The identifiers of all its matching subscriptions [MQTT-3.3.4-4].
    pub identifiers: SubscriptionIds,
    /// The full name of the shared subscription in whose group this session was selected:
    /// `$share/GROUP/FILTER`. The same session may be a receiver a second time by
    /// subscriptions of its own.
    pub share: Option<Arc<str>>,
}

impl<S: Clone> Receiver<S> {
    pub(super) fn new(member: &Member<S>, share: Option<&Arc<str>>) -> Self {
        Self {
            session: member.session,
            handle: member.handle.clone(),
            qos: member.options.qos,
            retain_as_published: member.options.retain_as_published,
            identifiers: member.identifier.iter().map(|id| id.get()).collect(),
            share: share.cloned(),
        }
    }

    fn merge(&mut self, member: &Member<S>) {
        self.qos = self.qos.max(member.options.qos);
        self.retain_as_published |= member.options.retain_as_published;
        self.identifiers.extend(member.identifier.map(std::num::NonZeroU32::get));
    }
}

/// The receivers of one message. Reuse it: once it has held the largest fan-out, it allocates
/// no more.
#[derive(Debug)]
pub struct Routes<S> {
    /// In no particular order.
    pub receivers: Vec<Receiver<S>>,
    /// Receivers that were left out because they may not receive the message, and shared groups
    /// none of whose members may.
    pub not_authorized: usize,
    /// Nodes to be visited, and where in the topic each continues.
    pub(super) stack: Vec<(NodeId, usize)>,
    /// Nodes that the search has visited.
    pub(super) visited: usize,
    /// True if some receivers are not shared, so that the next filter may find them again.
    own: bool,
    /// Linear searches so far.
    looks: usize,
    /// `index` holds the positions of all receivers that are not shared.
    indexed: bool,
    index: HashTable<u32>,
}

impl<S> Default for Routes<S> {
    fn default() -> Self {
        Self {
            receivers: Vec::new(),
            not_authorized: 0,
            stack: Vec::new(),
            visited: 0,
            own: false,
            looks: 0,
            indexed: false,
            index: HashTable::new(),
        }
    }
}

impl<S: Clone> Routes<S> {
    /// An empty buffer; allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The cost of the last search in visited nodes. Skipped members are included.
    pub fn visited(&self) -> usize {
        self.visited
    }

    /// Clears the receivers and begins a search.
    pub fn begin(&mut self) {
        self.clear();
        self.stack.push((NodeId::ROOT, 0));
    }

    /// Clears the receivers and drops their handles.
    pub fn clear(&mut self) {
        self.receivers.clear();
        self.not_authorized = 0;
        self.stack.clear();
        if std::mem::take(&mut self.indexed) {
            // Clearing a table takes time in proportion to its capacity. After a large
            // fan-out, a table of that size must not slow down small ones.
            if self.index.capacity() / SPARSE > self.index.len() {
                self.index = HashTable::new();
            }
            self.index.clear();
        }
        self.visited = 0;
        self.own = false;
        self.looks = 0;
    }

    /// Leaves out a receiver that may not receive the message, after the search is done. The
    /// last one takes its place.
    pub fn leave_out(&mut self, at: usize) {
        if at < self.receivers.len() {
            self.receivers.swap_remove(at);
            self.not_authorized += 1;
        }
    }

    /// Clears the receivers, and frees the memory of a large buffer.
    pub fn shrink(&mut self) {
        self.clear();
        if self.receivers.capacity() > KEPT {
            self.receivers = Vec::new();
        }
        if self.stack.capacity() > KEPT {
            self.stack = Vec::new();
        }
        if self.index.capacity() > KEPT {
            self.index = HashTable::new();
        }
    }

    /// Entries that it has memory for.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.receivers.capacity() + self.stack.capacity() + self.index.capacity()
    }

    pub(super) fn add_shared(&mut self, member: &Member<S>, share: &Arc<str>) {
        self.receivers.push(Receiver::new(member, Some(share)));
    }

    /// Adds the subscribers of one matching filter. Those that are receivers already by
    /// another filter are merged.
    pub(super) fn add(&mut self, members: &[Member<S>], publisher: Option<SessionId>) {
        // [MQTT-3.8.3-3]: skips only this subscription, not the session.
        let wanted =
            members.iter().filter(|m| !(m.options.no_local && publisher == Some(m.session)));
        if !self.own {
            let before = self.receivers.len();
            self.receivers.extend(wanted.map(|member| Receiver::new(member, None)));
            self.own = self.receivers.len() > before;
            return;
        }
        self.looks = self.looks.saturating_add(members.len());
        if !self.indexed && self.looks > LOOKS {
            self.indexed = true;
            (0..self.receivers.len()).for_each(|at| self.add_to_index(at));
        }
        for member in wanted {
            let known = self.find(member.session).and_then(|at| self.receivers.get_mut(at));
            if let Some(receiver) = known {
                receiver.merge(member);
                continue;
            }
            self.receivers.push(Receiver::new(member, None));
            if self.indexed {
                self.add_to_index(self.receivers.len() - 1);
            }
        }
    }

    fn find(&self, session: SessionId) -> Option<usize> {
        if !self.indexed {
            return self.receivers.iter().position(|r| r.session == session && r.share.is_none());
        }
        let is = |at: &u32| self.receivers.get(*at as usize).is_some_and(|r| r.session == session);
        self.index.find(spread(session), is).map(|at| *at as usize)
    }

    fn add_to_index(&mut self, at: usize) {
        let receivers = &self.receivers;
        let rehash = |at: &u32| receivers.get(*at as usize).map_or(0, |r| spread(r.session));
        if let Some(receiver) = receivers.get(at).filter(|receiver| receiver.share.is_none()) {
            self.index.insert_unique(spread(receiver.session), position(at), rehash);
        }
    }
}
