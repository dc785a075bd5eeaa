//! Edges of the trie, from a node and the name of a level to the child of that name: one hash
//! table for the whole trie, which holds node numbers only.
//!
//! The name and the parent are in the child, so an edge takes five bytes and its share of
//! empty buckets, and a node without children takes nothing here.

use hashbrown::HashTable;

use super::slab::NodeId;

/// The number of tables. They are selected by bits of the hash that the tables themselves do
/// not start with. When a table grows, all its entries are hashed again; one table of a
/// million would block all publishers for that time.
const SHARDS: usize = 64;

/// Node numbers by hash.
#[derive(Debug)]
pub(super) struct Edges {
    shards: Box<[HashTable<NodeId>]>,
    /// Bytes that the tables take in memory.
    bytes: usize,
}

impl Edges {
    /// Bytes of an edge: a number and a control byte, in tables that are two thirds full.
    pub(super) const COST: usize = 8;

    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| HashTable::new()).collect(), bytes: 0 }
    }

    /// Bytes that the tables take in memory.
    pub(super) fn memory(&self) -> usize {
        self.bytes
    }

    #[inline]
    fn shard(hash: u64) -> usize {
        (hash >> 40) as usize % SHARDS
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, is: impl FnMut(&NodeId) -> bool) -> Option<NodeId> {
        self.shards.get(Self::shard(hash))?.find(hash, is).copied()
    }

    /// `rehash` gives the hash of any node that is in the table.
    pub(super) fn insert(&mut self, hash: u64, id: NodeId, rehash: impl Fn(&NodeId) -> u64) {
        if let Some(table) = self.shards.get_mut(Self::shard(hash)) {
            let before = table.allocation_size();
            table.insert_unique(hash, id, rehash);
            self.bytes = self.bytes + table.allocation_size() - before;
        }
    }

    /// Removes a node, and shrinks its table if it is mostly empty.
    pub(super) fn remove(&mut self, hash: u64, id: NodeId, rehash: impl Fn(&NodeId) -> u64) {
        let Some(table) = self.shards.get_mut(Self::shard(hash)) else { return };
        let before = table.allocation_size();
        if let Ok(entry) = table.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        if table.is_empty() {
            *table = HashTable::new();
        } else if table.len() < table.capacity() / 8 {
            table.shrink_to(table.len() * 2, rehash);
        }
        self.bytes = self.bytes + table.allocation_size() - before;
    }
}
