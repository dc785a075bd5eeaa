//! The subscriptions of one session, and their memory.

use std::collections::BTreeMap;
use std::ops::Deref;

use crate::protocol::SubscriptionOptions;

/// One subscription of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscribed {
    /// The options of the SUBSCRIBE.
    pub options: SubscriptionOptions,
    /// v5 Subscription Identifier.
    pub identifier: Option<u32>,
}

/// Keyed by full filter, including `$share/...`.
#[derive(Debug, Default)]
pub struct Subscriptions {
    by_filter: BTreeMap<Box<str>, Subscribed>,
    /// Bytes of the filters.
    text: u64,
    routed: u64,
}

impl Subscriptions {
    /// Adds a subscription. Returns the one with the same filter that it replaces.
    pub fn insert(&mut self, filter: Box<str>, subscribed: Subscribed) -> Option<Subscribed> {
        let (text, routed) = (filter.len() as u64, cost_in_router(&filter));
        let replaced = self.by_filter.insert(filter, subscribed);
        if replaced.is_none() {
            self.text += text;
            self.routed += routed;
        }
        replaced
    }

    /// Removes a subscription.
    pub fn remove(&mut self, filter: &str) -> Option<Subscribed> {
        let removed = self.by_filter.remove(filter)?;
        self.text -= filter.len() as u64;
        self.routed -= cost_in_router(filter);
        Some(removed)
    }

    /// Removes all subscriptions.
    pub fn take(&mut self) -> BTreeMap<Box<str>, Subscribed> {
        std::mem::take(self).by_filter
    }

    /// Bytes that they take in memory here.
    pub fn bytes(&self) -> u64 {
        ENTRY * self.by_filter.len() as u64 + self.text
    }

    /// Bytes that they take in the router, as if no other client had subscribed.
    pub fn routed_bytes(&self) -> u64 {
        self.routed
    }
}

/// Bytes of an entry in a B-tree whose nodes are two thirds full.
const ENTRY: u64 = (size_of::<(Box<str>, Subscribed)>() * 3 / 2) as u64;

/// Bytes that a subscription takes, as if no other client had subscribed.
pub fn cost_of(filter: &str) -> u64 {
    ENTRY + filter.len() as u64 + cost_in_router(filter)
}

/// Bytes in the router: a node for each level, as if no other filter shared it, and the group
/// of a shared subscription. Only for the client's own count. The router itself counts what
/// all subscriptions take together.
pub fn cost_in_router(filter: &str) -> u64 {
    /// A node of 80 bytes and its edge of 8: a number and a control byte in hash tables that are
    /// two thirds full.
    const LEVEL: u64 = 88;
    /// The longest name that fits into its node.
    const INLINE: usize = 22;
    /// The list of the groups at a node, with initial capacity for four of 88 bytes, and the
    /// counts of the `Arc` with the filter.
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
        // Inserted again, it takes no more memory.
        assert!(subscriptions.insert("a/b".into(), subscribed).is_some());
        assert_eq!(subscriptions.bytes(), one);
        subscriptions.insert("c".into(), subscribed);
        assert!(subscriptions.bytes() > one && subscriptions.remove("d").is_none());
        assert!(subscriptions.remove("c").is_some());
        assert_eq!(subscriptions.bytes(), one);
        assert_eq!((subscriptions.take().len(), subscriptions.bytes()), (1, 0));
    }
}
