//! The parts of the broker whose threads share atomics, compiled from their source with loom's
//! atomics, locks and wakers; `tests/` explores their interleavings.

#[path = "../../src/message"]
pub mod message {
    pub mod durability;
    #[allow(dead_code)] // The store's identifiers are not used.
    mod ids;
    pub mod wake;

    pub use ids::{DeliveryId, MessageId, SessionId};
}

#[path = "../../src/protocol"]
pub mod protocol {
    #[allow(dead_code, clippy::enum_variant_names)] // Acknowledgements of a kind are for the codec.
    mod types;

    pub use types::{PacketId, QoS};
}

#[path = "../../src/store/references.rs"]
pub mod references;

pub mod primitives;

/// Replacement for what `src/sync.rs` imports.
pub mod sync {
    /// With the interface of `parking_lot`.
    #[derive(Debug, Default)]
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }
}
