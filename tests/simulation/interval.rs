//! The time in which a subscription certainly existed, and in which it may have existed.

use ferrymq::protocol::{TopicFilter, matches};

use crate::model::{Message, Step};

/// One subscription of one client, from SUBSCRIBE to its end.
#[derive(Debug, Clone)]
pub struct Interval {
    pub filter: String,
    pub qos: u8,
    pub asked: Step,
    /// When SUBACK was received.
    pub stands: Option<Step>,
    /// The step from which it may have ended.
    pub shaky: Option<Step>,
    /// True if its session, and so the subscription, may have ended.
    pub orphaned: bool,
    /// The step from which it has ended.
    pub ended: Option<Step>,
}

impl Interval {
    pub fn group(&self) -> Option<String> {
        self.filter.starts_with("$share/").then(|| self.filter.clone())
    }

    fn matches(&self, topic: &str) -> bool {
        TopicFilter::new(&self.filter).is_ok_and(|filter| matches(filter.matched(), topic))
    }

    /// True if the subscription certainly existed when the message was handled.
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
