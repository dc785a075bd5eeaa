//! Values by topic, found by topic filter.

use super::slab::NodeId;
use super::trie::Trie;
use super::unlinked::Unlinked;

/// One value for each topic, such as retained messages.
#[derive(Debug)]
pub struct Retained<V> {
    pub(super) trie: Trie<Option<V>>,
    len: usize,
    pub(super) unlinked: Unlinked,
}

impl<V> Default for Retained<V> {
    fn default() -> Self {
        Self { trie: Trie::new(), len: 0, unlinked: Unlinked::default() }
    }
}

impl<V> Retained<V> {
    /// Creates an index without topics.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of topics.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes that a topic takes besides its value, if no other topic shares a level.
    pub fn cost_of(topic: &str) -> usize {
        Trie::<Option<V>>::cost_of(topic)
    }

    /// True if there is no topic.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets a topic's value. Returns the value before.
    pub fn insert(&mut self, topic: &str, value: V) -> Option<V> {
        let step = |id, name: &str| self.trie.child_or_insert(id, name.as_bytes());
        let end = topic.split('/').try_fold(NodeId::ROOT, step)?;
        let old = self.trie.value_mut(end)?.replace(value);
        self.len += usize::from(old.is_none());
        old
    }

    /// Removes a topic's value and the nodes that led only to it.
    pub fn remove(&mut self, topic: &str) -> Option<V> {
        let mut id = self.trie.find(topic)?;
        let old = self.trie.value_mut(id)?.take()?;
        self.len -= 1;
        while self.trie.get(id).is_some_and(|node| node.value.is_none()) {
            let Some(parent) = self.trie.unlink_leaf(id) else { break };
            self.unlinked.add(id);
            // Frees as many slots as are added, and more if there are more.
            for _ in 0..2 {
                let Some(free) = self.unlinked.take_free() else { break };
                self.trie.free(free);
            }
            id = parent;
        }
        Some(old)
    }

    /// The value of a topic.
    pub fn get(&self, topic: &str) -> Option<&V> {
        self.trie.get(self.trie.find(topic)?)?.value.as_ref()
    }

    /// The value of a topic, for a change.
    pub fn get_mut(&mut self, topic: &str) -> Option<&mut V> {
        let id = self.trie.find(topic)?;
        self.trie.value_mut(id)?.as_mut()
    }

    /// Scans the next `nodes` slots, starting with slot `from`. Returns the topics whose
    /// values are `wanted`, and the next slot. A topic keeps its slot, so a topic that exists
    /// during the whole scan is found whatever changes meanwhile.
    pub fn scan(
        &self,
        from: usize,
        nodes: usize,
        wanted: impl Fn(&V) -> bool,
    ) -> (Vec<String>, Option<usize>) {
        let mut seen = 0;
        let slots = self.trie.iter_from(from).take(nodes).inspect(|_| seen += 1);
        let wanted = slots.filter(|(_, value)| value.as_ref().is_some_and(&wanted));
        let topics = wanted.map(|(id, _)| self.trie.path(id)).collect();
        (topics, (seen == nodes).then_some(from + nodes))
    }
}
