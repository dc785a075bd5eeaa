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
    bytes: u64,
}

impl Subscriptions {
    /// Adds one, or replaces the one with the same filter, which it returns.
    pub fn insert(&mut self, filter: Box<str>, subscribed: Subscribed) -> Option<Subscribed> {
        let cost = cost_of(&filter);
        let replaced = self.by_filter.insert(filter, subscribed);
        self.bytes += if replaced.is_none() { cost } else { 0 };
        replaced
    }

    /// Takes one out.
    pub fn remove(&mut self, filter: &str) -> Option<Subscribed> {
        let removed = self.by_filter.remove(filter)?;
        self.bytes -= cost_of(filter);
        Some(removed)
    }

    /// Takes all out.
    pub fn take(&mut self) -> BTreeMap<Box<str>, Subscribed> {
        std::mem::take(self).by_filter
    }

    /// What all of them cost in memory, here and in the router, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// What a subscription costs in memory: its filter twice, here and level by level in the
/// router, and a node for each level, as if no other filter began like it. A node takes 72
/// to 140 bytes with its edge, by how full the tables are (`cargo bench --bench router`).
pub fn cost_of(filter: &str) -> u64 {
    const SUBSCRIPTION: u64 = 64;
    const LEVEL: u64 = 104;
    let levels = filter.split('/').count() as u64;
    SUBSCRIPTION + LEVEL * levels + 2 * filter.len() as u64
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
