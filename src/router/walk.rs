//! Searches topics by filter, over as many steps as necessary.
//!
//! Between two steps topics may come and go. One that is there from the beginning of the
//! walk to its end is found; one that comes or goes meanwhile may be.

use super::retained::Retained;
use super::slab::NodeId;
use super::unlinked::Walking;

/// A search that has begun. Nodes that are taken out meanwhile keep their memory until it
/// ends.
#[derive(Debug)]
pub struct Walk {
    filter: Box<[u8]>,
    stack: Vec<Visit>,
    path: Vec<u8>,
    _walking: Walking,
}

impl Walk {
    /// True if it has been everywhere.
    pub fn is_done(&self) -> bool {
        self.stack.is_empty()
    }
}

/// A node that the walk has yet to visit.
#[derive(Debug)]
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
    /// Begins to look for the topics that `filter` matches, which comes without
    /// `$share/GROUP/`. Looks only at what lies below the part of the filter that has no
    /// wildcard.
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

    /// Goes on, visiting topics in no particular order, until [`Walk::is_done`] or as many
    /// nodes have been looked at. Returns how many those were.
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
            // [MQTT-4.7.2-1]: no wildcard at the root matches `$SYS` and its kind.
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

    /// Visits every topic that `filter` matches, in one step.
    pub fn matching<'a>(&'a self, filter: &str, visit: &mut dyn FnMut(&str, &'a V)) {
        self.advance(&mut self.walk(filter), usize::MAX, visit);
    }

    /// Puts on the stack what the next level of the filter asks for below `id`.
    fn below(&self, id: NodeId, above: usize, start: usize, walk: &mut Walk) {
        let Some(rest) = walk.filter.get(start..) else { return };
        let len = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        let next = start + len + 1;
        let first = || self.trie.get(id)?.first_child();
        let (node, start, wild) = match rest.get(..len).unwrap_or_default() {
            // What lies below stays at the `#`.
            b"#" => (first(), start, true),
            b"+" => (first(), next, true),
            name => (self.trie.child(id, name), next, false),
        };
        walk.stack.extend(node.map(|node| Visit { node, above, start, wild }));
    }
}

/// The filter matches here: it is used up, or only a `#` is left, which includes
/// the parent level (4.7.1.2).
fn ends(filter: &[u8], start: usize) -> bool {
    filter.get(start..).is_none_or(|rest| rest == b"#")
}
