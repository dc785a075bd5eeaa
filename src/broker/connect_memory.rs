//! Memory for clients before authentication. What is held of unfinished TLS and WebSocket
//! handshakes and of incomplete CONNECTs is counted against a limit of its own, so that it cannot
//! use up the memory of connected clients. PROXY headers are not: only trusted proxies send them,
//! and they have 4 KiB at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A share of at most this many bytes is not counted. Most CONNECTs and handshakes are shorter.
const SMALL: usize = 4 << 10;

/// The limit and the bytes in use.
#[derive(Debug)]
pub struct ConnectMemory {
    taken: AtomicU64,
    bytes: u64,
}

impl ConnectMemory {
    /// A limit of `bytes` for all large shares together.
    pub fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self { taken: AtomicU64::new(0), bytes })
    }

    /// The share of one client, or of one layer of its connection, until it is dropped.
    pub fn share(self: &Arc<Self>) -> ConnectShare {
        ConnectShare { memory: Arc::clone(self), taken: 0 }
    }
}

/// The bytes of one client.
#[derive(Debug)]
pub struct ConnectShare {
    memory: Arc<ConnectMemory>,
    taken: u64,
}

impl ConnectShare {
    /// Sets the client's bytes. False: the limit does not permit them, and nothing changes.
    pub fn hold(&mut self, bytes: usize) -> bool {
        let bytes = if bytes <= SMALL { 0 } else { bytes as u64 };
        let Some(more) = bytes.checked_sub(self.taken) else {
            self.memory.taken.fetch_sub(self.taken - bytes, Ordering::Relaxed);
            self.taken = bytes;
            return true;
        };
        let fits = |taken: u64| taken.checked_add(more).filter(|all| *all <= self.memory.bytes);
        let held = self.memory.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        if held.is_ok() {
            self.taken = bytes;
        }
        held.is_ok()
    }
}

impl Drop for ConnectShare {
    fn drop(&mut self) {
        self.hold(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_ones_share_a_bound_and_small_ones_are_free() {
        let memory = ConnectMemory::new(100 << 10);
        let (mut one, mut two) = (memory.share(), memory.share());
        assert!(one.hold(60 << 10) && !two.hold(60 << 10));
        assert!(two.hold(SMALL) && two.hold(40 << 10) && !one.hold(61 << 10));
        assert!(one.hold(10 << 10) && two.hold(90 << 10));
        drop(two);
        assert!(one.hold(100 << 10));
        drop(one);
        assert_eq!(memory.taken.load(Ordering::Relaxed), 0);
    }
}
