//! When a subscription certainly stood, and when it may have.

use ferrymq::protocol::{TopicFilter, matches};

use crate::model::{Message, Step};

/// One subscription of one client, from SUBSCRIBE to its end.
#[derive(Debug, Clone)]
pub struct Interval {
    pub filter: String,
    pub qos: u8,
    pub asked: Step,
    /// SUBACK came.
    pub stands: Option<Step>,
    /// From here on it may have ended.
    pub shaky: Option<Step>,
    /// Its session may have ended, and it with it.
    pub orphaned: bool,
    /// From here on it has ended.
    pub ended: Option<Step>,
}

impl Interval {
    pub fn group(&self) -> Option<String> {
        self.filter.starts_with("$share/").then(|| self.filter.clone())
    }

    fn matches(&self, topic: &str) -> bool {
        TopicFilter::new(&self.filter).is_ok_and(|filter| matches(filter.matched(), topic))
    }

    /// True if a message certainly found it standing.
    pub fn holds_for(&self, message: &Message) -> bool {
        let until = message.acknowledged.unwrap_or(message.sent);
        self.matches(&message.topic)
            && self.stands.is_some_and(|stands| stands < message.sent)
            && self.shaky.is_none_or(|shaky| shaky > until)
    }

    pub fn may_see(&self, message: &Message) -> bool {
        self.matches(&message.topic) && self.ended.is_none_or(|ended| ended >= message.sent)
    }
}
