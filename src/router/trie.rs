//! A trie whose edges are topic levels. Wildcards have no special meaning here.

use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;

use super::edges::Edges;
use super::level::Level;
use super::slab::{NodeId, Slab};

/// A node: one level of a path, and its value.
#[derive(Debug, Default)]
pub(super) struct Node<T> {
    level: Level,
    parent: Option<NodeId>,
    first_child: Option<NodeId>,
    next: Option<NodeId>,
    previous: Option<NodeId>,
    pub(super) value: T,
}

impl<T> Node<T> {
    pub(super) fn name(&self) -> &[u8] {
        self.level.as_bytes()
    }

    pub(super) fn first_child(&self) -> Option<NodeId> {
        self.first_child
    }

    /// The next child of the same parent.
    pub(super) fn next(&self) -> Option<NodeId> {
        self.next
    }
}

/// The nodes, all reached from [`NodeId::ROOT`].
#[derive(Debug)]
pub(super) struct Trie<T> {
    nodes: Slab<Node<T>>,
    edges: Edges,
    /// Bytes of names that do not fit into their nodes.
    names: usize,
    /// Random, because clients choose the names of levels.
    seed: RandomState,
}

/// The hash of an edge.
#[inline]
fn hash(seed: &RandomState, parent: NodeId, name: &[u8]) -> u64 {
    let mut hasher = seed.build_hasher();
    hasher.write_u32(parent.get());
    hasher.write(name);
    hasher.finish()
}

/// The hash of the edge that leads to `id`.
fn hash_of<T: Default>(seed: &RandomState, nodes: &Slab<Node<T>>, id: NodeId) -> u64 {
    nodes.get(id).map_or(0, |node| hash(seed, node.parent.unwrap_or(NodeId::ROOT), node.name()))
}

impl<T: Default> Trie<T> {
    pub(super) fn new() -> Self {
        Self { nodes: Slab::new(), edges: Edges::new(), names: 0, seed: RandomState::new() }
    }

    /// Bytes that it takes in memory, without what the values point to.
    pub(super) fn memory(&self) -> usize {
        self.nodes.memory() + self.edges.memory() + self.names
    }

    /// Bytes that `path` takes if no other path shares a level.
    pub(super) fn cost_of(path: &str) -> usize {
        let level =
            |name: &str| size_of::<Node<T>>() + Edges::COST + Level::new(name.as_bytes()).memory();
        path.split('/').map(level).sum()
    }

    #[inline]
    pub(super) fn get(&self, id: NodeId) -> Option<&Node<T>> {
        self.nodes.get(id)
    }

    pub(super) fn value_mut(&mut self, id: NodeId) -> Option<&mut T> {
        self.nodes.get_mut(id).map(|node| &mut node.value)
    }

    #[inline]
    pub(super) fn child(&self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        self.edges.find(hash(&self.seed, parent, name), |id| {
            self.nodes
                .get(*id)
                .is_some_and(|node| node.parent == Some(parent) && node.name() == name)
        })
    }

    /// The node at the end of `path`, level by level.
    pub(super) fn find(&self, path: &str) -> Option<NodeId> {
        path.split('/').try_fold(NodeId::ROOT, |id, name| self.child(id, name.as_bytes()))
    }

    /// The child of that name, which is created if necessary.
    pub(super) fn child_or_insert(&mut self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        if let Some(id) = self.child(parent, name) {
            return Some(id);
        }
        let next = self.nodes.get(parent)?.first_child;
        let level = Level::new(name);
        let memory = level.memory();
        let id =
            self.nodes.insert(Node { level, parent: Some(parent), next, ..Node::default() })?;
        self.names += memory;
        self.nodes.get_mut(parent)?.first_child = Some(id);
        if let Some(next) = next.and_then(|next| self.nodes.get_mut(next)) {
            next.previous = Some(id);
        }
        let (nodes, seed) = (&self.nodes, &self.seed);
        self.edges.insert(hash(seed, parent, name), id, |id| hash_of(seed, nodes, *id));
        Some(id)
    }

