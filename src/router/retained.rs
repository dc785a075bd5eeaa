//! Topics to values, found by topic filter.

use super::slab::NodeId;
use super::trie::Trie;

/// One value for each topic: the retained messages, or whatever stands for them.
#[derive(Debug)]
pub struct Retained<V> {
    trie: Trie<Option<V>>,
    len: usize,
}

impl<V> Default for Retained<V> {
    fn default() -> Self {
        Self { trie: Trie::new(), len: 0 }
    }
}

/// A node that the walk has yet to visit.
struct Visit {
    node: NodeId,
    /// Bytes of the path above it.
    above: usize,
    /// Where the filter goes on below it.
    start: usize,
    /// It came by a wildcard: its siblings follow.
    wild: bool,
}

impl<V> Retained<V> {
    /// Without any topic.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of topics.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without any topic.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets a topic's value and returns the one before.
    pub fn insert(&mut self, topic: &str, value: V) -> Option<V> {
        let step = |id, name: &str| self.trie.child_or_insert(id, name.as_bytes());
        let end = topic.split('/').try_fold(NodeId::ROOT, step)?;
        let old = self.trie.value_mut(end)?.replace(value);
        self.len += usize::from(old.is_none());
        old
    }

    /// Takes a topic's value out, and the nodes that led only to it.
    pub fn remove(&mut self, topic: &str) -> Option<V> {
        let mut id = self.trie.find(topic)?;
        let old = self.trie.value_mut(id)?.take()?;
        self.len -= 1;
        while self.trie.get(id).is_some_and(|node| node.value.is_none()) {
            let Some(parent) = self.trie.remove_leaf(id) else { break };
            id = parent;
        }
        Some(old)
    }

    /// A topic's value.
    pub fn get(&self, topic: &str) -> Option<&V> {
        self.trie.get(self.trie.find(topic)?)?.value.as_ref()
    }

    /// A topic's value, to be changed.
    pub fn get_mut(&mut self, topic: &str) -> Option<&mut V> {
        let id = self.trie.find(topic)?;
        self.trie.value_mut(id)?.as_mut()
    }

    /// The topics of the next `nodes` nodes whose values are `wanted`, from slot `from`
    /// on, and the slot behind them. A topic keeps its slot: one that is there the whole
    /// time is seen whatever changes in between.
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

    /// Visits every topic that `filter` matches, in no particular order. `filter`
    /// comes without `$share/GROUP/`. Looks only at what lies below the part of the
    /// filter that has no wildcard.
    pub fn matching<'a>(&'a self, filter: &str, visit: &mut dyn FnMut(&str, &'a V)) {
        let filter = filter.as_bytes();
        let (mut stack, mut path) = (Vec::new(), Vec::new());
        self.below(NodeId::ROOT, 0, 0, filter, &mut stack);
        while let Some(Visit { node: id, above, start, wild }) = stack.pop() {
            let Some(node) = self.trie.get(id) else { continue };
            if let Some(next) = node.next().filter(|_| wild) {
                stack.push(Visit { node: next, above, start, wild });
            }
            // [MQTT-4.7.2-1]: no wildcard at the root matches `$SYS` and its kind.
            if wild && above == 0 && node.name().first() == Some(&b'$') {
                continue;
            }
            path.truncate(above);
            path.extend_from_slice(node.name());
            if let Some(value) = node.value.as_ref().filter(|_| ends(filter, start)) {
                visit(std::str::from_utf8(&path).unwrap_or_default(), value);
            }
            path.push(b'/');
            self.below(id, path.len(), start, filter, &mut stack);
        }
    }

    /// Puts on the stack what the next level of the filter asks for below `id`.
    fn below(&self, id: NodeId, above: usize, start: usize, filter: &[u8], stack: &mut Vec<Visit>) {
        let Some(rest) = filter.get(start..) else { return };
        let len = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        let next = start + len + 1;
        let first = || self.trie.get(id)?.first_child();
        let (node, start, wild) = match rest.get(..len).unwrap_or_default() {
            // What lies below stays at the `#`.
            b"#" => (first(), start, true),
            b"+" => (first(), next, true),
            name => (self.trie.child(id, name), next, false),
        };
        stack.extend(node.map(|node| Visit { node, above, start, wild }));
    }
}

/// The filter matches here: it is used up, or only a `#` is left, which includes
/// the parent level (4.7.1.2).
fn ends(filter: &[u8], start: usize) -> bool {
    filter.get(start..).is_none_or(|rest| rest == b"#")
}
