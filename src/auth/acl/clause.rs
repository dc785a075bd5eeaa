//! Decisions, where they come from, and the clauses that make them: a rule is a clause for each
//! of its topics.

use std::borrow::Cow;
use std::fmt;

use super::pattern::{Filled, Names, Pattern};
use crate::protocol::QoS;

/// Whether a rule allows or denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It may.
    Allow,
    /// It may not.
    Deny,
}

/// Where a decision comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// `[[acl.rules]]` of this number, from 1.
    Rule(usize),
    /// This line of `acl.mosquitto_file`.
    Line(usize),
    /// A rule that came with the log-in: a token or the answer of a server. From 1.
    LogIn(usize),
    /// There are rules for this client or for others, and none of them matches.
    NoRule,
    /// There are no rules at all.
    NoRules,
    /// Mosquitto's rule: with patterns in the file, a user name or client id with `+` or `#` may
    /// do nothing that the lines of its user do not decide.
    UnsafeName,
    /// The client has not connected since the broker started, so its user is not known.
    UnknownUser,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(number) => write!(f, "rule {number} of [[acl.rules]]"),
            Self::Line(number) => write!(f, "line {number} of acl.mosquitto_file"),
            Self::LogIn(number) => write!(f, "rule {number} that came with the log-in"),
            Self::NoRule => f.write_str("no rule matches"),
            Self::NoRules => f.write_str("there are no rules"),
            Self::UnsafeName => {
                f.write_str("the user name or client id contains + or #, and the file has patterns")
            }
            Self::UnknownUser => f.write_str("the client's user is not known since the restart"),
        }
    }
}

/// A decision and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The decision.
    pub effect: Effect,
    /// Its origin.
    pub origin: Origin,
}

impl Decision {
    /// True if it may.
    pub fn is_allowed(self) -> bool {
        self.effect == Effect::Allow
    }
}

/// The answer to a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granted {
    /// Some topics of the filter may be received, at this QoS at most.
    UpTo(QoS, Origin),
    /// None may.
    Nothing(Origin),
}

/// What a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// To publish a message with this QoS and RETAIN flag.
    Publish(QoS, bool),
    /// To receive a message.
    Deliver,
}

/// One topic filter of a rule, or one line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // Each is true or false by itself.
pub(super) struct Clause {
    pub(super) pattern: Pattern,
    pub(super) effect: Effect,
    /// It concerns publishing.
    pub(super) publish: bool,
    /// It concerns subscribing and receiving.
    pub(super) subscribe: bool,
    /// The highest QoS that it allows.
    pub(super) max_qos: QoS,
    /// True if it allows to publish retained messages.
    pub(super) retain: bool,
    /// True if its wildcards at the first level match topics that begin with `$`.
    pub(super) matches_dollar: bool,
    /// The index of its rule in a list, or its line's number in a file.
    pub(super) number: usize,
}

impl Clause {
    /// True if it is about what is asked.
    pub(super) fn concerns(&self, question: Question) -> bool {
        match question {
            Question::Publish(..) => self.publish,
            Question::Deliver => self.subscribe,
        }
    }

    /// True if it decides what is asked about a topic that it matches: a rule that allows less
    /// leaves the decision to those after it.
    pub(super) fn decides(&self, question: Question) -> bool {
        match question {
            Question::Publish(qos, retain) if self.effect == Effect::Allow => {
                qos <= self.max_qos && (self.retain || !retain)
            }
            _ => true,
        }
    }

    /// What it says for a client with these names: a filter, its effect, and whether its
    /// wildcards match topics that begin with `$`. `None`: it does not concern the client.
    pub(super) fn filled(&self, names: &Names) -> Option<(Cow<'_, str>, Effect, bool)> {
        match self.pattern.filled(names) {
            Filled::Filter(text) => Some((text, self.effect, self.matches_dollar)),
            Filled::Unsafe(text) => Some((text.into(), Effect::Deny, true)),
            Filled::Unknown(text) if self.effect == Effect::Deny => {
                Some((text.into(), Effect::Deny, true))
            }
            Filled::Unknown(_) | Filled::NoSuchClient => None,
        }
    }
}
