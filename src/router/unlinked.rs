//! Nodes that were taken out of a trie while others walk through it.
//!
//! A walk that is interrupted remembers where it stands by node. So a node that is taken
//! out keeps its slot, and its link to the sibling behind it, until every walk has ended
//! that may stand there: those that began before.

use std::collections::VecDeque;
use std::sync::Arc;

use super::slab::NodeId;

/// Nodes of one epoch, before the next one begins.
const EPOCH: usize = 256;

/// Held by a walk as long as it lasts.
pub(super) type Walking = Arc<()>;

/// Nodes whose slots may not be used again yet.
#[derive(Debug, Default)]
pub(super) struct Unlinked {
    /// Those of this epoch, and who has begun to walk in it.
    now: (Walking, Vec<NodeId>),
    earlier: VecDeque<(Walking, Vec<NodeId>)>,
}

impl Unlinked {
    /// Somebody begins to walk.
    pub(super) fn walking(&self) -> Walking {
        Arc::clone(&self.now.0)
    }

    /// One more node, which new walks do not find.
    pub(super) fn add(&mut self, node: NodeId) {
        if self.now.1.len() >= EPOCH {
            self.earlier.push_back(std::mem::take(&mut self.now));
        }
        self.now.1.push(node);
    }

    /// Takes out one on which nobody stands any more.
    pub(super) fn take_free(&mut self) -> Option<NodeId> {
        while let Some((walking, nodes)) = self.earlier.front_mut() {
            if Arc::strong_count(walking) > 1 {
                return None;
            }
            if let Some(node) = nodes.pop() {
                return Some(node);
            }
            self.earlier.pop_front();
        }
        let (walking, nodes) = &mut self.now;
        if Arc::strong_count(walking) > 1 { None } else { nodes.pop() }
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.now.1.len() + self.earlier.iter().map(|(_, nodes)| nodes.len()).sum::<usize>()
    }
}
