//! Access rules: what a client may publish, subscribe to and receive.
//!
//! Rules are compiled once, into an index by topic that all clients share. For each client
//! [`Rules::access`] finds out which of them concern it, when it connects and when the rules
//! change. Everything here is computed from its arguments; files and clients are elsewhere.

mod access;
mod applies;
mod clause;
mod emqx;
mod filter;
mod index;
mod log_in;
mod mosquitto;
mod pattern;
mod rule;
#[cfg(test)]
mod tests;
mod trie;

pub use access::Access;
pub use clause::{Decision, Effect, Granted, Origin};
pub use emqx::{EmqxError, from_emqx};
pub use log_in::LogInRules;
pub use mosquitto::{FileError, MosquittoFile, Problem};
pub use pattern::Pattern;
pub use rule::{Group, Rule, Subject, Who};

use std::sync::Arc;

use self::access::Layer;
use self::applies::Applies;
use self::index::Index;

/// All rules of a broker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Rules {
    /// None: everything is allowed.
    #[default]
    None,
    /// `[[acl.rules]]`, in their order.
    Own(OwnRules),
    /// `acl.mosquitto_file`.
    Mosquitto(MosquittoFile),
}

/// Rules in their order, and an index of their topics.
#[derive(Debug, Clone)]
pub struct OwnRules {
    rules: Vec<Rule>,
    index: Arc<Index>,
}

impl PartialEq for OwnRules {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules
    }
}

impl Eq for OwnRules {}

impl Rules {
    /// `[[acl.rules]]`, in their order.
    pub fn own(rules: Vec<Rule>) -> Self {
        Self::Own(OwnRules::new(rules))
    }

    /// How many rules [`Rules::access`] asks whether they concern the client. Those of a file are
    /// found by the user's name.
    pub fn len(&self) -> usize {
        match self {
            Self::Own(own) => own.rules.len(),
            Self::None | Self::Mosquitto(_) => 0,
        }
    }

    /// True if it asks none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What one client may do. `log_in` are the rules that came with its log-in: they are asked
    /// before all others, and what no rule allows is denied.
    pub fn access(&self, subject: Subject<'_>, log_in: Option<&LogInRules>) -> Access {
        let names = subject.names();
        if let Some(LogInRules::Superuser) = log_in {
            return Access::unlimited(names);
        }
        let access = match self {
            Self::None => Access::unlimited(names),
            Self::Own(own) => {
                let applies = own.applies_to(subject);
                let origin = |number: usize| Origin::Rule(number + 1);
                let layer = Layer::Rules { index: Arc::clone(&own.index), applies, origin };
                Access::of(names, vec![layer])
            }
            Self::Mosquitto(file) => file.access(names),
        };
        match log_in {
            Some(LogInRules::List(rules)) => access.after(rules),
            _ => access,
        }
    }
}

impl OwnRules {
    fn new(rules: Vec<Rule>) -> Self {
        let mut clauses = Vec::new();
        for (number, rule) in rules.iter().enumerate() {
            rule.compile(number, &mut clauses);
        }
        Self { rules, index: Arc::new(Index::new(clauses)) }
    }

    fn applies_to(&self, subject: Subject<'_>) -> Applies {
        // A rule is a clause for each of its topics.
        Applies::new(
            self.rules
                .iter()
                .flat_map(|rule| std::iter::repeat_n(rule.applies_to(subject), rule.topics.len())),
        )
    }
}
