//! How many deliveries a message still has. Only messages with more than one are
//! listed, so the common message costs nothing here.

use ahash::AHashMap;

use crate::message::MessageId;
use crate::sync::Mutex;

/// Neighbouring messages fall into different shards, so that two publishers do not
/// meet in one.
const SHARDS: usize = 16;

/// Reference counts of messages with more than one durable delivery.
#[derive(Debug)]
pub struct References {
    shards: [Mutex<AHashMap<MessageId, u32>>; SHARDS],
}

impl Default for References {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl References {
    /// The message has `count` durable deliveries. Not to be called for one: a
    /// message that is not listed has one.
    pub fn add(&self, message: MessageId, count: u32) {
        if count > 1 {
            *self.shard(message).lock().entry(message).or_default() += count;
        }
    }

    /// One delivery of it is gone. True: it was the last one.
    pub fn release(&self, message: MessageId) -> bool {
        let mut shard = self.shard(message).lock();
        let Some(count) = shard.get_mut(&message) else { return true };
        *count -= 1;
        if *count <= 1 {
            shard.remove(&message);
        }
        false
    }

    /// How many messages are listed.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// True if every message has one delivery.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, message: MessageId) -> &Mutex<AHashMap<MessageId, u32>> {
        // The remainder of a division by the array's length is within it.
        #[allow(clippy::indexing_slicing, clippy::cast_possible_truncation)]
        &self.shards[message.0 as usize % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_release_of_the_last_delivery_is_the_last() {
        let references = References::default();
        references.add(MessageId(7), 3);
        assert!(!references.release(MessageId(7)));
        assert!(!references.release(MessageId(7)));
        assert!(references.is_empty(), "one reference is not listed");
        assert!(references.release(MessageId(7)));
        assert!(references.release(MessageId(8)), "never listed: it had one");
    }
}
