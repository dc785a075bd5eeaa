//! Access rules: the one place that every publish, subscribe and delivery passes.
//!
//! There are no access rules yet, and so everything is allowed. Rules enter here,
//! without a change to the broker.

use super::{Authenticator, Principal};

#[allow(clippy::unused_self)] // The rules will be part of it.
impl Authenticator {
    /// May this client publish to `topic`? Also asked for its will.
    pub fn may_publish(&self, _client: &Principal, _topic: &str) -> bool {
        true
    }

    /// May this client subscribe to `filter`, as it was sent?
    pub fn may_subscribe(&self, _client: &Principal, _filter: &str) -> bool {
        true
    }

    /// May this client have a message of `topic`? Asked for each delivery: a filter
    /// with wildcards can be allowed and some of its topics not.
    pub fn may_deliver(&self, _client: &Principal, _topic: &str) -> bool {
        true
    }
}
