//! The subscriptions of one session, and what they cost.

use std::collections::BTreeMap;
use std::ops::Deref;

use crate::protocol::SubscriptionOptions;

/// One subscription of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscribed {
    /// As subscribed.
    pub options: SubscriptionOptions,
    /// v5 Subscription Identifier.
    pub identifier: Option<u32>,
}

/// By full filter, `$share/...` included.
#[derive(Debug, Default)]
pub struct Subscriptions {
    by_filter: BTreeMap<Box<str>, Subscribed>,
    /// Of the filters.
    text: u64,
    routed: u64,
}

impl Subscriptions {
    /// Adds one, or replaces the one with the same filter, which it returns.
    pub fn insert(&mut self, filter: Box<str>, subscribed: Subscribed) -> Option<Subscribed> {
        let (text, routed) = (filter.len() as u64, cost_in_router(&filter));
        let replaced = self.by_filter.insert(filter, subscribed);
        if replaced.is_none() {
            self.text += text;
            self.routed += routed;
        }
        replaced
    }

    /// Takes one out.
    pub fn remove(&mut self, filter: &str) -> Option<Subscribed> {
        let removed = self.by_filter.remove(filter)?;
        self.text -= filter.len() as u64;
        self.routed -= cost_in_router(filter);
        Some(removed)
    }

    /// Takes all out.
    pub fn take(&mut self) -> BTreeMap<Box<str>, Subscribed> {
        std::mem::take(self).by_filter
    }

    /// What all of them cost in memory here, in bytes.
    pub fn bytes(&self) -> u64 {
        ENTRY * self.by_filter.len() as u64 + self.text
    }

    /// What they cost in the router as if nobody else had subscribed, in bytes.
    pub fn routed_bytes(&self) -> u64 {
        self.routed
    }
}

/// A filter in a tree whose nodes are two thirds full.
const ENTRY: u64 = (size_of::<(Box<str>, Subscribed)>() * 3 / 2) as u64;

/// What a subscription costs in memory, as if nobody else had subscribed.
pub fn cost_of(filter: &str) -> u64 {
    ENTRY + filter.len() as u64 + cost_in_router(filter)
}

/// A node for each level, as if no other filter began like it, and what a shared subscription
/// has at its last one. For the client's own count: the router says by itself what all of them
/// take together.
pub fn cost_in_router(filter: &str) -> u64 {
    /// A node of 88 bytes, and the edge to it: a number and a control byte in tables that
    /// are two thirds full.
    const LEVEL: u64 = 96;
    /// The longest name that has room in its node.
    const INLINE: usize = 22;
    /// The list of the groups at a node, which begins with room for four of 88 bytes, and
    /// the counts of the `Arc` that has the filter once more.
    const GROUPS: u64 = 64 + 4 * 88 + 16;
    let (group, matched) = match filter.strip_prefix("$share/").and_then(|it| it.split_once('/')) {
        Some((name, matched)) => (GROUPS + (name.len() + filter.len()) as u64, matched),
        None => (0, filter),
    };
    let level = |name: &str| LEVEL + if name.len() > INLINE { name.len() as u64 } else { 0 };
    group + matched.split('/').map(level).sum::<u64>()
}

impl Deref for Subscriptions {
    type Target = BTreeMap<Box<str>, Subscribed>;

    fn deref(&self) -> &Self::Target {
        &self.by_filter
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::QoS;

    #[test]
    fn what_subscriptions_cost_goes_with_them() {
        let options = SubscriptionOptions { qos: QoS::AtMostOnce, ..Default::default() };
        let subscribed = Subscribed { options, identifier: None };
        let mut subscriptions = Subscriptions::default();
        subscriptions.insert("a/b".into(), subscribed);
        let one = subscriptions.bytes();
        // Again: nothing more is kept.
        assert!(subscriptions.insert("a/b".into(), subscribed).is_some());
        assert_eq!(subscriptions.bytes(), one);
        subscriptions.insert("c".into(), subscribed);
        assert!(subscriptions.bytes() > one && subscriptions.remove("d").is_none());
        assert!(subscriptions.remove("c").is_some());
        assert_eq!(subscriptions.bytes(), one);
        assert_eq!((subscriptions.take().len(), subscriptions.bytes()), (1, 0));
    }
}
