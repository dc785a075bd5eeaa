//! What may and must be retained: the model's judgement of what subscribers see, and of
//! memory beside the file.

use std::collections::{BTreeSet, HashMap};

use crate::model::{Message, Model};

impl Model {
    /// `retained`: topic to message, as a new subscriber has seen them at the end.
    pub fn check_retained(&self, retained: &HashMap<String, u32>) {
        let topics: BTreeSet<&str> =
            self.messages.iter().filter(|m| m.retain).map(|m| m.topic.as_str()).collect();
        for topic in topics {
            self.check_retained_topic(topic, retained.get(topic).copied());
        }
        for topic in retained.keys() {
            assert!(
                self.messages.iter().any(|m| m.retain && m.topic == *topic),
                "{topic} was never retained"
            );
        }
    }

    /// The last word must not have been overruled by one that was sent after it was
    /// acknowledged.
    fn check_retained_topic(&self, topic: &str, found: Option<u32>) {
        let writes = || {
            self.messages
                .iter()
                .enumerate()
                .filter(|(_, m)| m.retain && m.topic == topic && !m.is_will)
        };
        // What was certainly sent after `message` was acknowledged, and taken.
        let later = |message: &Message| {
            let end = message.acknowledged?;
            writes().find(|(_, m)| m.qos > 0 && m.acknowledged.is_some() && m.sent > end)
        };
        let Some(id) = found else {
            let taken = writes().any(|(_, m)| m.acknowledged.is_some() && m.qos > 0);
            // Removed, or expired.
            let gone = |m: &Message| (m.removes || m.expiry.is_some()) && later(m).is_none();
            // What a full disk has no room for is in memory alone.
            assert!(
                !taken || self.has_been_full || writes().any(|(_, m)| gone(m)),
                "LOST: nothing is retained on {topic}"
            );
            return;
        };
        let message = self.message(id);
        assert!(message.retain && message.topic == topic, "message {id} was not to be retained");
        let later = later(message);
        assert!(
            later.is_none(),
            "message {id} is retained on {topic}, but a later one was acknowledged: {later:?}"
        );
    }

    /// What memory and the file hold when everything is committed, or a subscriber sees
    /// before and after a crash then.
    pub fn check_retained_on_disk(
        &self,
        memory: &HashMap<String, u32>,
        disk: &HashMap<String, u32>,
    ) {
        let topics: BTreeSet<&String> = memory.keys().chain(disk.keys()).collect();
        for topic in topics {
            let (memory, disk) = (memory.get(topic), disk.get(topic));
            // It may have expired while the broker was down.
            let brief = |id: &u32| self.message(*id).expiry.is_some();
            let expired = disk.is_none() && memory.is_some_and(brief);
            assert!(
                memory == disk || expired,
                "message {memory:?} is retained on {topic} in memory, {disk:?} on disk"
            );
        }
    }
}
