//! The Subscription Identifiers of one delivery [MQTT-3.3.4-3]. Most have none: those are
//! copied with each delivery, for the price of a comparison.

use std::ops::{Deref, DerefMut};

use smallvec::SmallVec;

/// Subscription Identifiers. One is stored in place.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SubscriptionIds(SmallVec<[u32; 1]>);

impl Clone for SubscriptionIds {
    #[inline]
    fn clone(&self) -> Self {
        if self.0.is_empty() { Self::default() } else { Self(self.0.clone()) }
    }
}

impl Deref for SubscriptionIds {
    type Target = SmallVec<[u32; 1]>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for SubscriptionIds {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl FromIterator<u32> for SubscriptionIds {
    fn from_iter<I: IntoIterator<Item = u32>>(ids: I) -> Self {
        Self(ids.into_iter().collect())
    }
}
