//! How many deliveries a message still has. Only messages with more than one are listed, so
//! the common message has no cost here.

use ahash::AHashMap;

use crate::message::MessageId;
use crate::sync::Mutex;

/// Messages with adjacent ids fall into different shards, so that two publishers rarely
/// contend for one.
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
    /// Adds a message with `count` durable deliveries. One delivery is not recorded: an
    /// unlisted message has one.
    pub fn add(&self, message: MessageId, count: u32) {
        if count > 1 {
            *self.shard(message).lock().entry(message).or_default() += count;
        }
    }

    /// Removes one delivery of a message. True if it was the last one.
    pub fn release(&self, message: MessageId) -> bool {
        let mut shard = self.shard(message).lock();
        let Some(count) = shard.get_mut(&message) else { return true };
        *count -= 1;
        if *count <= 1 {
            shard.remove(&message);
        }
        false
    }

    /// The deliveries of a message that has any.
    pub fn count(&self, message: MessageId) -> u32 {
        self.shard(message).lock().get(&message).copied().unwrap_or(1)
    }

    /// The number of listed messages.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// True if no message has more than one delivery.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, message: MessageId) -> &Mutex<AHashMap<MessageId, u32>> {
        // The remainder of a division by the array's length is within its bounds.
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
        assert_eq!(references.count(MessageId(7)), 2);
        assert!(!references.release(MessageId(7)));
        assert_eq!(references.count(MessageId(7)), 1);
        assert!(references.is_empty(), "one reference is not listed");
        assert!(references.release(MessageId(7)));
        assert!(references.release(MessageId(8)), "never listed: it had one");
    }
}
