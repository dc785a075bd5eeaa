//! What is remembered of sources that were heard of lately, in bounded memory.
//!
//! Two generations: an entry that is used moves to the younger one. When that is full, or old
//! enough that an unused entry says nothing any more, the older one is dropped as a whole and the
//! younger one takes its place. So each call costs O(1), what was used last stays longest, and
//! the memory of a flood is freed when the flood is over.

use std::collections::HashMap;
use std::time::Duration;

use crate::peer::Source;

#[derive(Debug)]
pub(super) struct RecentSources<T> {
    younger: HashMap<Source, T>,
    older: HashMap<Source, T>,
    /// Entries of one generation.
    most: usize,
    /// When the younger generation began.
    since: Duration,
}

impl<T> RecentSources<T> {
    /// Remembers at most `most` sources, at least half as many.
    pub(super) fn new(most: usize) -> Self {
        let (younger, older) = (HashMap::new(), HashMap::new());
        Self { younger, older, most: most.div_ceil(2), since: Duration::ZERO }
    }

    /// Forgets entries that were not used for `lifetime`, of some of them not before twice that
    /// time.
    pub(super) fn forget(&mut self, lifetime: Duration, now: Duration) {
        let age = now.saturating_sub(self.since);
        if age >= lifetime {
            self.next_generation(now);
            if age >= lifetime.saturating_mul(2) {
                self.older = HashMap::new();
            }
        }
    }

    /// The entry of a source, which is made with `new` if there is none.
    pub(super) fn entry(
        &mut self,
        source: Source,
        now: Duration,
        new: impl FnOnce() -> T,
    ) -> &mut T {
        let mut known = None;
        if !self.younger.contains_key(&source) {
            known = self.older.remove(&source);
            if self.younger.len() >= self.most {
                self.next_generation(now);
            }
        }
        self.younger.entry(source).or_insert_with(|| known.unwrap_or_else(new))
    }

    pub(super) fn remove(&mut self, source: Source) {
        self.younger.remove(&source);
        self.older.remove(&source);
    }

    /// Its age begins anew, or one that was full would be dropped when the next is almost empty.
    fn next_generation(&mut self, now: Duration) {
        self.older = std::mem::take(&mut self.younger);
        self.since = now;
    }

    #[cfg(test)]
    pub(super) fn contains(&self, source: Source) -> bool {
        self.younger.contains_key(&source) || self.older.contains_key(&source)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.younger.len() + self.older.len()
    }
}
