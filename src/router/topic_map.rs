//! Which topic a message has at the other end of a bridge.
//!
//! Prefixes mean what they mean in Mosquitto: a rule subscribes to the source's prefix and the
//! filter; a topic that begins with the source's prefix loses it, and every topic gets the
//! target's. If several rules match, the first one decides. Prefix and rest are kept apart, so
//! that an encoder can write both without a copy.

use std::borrow::Cow;

use thiserror::Error;

use crate::config::BridgeRule;
use crate::protocol::{QoS, TopicError, TopicFilter, matches};

/// The most bytes of a topic name [MQTT-4.7.3-3].
const LONGEST: usize = 65_535;

/// Topics below it are published by their own broker only.
const RESERVED: &[u8] = b"$SYS/";

/// A rule that is none. The configuration's check finds each of these first.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RuleError {
    /// Prefix and filter together are no topic filter.
    #[error("rule {rule}: \"{filter}\" is {source}")]
    Filter {
        /// Its number, from 1.
        rule: usize,
        /// Prefix and filter.
        filter: String,
        /// What is wrong with them.
        source: TopicError,
    },
    /// The QoS is none.
    #[error("rule {rule}: found QoS {qos}, expected 0 to 2")]
    QoS {
        /// Its number, from 1.
        rule: usize,
        /// What was found.
        qos: u8,
    },
}

/// Why a message cannot pass. It would be refused at the other end for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MapError {
    /// No rule matches, such as for a message that was queued under a rule that is gone.
    #[error("no rule of the bridge matches the topic")]
    NoRule,
    /// Nothing is left without the prefix.
    #[error("the topic would be empty without the prefix of the rule")]
    Empty,
    /// The prefix makes it too long.
    #[error(
        "the topic would have {0} bytes with the prefix of the rule, and at most 65535 are allowed"
    )]
    TooLong(usize),
    /// It would begin with `$SYS/`.
    #[error("the topic would be below $SYS, where only the broker itself publishes")]
    Reserved,
}

/// What a bridge subscribes to at the source for one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source<'a> {
    /// Prefix and filter; may be shared.
    pub filter: &'a TopicFilter,
    /// The highest QoS at which messages pass.
    pub qos: QoS,
    /// False: messages pass without the RETAIN flag.
    pub retain: bool,
}

/// How a message passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapped<'a> {
    /// What the topic begins with at the target; often empty.
    pub prefix: &'a str,
    /// The rest of the topic.
    pub rest: &'a str,
    /// The highest QoS at which it passes.
    pub qos: QoS,
    /// False: it passes without the RETAIN flag.
    pub retain: bool,
}

impl<'a> Mapped<'a> {
    /// The topic at the target. Borrowed if the rule adds no prefix.
    pub fn topic(&self) -> Cow<'a, str> {
        match self.prefix {
            "" => self.rest.into(),
            prefix => [prefix, self.rest].concat().into(),
        }
    }

    /// The length of the topic at the target, in bytes.
    pub fn topic_len(&self) -> usize {
        self.prefix.len() + self.rest.len()
    }
}

#[derive(Debug, Clone)]
struct Rule {
    filter: TopicFilter,
    removed: Box<str>,
    added: Box<str>,
    qos: QoS,
    retain: bool,
}

/// The rules of one direction of a bridge.
#[derive(Debug, Clone, Default)]
pub struct TopicMap {
    rules: Box<[Rule]>,
}

impl TopicMap {
    /// From this broker to the remote one: `bridges.NAME.forward`.
    ///
    /// # Errors
    /// The first rule that is none.
    pub fn forward(rules: &[BridgeRule]) -> Result<Self, RuleError> {
        Self::new(rules, |rule| (rule.local_filter(), &rule.local_prefix, &rule.remote_prefix))
    }

    /// From the remote broker to this one: `bridges.NAME.subscribe`.
    ///
    /// # Errors
    /// The first rule that is none.
    pub fn subscribe(rules: &[BridgeRule]) -> Result<Self, RuleError> {
        Self::new(rules, |rule| (rule.remote_filter(), &rule.remote_prefix, &rule.local_prefix))
    }

    fn new<'r>(
        rules: &'r [BridgeRule],
        sides: impl Fn(&'r BridgeRule) -> (String, &'r String, &'r String),
    ) -> Result<Self, RuleError> {
        let rules = (1..).zip(rules).map(|(number, rule)| {
            let (filter, removed, added) = sides(rule);
            let checked = TopicFilter::new(&filter);
            let filter =
                checked.map_err(|source| RuleError::Filter { rule: number, filter, source })?;
            let qos =
                QoS::from_bits(rule.qos).ok_or(RuleError::QoS { rule: number, qos: rule.qos })?;
            let (removed, added) = (removed.as_str().into(), added.as_str().into());
            Ok(Rule { filter, removed, added, qos, retain: rule.retain })
        });
        Ok(Self { rules: rules.collect::<Result<_, _>>()? })
    }

    /// True if nothing passes in this direction.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What is subscribed to at the source, one for each rule.
    pub fn subscriptions(&self) -> impl ExactSizeIterator<Item = Source<'_>> {
        self.rules.iter().map(|rule| Source {
            filter: &rule.filter,
            qos: rule.qos,
            retain: rule.retain,
        })
    }

    /// How a message with this topic, which is valid, passes. Does not allocate.
    ///
    /// A topic that a rule matches and that does not begin with its prefix keeps all its levels,
    /// as in Mosquitto: `a` with `local_prefix = "a/"` and `filter = "#"`, which also matches
    /// the parent level.
    ///
    /// # Errors
    /// It cannot pass.
    pub fn map<'a>(&'a self, topic: &'a str) -> Result<Mapped<'a>, MapError> {
        let mut rules = self.rules.iter();
        let rule =
            rules.find(|rule| matches(rule.filter.matched(), topic)).ok_or(MapError::NoRule)?;
        let rest = topic.strip_prefix(&*rule.removed).unwrap_or(topic);
        let mapped = Mapped { prefix: &rule.added, rest, qos: rule.qos, retain: rule.retain };
        let first = mapped.prefix.bytes().chain(rest.bytes());
        match mapped.topic_len() {
            0 => Err(MapError::Empty),
            1..=LONGEST if first.take(RESERVED.len()).eq(RESERVED.iter().copied()) => {
                Err(MapError::Reserved)
            }
            1..=LONGEST => Ok(mapped),
            bytes => Err(MapError::TooLong(bytes)),
        }
    }
}

#[cfg(test)]
mod tests;
