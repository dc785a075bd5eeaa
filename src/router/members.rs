//! The subscribers at one node: usually none or one, sometimes very many.

use std::num::NonZeroU32;

use super::Subscription;
use super::list::{Keyed, List};
use crate::message::SessionId;
use crate::protocol::SubscriptionOptions;

/// One session's subscription.
#[derive(Debug)]
pub(super) struct Member<S> {
    pub(super) session: SessionId,
    pub(super) handle: S,
    pub(super) options: SubscriptionOptions,
    pub(super) identifier: Option<NonZeroU32>,
}

impl<S> Member<S> {
    pub(super) fn new(session: SessionId, handle: S, subscription: Subscription) -> Self {
        Self {
            session,
            handle,
            options: subscription.options,
            identifier: subscription.identifier.and_then(NonZeroU32::new),
        }
    }
}

/// Hashes session ids, which are sequential and not chosen by clients.
#[inline]
pub(super) fn spread(session: SessionId) -> u64 {
    let mixed = session.0.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 32)
}

impl<S> Keyed for Member<S> {
    type Key = SessionId;

    fn key(&self) -> &SessionId {
        &self.session
    }

    fn hash(session: &SessionId) -> u64 {
        spread(*session)
    }
}

/// Subscribers in no particular order, each session at most once.
#[derive(Debug, Default)]
pub(super) enum Members<S> {
    #[default]
    None,
    /// One subscriber, the common case, without an allocation.
    One(Member<S>),
    /// Two or more.
    Many(Box<List<Member<S>>>),
}

impl<S> Members<S> {
    /// Bytes that they take in memory besides this.
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::None | Self::One(_) => 0,
            Self::Many(list) => size_of::<List<Member<S>>>() + list.memory(),
        }
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[Member<S>] {
        match self {
            Self::None => &[],
            Self::One(member) => std::slice::from_ref(member),
            Self::Many(list) => list.as_slice(),
        }
    }

    /// Adds a member. True if its session is new; otherwise the old entry is replaced.
    pub(super) fn insert(&mut self, member: Member<S>) -> bool {
        match std::mem::take(self) {
            Self::None => *self = Self::One(member),
            Self::One(old) if old.session == member.session => {
                *self = Self::One(member);
                return false;
            }
            Self::One(old) => {
                *self = Self::Many(Box::new(List::of(vec![old, member])));
            }
            Self::Many(mut list) => {
                let new = list.insert(member);
                *self = Self::Many(list);
                return new;
            }
        }
        true
    }

    /// Removes a session. True if it was there.
    pub(super) fn remove(&mut self, session: SessionId) -> bool {
        match self {
            Self::None => false,
            Self::One(member) => {
                let found = member.session == session;
                if found {
                    *self = Self::None;
                }
                found
            }
            Self::Many(list) => {
                let found = list.remove(&session);
                if list.as_slice().len() == 1 {
                    *self = list.pop().map_or(Self::None, Self::One);
                }
                found
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_map(steps in prop::collection::vec((0u64..60, 0u32..4, any::<bool>()), 0..400)) {
            let (mut members, mut model) = (Members::None, HashMap::new());
            for (session, handle, insert) in steps {
                let id = SessionId(session * 1024);
                if insert {
                    let new = members.insert(Member::new(id, handle, Subscription::default()));
                    prop_assert_eq!(new, model.insert(id, handle).is_none());
                } else {
                    prop_assert_eq!(members.remove(id), model.remove(&id).is_some());
                }
                let found: HashMap<_, _> = members.as_slice().iter().map(|m| (m.session, m.handle)).collect();
                prop_assert_eq!(members.as_slice().len(), model.len());
                prop_assert_eq!(&found, &model);
            }
        }
    }
}