    /// Removes a node without children. Returns its parent. `None`: it is the root or has
    /// children, and was not removed.
    pub(super) fn remove_leaf(&mut self, id: NodeId) -> Option<NodeId> {
        let parent = self.unlink_leaf(id)?;
        self.free(id);
        Some(parent)
    }

    /// Frees the slot of a node that [`Trie::unlink_leaf`] has removed.
    pub(super) fn free(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.remove(id) {
            self.names -= node.level.memory();
        }
    }

    /// As [`Trie::remove_leaf`], but the node keeps its slot and its link to the next child,
    /// for searches in progress.
    pub(super) fn unlink_leaf(&mut self, id: NodeId) -> Option<NodeId> {
        let node = self.nodes.get(id).filter(|node| node.first_child.is_none())?;
        let (parent, previous, next) = (node.parent?, node.previous, node.next);
        let (nodes, seed) = (&self.nodes, &self.seed);
        self.edges.remove(hash_of(seed, nodes, id), id, |id| hash_of(seed, nodes, *id));
        match previous {
            Some(previous) => self.nodes.get_mut(previous)?.next = next,
            None => self.nodes.get_mut(parent)?.first_child = next,
        }
        if let Some(next) = next.and_then(|next| self.nodes.get_mut(next)) {
            next.previous = previous;
        }
        Some(parent)
    }

    /// All values with their nodes, in no particular order, from slot `first` on. Includes the
    /// root's value, and a default value for each free slot. A node keeps its slot.
    pub(super) fn iter_from(&self, first: usize) -> impl Iterator<Item = (NodeId, &T)> {
        self.nodes.iter_from(first).map(|(id, node)| (id, &node.value))
    }

    /// The levels from the root to a node, joined by slashes.
    pub(super) fn path(&self, id: NodeId) -> String {
        let mut names = Vec::new();
        let mut at = self.get(id);
        while let Some((node, parent)) = at.and_then(|node| Some((node, node.parent?))) {
            names.push(node.name());
            at = self.get(parent);
        }
        names.reverse();
        String::from_utf8(names.join(&b'/')).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    fn insert(trie: &mut Trie<u8>, path: &str) -> NodeId {
        path.split('/')
            .fold(NodeId::ROOT, |id, name| trie.child_or_insert(id, name.as_bytes()).unwrap())
    }

    #[test]
    fn paths_lead_to_nodes_and_back() {
        let mut trie = Trie::<u8>::new();
        for path in ["a", "a/b", "/a", "a/", "//", "é/€", &"/".repeat(70_000)] {
            let id = insert(&mut trie, path);
            assert_eq!(trie.find(path), Some(id));
            assert_eq!(trie.path(id), path);
        }
        assert_eq!(trie.find("b"), None);
    }

    #[test]
    fn only_leaves_are_removed_and_siblings_stay_linked() {
        let mut trie = Trie::<u8>::new();
        let ids: Vec<NodeId> =
            ["p/a", "p/b", "p/c"].iter().map(|path| insert(&mut trie, path)).collect();
        let parent = trie.find("p").unwrap();
        assert_eq!(trie.remove_leaf(parent), None);
        assert_eq!(trie.remove_leaf(NodeId::ROOT), None);
        assert_eq!(trie.remove_leaf(ids[1]), Some(parent));
        let first = trie.get(parent).unwrap().first_child().unwrap();
        let second = trie.get(first).unwrap().next().unwrap();
        assert_eq!([trie.path(first), trie.path(second)], ["p/c", "p/a"]);
        assert_eq!(trie.get(second).unwrap().next(), None);
        assert_eq!(trie.remove_leaf(first), Some(parent));
        assert_eq!(trie.remove_leaf(second), Some(parent));
        assert_eq!(trie.remove_leaf(parent), Some(NodeId::ROOT));
        assert_eq!(trie.find("p"), None);
    }
}
