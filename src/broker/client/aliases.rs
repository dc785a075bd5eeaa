//! Topic aliases of one connection, in both directions (v5, 3.3.2.3.4).

use std::collections::HashMap;

/// The aliases that the client has set.
#[derive(Debug, Default)]
pub struct InboundAliases {
    maximum: u16,
    topics: Vec<Option<Box<str>>>,
    /// Bytes of the topics.
    bytes: usize,
}

impl InboundAliases {
    /// Aliases 1 to `maximum` are valid.
    pub fn new(maximum: u16) -> Self {
        Self { maximum, topics: Vec::new(), bytes: 0 }
    }

    /// Sets an alias. False: it is out of range [MQTT-3.3.2-9].
    pub fn set(&mut self, alias: u16, topic: &str) -> bool {
        if alias == 0 || alias > self.maximum {
            return false;
        }
        let index = usize::from(alias);
        if index >= self.topics.len() {
            self.topics.resize(index + 1, None);
        }
        match self.topics.get_mut(index) {
            Some(Some(known)) if known.as_ref() == topic => {}
            Some(slot) => {
                self.bytes += topic.len();
                let known = slot.replace(topic.into());
                self.bytes -= known.map_or(0, |known| known.len());
            }
            None => {}
        }
        true
    }

    /// Bytes that the topics take in memory.
    pub fn memory(&self) -> usize {
        self.topics.capacity() * size_of::<Option<Box<str>>>() + self.bytes
    }

    /// The topic that was set for the alias.
    pub fn get(&self, alias: u16) -> Option<&str> {
        self.topics.get(usize::from(alias))?.as_deref()
    }
}

/// The aliases that the broker has set, in the order in which topics were first sent.
#[derive(Debug, Default)]
pub struct OutboundAliases {
    maximum: u16,
    aliases: HashMap<Box<str>, u16, ahash::RandomState>,
    /// Bytes of the topics.
    bytes: usize,
}

impl OutboundAliases {
    /// The client accepts aliases 1 to `maximum`.
    pub fn new(maximum: u16) -> Self {
        Self { maximum, aliases: HashMap::default(), bytes: 0 }
    }

    /// The alias to send, and whether the topic name is omitted.
    pub fn alias_for(&mut self, topic: &str) -> (Option<u16>, bool) {
        if self.maximum == 0 {
            return (None, false);
        }
        if let Some(&alias) = self.aliases.get(topic) {
            return (Some(alias), true);
        }
        let next = self.aliases.len() + 1;
        match u16::try_from(next) {
            Ok(next) if next <= self.maximum => {
                self.bytes += topic.len();
                self.aliases.insert(topic.into(), next);
                (Some(next), false)
            }
            _ => (None, false),
        }
    }

    /// Bytes that the topics take in memory.
    pub fn memory(&self) -> usize {
        self.aliases.capacity() * size_of::<(Box<str>, u16)>() + self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_out_of_range_is_refused() {
        let mut aliases = InboundAliases::new(2);
        assert!(!aliases.set(0, "a"));
        assert!(!aliases.set(3, "a"));
        assert!(aliases.set(2, "a"));
        let memory = aliases.memory();
        assert!(aliases.set(2, "b"), "an alias may be set anew");
        assert_eq!(aliases.memory(), memory, "the name before it is gone");
        assert_eq!(aliases.get(2), Some("b"));
        assert_eq!(aliases.get(1), None);
    }

    #[test]
    fn the_topic_is_left_out_from_the_second_time_on() {
        let mut aliases = OutboundAliases::new(1);
        assert_eq!(aliases.alias_for("a"), (Some(1), false));
        assert_eq!(aliases.alias_for("a"), (Some(1), true));
        assert_eq!(aliases.alias_for("b"), (None, false), "none is left");
    }
}
