//! Searches topics by filter, over as many steps as necessary.
//!
//! Topics may be added and removed between two steps. A topic that exists from beginning to
//! end is found; a topic that is added or removed meanwhile may be found.

use super::retained::Retained;
use super::slab::NodeId;
use super::unlinked::Walking;

/// A search in progress. Nodes that are removed meanwhile keep their memory until it ends.
#[derive(Debug)]
pub struct Walk {
    filter: Box<[u8]>,
    stack: Vec<Visit>,
    path: Vec<u8>,
    _walking: Walking,
}

impl Walk {
    /// True if all matching topics have been visited.
    pub fn is_done(&self) -> bool {
        self.stack.is_empty()
    }
}

/// A node to be visited.
#[derive(Debug)]
struct Visit {
    node: NodeId,
    /// Length of the path above it, in bytes.
    above: usize,
    /// Where the filter continues below it.
    start: usize,
    /// True if it matches a wildcard, so that its siblings are visited as well.
    wild: bool,
}

impl<V> Retained<V> {
    /// Begins a search for the topics that `filter` matches. The filter must not have
    /// `$share/GROUP/`. Only nodes below its levels without wildcard are visited.
    pub fn walk(&self, filter: &str) -> Walk {
        let mut walk = Walk {
            filter: filter.as_bytes().into(),
            stack: Vec::new(),
            path: Vec::new(),
            _walking: self.unlinked.walking(),
        };
        self.below(NodeId::ROOT, 0, 0, &mut walk);
        walk
    }

    /// Continues a search, in no particular order, until [`Walk::is_done`] or `nodes` nodes
    /// have been visited. Returns the number of visited nodes.
    pub fn advance<'a>(
        &'a self,
        walk: &mut Walk,
        nodes: usize,
        visit: &mut dyn FnMut(&str, &'a V),
    ) -> usize {
        let mut seen = 0;
        while seen < nodes {
            let Some(Visit { node: id, above, start, wild }) = walk.stack.pop() else { break };
            seen += 1;
            let Some(node) = self.trie.get(id) else { continue };
            if let Some(next) = node.next().filter(|_| wild) {
                walk.stack.push(Visit { node: next, above, start, wild });
            }
            // [MQTT-4.7.2-1]: no wildcard at the first level matches topics that begin with
            // `$`.
            if wild && above == 0 && node.name().first() == Some(&b'$') {
                continue;
            }
            walk.path.truncate(above);
            walk.path.extend_from_slice(node.name());
            if let Some(value) = node.value.as_ref().filter(|_| ends(&walk.filter, start)) {
                visit(std::str::from_utf8(&walk.path).unwrap_or_default(), value);
            }
            walk.path.push(b'/');
            self.below(id, walk.path.len(), start, walk);
        }
        seen
    }

    /// Visits all topics that `filter` matches, in one step.
    pub fn matching<'a>(&'a self, filter: &str, visit: &mut dyn FnMut(&str, &'a V)) {
        self.advance(&mut self.walk(filter), usize::MAX, visit);
    }

    /// Pushes the nodes below `id` that the next level of the filter matches.
    fn below(&self, id: NodeId, above: usize, start: usize, walk: &mut Walk) {
        let Some(rest) = walk.filter.get(start..) else { return };
        let len = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        let next = start + len + 1;
        let first = || self.trie.get(id)?.first_child();
        let (node, start, wild) = match rest.get(..len).unwrap_or_default() {
            // `#` also matches all levels below.
            b"#" => (first(), start, true),
            b"+" => (first(), next, true),
            name => (self.trie.child(id, name), next, false),
        };
        walk.stack.extend(node.map(|node| Visit { node, above, start, wild }));
    }
}

/// True if the filter matches here: it has ended, or only `#` is left, which includes the
/// parent level (4.7.1.2).
fn ends(filter: &[u8], start: usize) -> bool {
    filter.get(start..).is_none_or(|rest| rest == b"#")
}
