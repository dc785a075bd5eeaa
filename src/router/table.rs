//! Adds, replaces and removes subscriptions.

use super::Subscription;
use super::groups::Groups;
use super::members::{Member, Members};
use super::slab::NodeId;
use super::trie::Trie;
use crate::message::SessionId;
use crate::protocol::TopicFilter;

/// The subscribers of one filter, at its last node.
#[derive(Debug)]
pub(super) struct NodeSubscribers<S> {
    /// The child named `+`, which matches every level.
    pub(super) plus: Option<NodeId>,
    /// The child named `#`.
    pub(super) hash: Option<NodeId>,
    pub(super) members: Members<S>,
    /// Boxed, because few nodes have any.
    pub(super) groups: Option<Box<Groups<S>>>,
}

impl<S> Default for NodeSubscribers<S> {
    fn default() -> Self {
        Self { plus: None, hash: None, members: Members::None, groups: None }
    }
}

impl<S> NodeSubscribers<S> {
    fn is_vacant(&self) -> bool {
        matches!(self.members, Members::None) && self.groups.is_none()
    }

    /// Bytes that it takes in memory besides this.
    fn memory(&self) -> usize {
        self.members.memory() + self.groups.as_ref().map_or(0, |groups| groups.memory())
    }

    /// The field for a wildcard child of this name.
    fn wildcard(&mut self, name: &[u8]) -> Option<&mut Option<NodeId>> {
        match name {
            b"+" => Some(&mut self.plus),
            b"#" => Some(&mut self.hash),
            _ => None,
        }
    }
}

/// Sessions by topic filter. `S` is the handle that is returned with each receiver.
#[derive(Debug)]
pub struct Router<S> {
    pub(super) trie: Trie<NodeSubscribers<S>>,
    len: usize,
    generation: u64,
    /// Bytes that members and groups take besides their nodes.
    subscriber_bytes: usize,
    /// Bytes that it takes without subscriptions.
    empty_bytes: usize,
}

impl<S> Default for Router<S> {
    fn default() -> Self {
        let trie = Trie::new();
        Self { empty_bytes: trie.memory(), trie, len: 0, generation: 0, subscriber_bytes: 0 }
    }
}

impl<S: Clone> Router<S> {
    /// Creates a router without subscriptions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that the subscriptions take in memory.
    pub fn memory(&self) -> usize {
        (self.trie.memory() + self.subscriber_bytes).saturating_sub(self.empty_bytes)
    }

    /// The number of subscriptions.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there is no subscription.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Changes with every change of a subscription. Routes may be reused while it stays the
    /// same, unless a receiver has a `share` (a member is selected for each message) or the
    /// publisher differs (No Local).
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Adds a subscription. False: it replaces this session's subscription to the same filter
    /// [MQTT-3.8.4-3]. The same filter in another shared group, or in none, is another
    /// subscription.
    pub fn subscribe(
        &mut self,
        filter: &TopicFilter,
        session: SessionId,
        handle: S,
        sub: Subscription,
    ) -> bool {
        let end =
            filter.matched().split('/').try_fold(NodeId::ROOT, |id, name| self.step(id, name));
        let Some(subscribers) = end.and_then(|id| self.trie.value_mut(id)) else { return false };
        let member = Member::new(session, handle, sub);
        let before = subscribers.memory();
        let new = match filter.shared() {
            None => subscribers.members.insert(member),
            Some(group) => {
                let groups = subscribers.groups.get_or_insert_with(|| Box::new(Groups::new()));
                groups.insert(group, filter.as_str(), member)
            }
        };
        self.subscriber_bytes = self.subscriber_bytes + subscribers.memory() - before;
        self.len += usize::from(new);
        self.generation += 1;
        new
    }

    /// Removes a subscription. True if it existed.
    pub fn unsubscribe(&mut self, filter: &TopicFilter, session: SessionId) -> bool {
        let Some(id) = self.trie.find(filter.matched()) else { return false };
        let Some(subscribers) = self.trie.value_mut(id) else { return false };
        let before = subscribers.memory();
        let existed = match (filter.shared(), &mut subscribers.groups) {
            (None, _) => subscribers.members.remove(session),
            (Some(_), None) => false,
            (Some(group), Some(groups)) => groups.remove(group, session),
        };
        if subscribers.groups.as_ref().is_some_and(|groups| groups.is_empty()) {
            subscribers.groups = None;
        }
        self.subscriber_bytes = self.subscriber_bytes + subscribers.memory() - before;
        if existed {
            self.len -= 1;
            self.generation += 1;
            self.prune(id);
        }
        existed
    }

    /// The child of this name, which is created if necessary.
    fn step(&mut self, parent: NodeId, name: &str) -> Option<NodeId> {
        let id = self.trie.child_or_insert(parent, name.as_bytes())?;
        if let Some(wildcard) = self.trie.value_mut(parent)?.wildcard(name.as_bytes()) {
            *wildcard = Some(id);
        }
        Some(id)
    }

    /// Removes a node without subscribers and children, and its parents that have none either.
    fn prune(&mut self, mut id: NodeId) {
        while self.trie.get(id).is_some_and(|node| node.value.is_vacant()) {
            let Some(parent) = self.trie.remove_leaf(id) else { return };
            if let Some(subscribers) = self.trie.value_mut(parent) {
                subscribers.plus.take_if(|plus| *plus == id);
                subscribers.hash.take_if(|hash| *hash == id);
            }
            id = parent;
        }
    }
}
