//! Nodes that were removed from a trie while searches are in progress.
//!
//! An interrupted search stores its position as nodes. A removed node therefore keeps its slot
//! and its link to the next sibling, until all searches have ended that began before.

use std::collections::VecDeque;
use std::sync::Arc;

use super::slab::NodeId;

/// The nodes of one epoch.
const EPOCH: usize = 256;

/// Held by a search while it lasts.
pub(super) type Walking = Arc<()>;

/// Removed nodes whose slots may not be reused yet.
#[derive(Debug, Default)]
pub(super) struct Unlinked {
    /// The nodes of the current epoch, and the token of searches that began in it.
    now: (Walking, Vec<NodeId>),
    earlier: VecDeque<(Walking, Vec<NodeId>)>,
}

impl Unlinked {
    /// The token of a search that begins now.
    pub(super) fn walking(&self) -> Walking {
        Arc::clone(&self.now.0)
    }

    /// Adds a removed node, which new searches do not find.
    pub(super) fn add(&mut self, node: NodeId) {
        if self.now.1.len() >= EPOCH {
            self.earlier.push_back(std::mem::take(&mut self.now));
        }
        self.now.1.push(node);
    }

    /// Takes a node at which no search can be any more.
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

    /// The number of nodes.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.now.1.len() + self.earlier.iter().map(|(_, nodes)| nodes.len()).sum::<usize>()
    }
}
