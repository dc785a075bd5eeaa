//! An arena of nodes with 4-byte indices.

use std::num::NonZeroU32;

/// Nodes in a chunk. An arena in one piece would be copied when it grows, which at a million
/// nodes blocks all publishers.
const CHUNK: usize = 1024;

/// The number of a node; never 0, so that `Option<NodeId>` takes four bytes too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct NodeId(NonZeroU32);

impl NodeId {
    /// The root, which always exists.
    pub(super) const ROOT: Self = Self(NonZeroU32::MIN);

    /// Its number, for hashing.
    #[inline]
    pub(super) fn get(self) -> u32 {
        self.0.get()
    }

    #[inline]
    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// An arena of `N`. Free slots are reused first.
#[derive(Debug)]
pub(super) struct Slab<N> {
    chunks: Vec<Vec<N>>,
    free: Vec<NodeId>,
    /// The highest number in use.
    last: NonZeroU32,
}

impl<N: Default> Slab<N> {
    pub(super) fn new() -> Self {
        Self { chunks: vec![vec![N::default()]], free: Vec::new(), last: NonZeroU32::MIN }
    }

    #[inline]
    pub(super) fn get(&self, id: NodeId) -> Option<&N> {
        self.chunks.get(id.index() / CHUNK)?.get(id.index() % CHUNK)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: NodeId) -> Option<&mut N> {
        self.chunks.get_mut(id.index() / CHUNK)?.get_mut(id.index() % CHUNK)
    }

    /// `None` if four billion nodes exist, which does not happen in practice.
    pub(super) fn insert(&mut self, node: N) -> Option<NodeId> {
        if let Some(id) = self.free.pop() {
            *self.get_mut(id)? = node;
            return Some(id);
        }
        self.last = self.last.checked_add(1)?;
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(node),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(node);
                self.chunks.push(chunk);
            }
        }
        Some(NodeId(self.last))
    }

    /// Bytes that it takes in memory, without what the nodes point to. All chunks have the
    /// capacity of the last one.
    pub(super) fn memory(&self) -> usize {
        let chunk = self.chunks.last().map_or(0, Vec::capacity) * size_of::<N>();
        self.chunks.len() * (chunk + size_of::<Vec<N>>())
            + self.free.capacity() * size_of::<NodeId>()
    }

    /// Removes a node and frees its slot.
    pub(super) fn remove(&mut self, id: NodeId) -> Option<N> {
        let node = std::mem::take(self.get_mut(id)?);
        self.free.push(id);
        if self.free.len() + 1 == self.last.get() as usize {
            self.release();
        }
        Some(node)
    }

    /// Frees all memory but that of the root, because only the root is left.
    fn release(&mut self) {
        self.chunks.truncate(1);
        if let Some(first) = self.chunks.first_mut() {
            first.truncate(1);
            first.shrink_to_fit();
        }
        self.free = Vec::new();
        self.last = NonZeroU32::MIN;
    }

    /// All nodes with their numbers, in no particular order, from slot `first` on. Free slots
    /// are returned as default nodes.
    pub(super) fn iter_from(&self, first: usize) -> impl Iterator<Item = (NodeId, &N)> {
        let number = u32::try_from(first).unwrap_or(u32::MAX).saturating_add(1);
        let numbers = (number..).map_while(NonZeroU32::new).map(NodeId);
        let chunks = self.chunks.iter().skip(first / CHUNK);
        numbers.zip(chunks.flatten().skip(first % CHUNK))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn slots_are_used_again_and_an_empty_slab_gives_its_memory_back() {
        let mut slab = Slab::<u64>::new();
        let ids: Vec<NodeId> = (1..=5_000).map(|n| slab.insert(n).unwrap()).collect();
        assert_eq!(slab.remove(ids[7]), Some(8));
        assert_eq!(slab.insert(9), Some(ids[7]));
        assert_eq!(slab.chunks.len(), 5);
        for id in &ids {
            slab.remove(*id);
        }
        assert_eq!((slab.chunks.len(), slab.free.capacity()), (1, 0));
        let id = slab.insert(3).unwrap();
        assert_eq!(slab.get(id), Some(&3));
        assert_eq!(slab.iter_from(0).count(), 2);
    }
}
