//! Access rules that came with a log-in: in a token, or in the answer of a server.

use std::sync::Arc;

use super::{OwnRules, Rule};

/// What a log-in says about its client, before all other rules. Compiled once, where the log-in
/// is verified: what the client may do is found out again whenever the broker's rules change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogInRules {
    /// The client is a superuser: no rule concerns it.
    Superuser,
    /// Rules in their order. What none of them allows is left to the broker's rules.
    List(Arc<OwnRules>),
}

impl LogInRules {
    /// Compiles rules.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self::List(Arc::new(OwnRules::new(rules)))
    }

    /// True if both are of the same log-in, or say the same to every client.
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Superuser, Self::Superuser) => true,
            (Self::List(one), Self::List(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// The rules in their order; none of a superuser.
    #[cfg(test)]
    pub(in crate::auth) fn list(&self) -> &[Rule] {
        match self {
            Self::Superuser => &[],
            Self::List(own) => &own.rules,
        }
    }
}
