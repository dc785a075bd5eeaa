//! Access rules: every publish, subscribe and delivery passes here.
//!
//! There are no access rules yet, so everything is allowed. They can be added here without a
//! change to the broker.

use super::{Authenticator, Principal};

#[allow(clippy::unused_self)] // The rules will be part of it.
impl Authenticator {
    /// True if this client may publish to `topic`. Also called for its will.
    pub fn may_publish(&self, _client: &Principal, _topic: &str) -> bool {
        true
    }

    /// True if this client may subscribe to `filter`, as it was sent.
    pub fn may_subscribe(&self, _client: &Principal, _filter: &str) -> bool {
        true
    }

    /// True if this client may receive a message of `topic`. Called for each delivery: a
    /// filter with wildcards can be allowed although some of its topics are not. `topic` is
    /// called only if a rule needs it.
    pub fn may_deliver<'a>(&self, _client: &Principal, _topic: impl FnOnce() -> &'a str) -> bool {
        true
    }
}
