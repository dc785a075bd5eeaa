//! A list of unique items with keys.

use hashbrown::HashTable;

/// Up to this length a linear search is faster than an index.
const LINEAR: usize = 16;

/// Something that a [`List`] may hold.
pub(super) trait Keyed {
    /// The key by which it is found.
    type Key: ?Sized + PartialEq;

    fn key(&self) -> &Self::Key;

    /// The hash of a key, for the index.
    fn hash(key: &Self::Key) -> u64;
}

/// Items in no particular order. Beyond [`LINEAR`] items it has an index, so that adding or
/// removing a hundred thousand does not take quadratic time.
#[derive(Debug)]
pub(super) struct List<T> {
    items: Vec<T>,
    /// Positions by key; empty while the list is short.
    index: HashTable<u32>,
}

/// Positions take four bytes; a list of four billion items does not fit in memory.
#[inline]
pub(super) fn position(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

impl<T: Keyed> List<T> {
    /// Creates a list of a few items with different keys.
    pub(super) fn of(items: Vec<T>) -> Self {
        Self { items, index: HashTable::new() }
    }

    /// Bytes that it takes in memory, without what the items point to.
    pub(super) fn memory(&self) -> usize {
        self.items.capacity() * size_of::<T>() + self.index.allocation_size()
    }

    pub(super) fn as_slice(&self) -> &[T] {
        &self.items
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let last = self.items.last()?;
        let at = self.find(last.key())?;
        Some(self.remove_at(at))
    }

    pub(super) fn get(&self, key: &T::Key) -> Option<&T> {
        self.items.get(self.find(key)?)
    }

    pub(super) fn get_mut(&mut self, key: &T::Key) -> Option<&mut T> {
        let at = self.find(key)?;
        self.items.get_mut(at)
    }

    /// Adds an item. True if its key is new; otherwise the old item is replaced.
    pub(super) fn insert(&mut self, item: T) -> bool {
        if let Some(old) = self.get_mut(item.key()) {
            *old = item;
            return false;
        }
        self.items.push(item);
        if self.items.len() > LINEAR {
            let first = if self.index.is_empty() { 0 } else { self.items.len() - 1 };
            self.extend_index(first);
        }
        true
    }

    /// Removes an item. True if it was there.
    pub(super) fn remove(&mut self, key: &T::Key) -> bool {
        let found = self.find(key);
        if let Some(at) = found {
            self.remove_at(at);
        }
        found.is_some()
    }

    fn find(&self, key: &T::Key) -> Option<usize> {
        if self.index.is_empty() {
            return self.items.iter().position(|item| item.key() == key);
        }
        let is = |at: &u32| self.items.get(*at as usize).is_some_and(|item| item.key() == key);
        self.index.find(T::hash(key), is).map(|at| *at as usize)
    }

    fn extend_index(&mut self, first: usize) {
        let items = &self.items;
        let rehash = |at: &u32| items.get(*at as usize).map_or(0, |item| T::hash(item.key()));
        for (at, item) in items.iter().enumerate().skip(first) {
            self.index.insert_unique(T::hash(item.key()), position(at), rehash);
        }
    }

    fn remove_at(&mut self, at: usize) -> T {
        let item = self.items.swap_remove(at);
        if self.items.len() <= LINEAR {
            self.index = HashTable::new();
        } else {
            self.move_in_index(T::hash(item.key()), at);
        }
        if self.items.len() < self.items.capacity() / 4 {
            self.items.shrink_to(self.items.len() * 2);
        }
        item
    }

    /// Updates the index: the last item has moved to the place of one with the hash `gone`.
    fn move_in_index(&mut self, gone: u64, at: usize) {
        let (hole, last) = (position(at), position(self.items.len()));
        if let Ok(entry) = self.index.find_entry(gone, |other| *other == hole) {
            entry.remove();
        }
        let moved = self.items.get(at).map(|item| T::hash(item.key()));
        if let Some(entry) =
            moved.and_then(|hash| self.index.find_mut(hash, |other| *other == last))
        {
            *entry = hole;
        }
        if self.index.len() < self.index.capacity() / 4 {
            let items = &self.items;
            let rehash = |at: &u32| items.get(*at as usize).map_or(0, |item| T::hash(item.key()));
            self.index.shrink_to(items.len() * 2, rehash);
        }
    }
}
