//! Computes the sizes that `"auto"` stands for.

use super::{AutoCount, AutoSize, ByteSize, Config};

/// The sizes that can be `auto`, as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// `limits.max_connections`.
    pub max_connections: usize,
    /// `limits.max_memory`.
    pub max_memory: ByteSize,
    /// `mqtt.max_retained_bytes`.
    pub max_retained_bytes: ByteSize,
    /// `persistence.cache_size`.
    pub cache_size: ByteSize,
}

impl Config {
    /// The sizes for a process that may use `memory` bytes. A quarter is for what is held for
    /// clients and an eighth for retained messages. One connection is allowed for each 32 KiB:
    /// an idle one takes 3.8 KB (measured), so idle ones take an eighth together. The rest is
    /// for sessions and the allocator. There is one page cache for each of three connections
    /// to the database.
    pub fn sizes(&self, memory: Option<u64>) -> Sizes {
        let cache = self.persistence.cache_size.fit(memory, 64, ByteSize::mib(8));
        let max_memory = self.limits.max_memory.fit(memory, 4, ByteSize::mib(512));
        // A small `limits.max_memory` also limits retained messages, to half of it, unless
        // their own limit is set.
        let retained = self.mqtt.max_retained_bytes.fit(memory, 8, ByteSize::mib(256));
        let retained = match self.mqtt.max_retained_bytes.set() {
            Some(set) => set,
            None => retained.min(ByteSize(max_memory.bytes() / 2)),
        };
        Sizes {
            max_connections: self.limits.max_connections.fit(memory, 32 << 10, 100_000),
            max_memory,
            max_retained_bytes: retained,
            cache_size: cache.max(ByteSize::kib(64)),
        }
    }

    /// Replaces each `auto` by its size for `memory` bytes.
    #[must_use]
    pub fn fitted(mut self, memory: Option<u64>) -> Self {
        let sizes = self.sizes(memory);
        self.limits.max_connections = AutoCount::Set(sizes.max_connections);
        self.limits.max_memory = AutoSize::Set(sizes.max_memory);
        self.mqtt.max_retained_bytes = AutoSize::Set(sizes.max_retained_bytes);
        self.persistence.cache_size = AutoSize::Set(sizes.cache_size);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_container_gets_small_sizes_and_what_is_set_stays() {
        let mut config = Config::default();
        config.mqtt.max_retained_bytes = AutoSize::Set(ByteSize::mib(100));
        let sizes = config.fitted(Some(128 << 20)).sizes(None);
        let expected = Sizes {
            max_connections: 4096,
            max_memory: ByteSize::mib(32),
            max_retained_bytes: ByteSize::mib(100),
            cache_size: ByteSize::mib(2),
        };
        assert_eq!(sizes, expected);
    }

    #[test]
    fn a_large_machine_gets_no_more_than_one_of_unknown_size() {
        let config = Config::default();
        assert_eq!(config.sizes(Some(64 << 30)), config.sizes(None));
        assert_eq!(config.sizes(None).max_memory, ByteSize::mib(512));
    }
}
