//! The subscribers at one node: usually none or one, now and then very many.

use std::num::NonZeroU32;

use hashbrown::HashTable;

use super::Subscription;
use crate::message::SessionId;
use crate::protocol::SubscriptionOptions;

/// Up to here a look through the list is quicker than a look into an index.
const LINEAR: usize = 16;

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

/// Spreads session ids, which are drawn in sequence and not chosen by clients.
#[inline]
pub(super) fn spread(session: SessionId) -> u64 {
    let mixed = session.0.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 32)
}

/// Positions are kept in four bytes; a list of four billion does not fit in memory.
#[inline]
pub(super) fn position(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Subscribers, each session once, in no particular order.
#[derive(Debug, Default)]
pub(super) enum Members<S> {
    #[default]
    None,
    /// The common case costs no allocation.
    One(Member<S>),
    Many(Box<List<S>>),
}

impl<S> Members<S> {
    #[inline]
    pub(super) fn as_slice(&self) -> &[Member<S>] {
        match self {
            Self::None => &[],
            Self::One(member) => std::slice::from_ref(member),
            Self::Many(list) => &list.items,
        }
    }

    /// True if the session was not among them; otherwise its entry is replaced.
    pub(super) fn insert(&mut self, member: Member<S>) -> bool {
        match std::mem::take(self) {
            Self::None => *self = Self::One(member),
            Self::One(old) if old.session == member.session => {
                *self = Self::One(member);
                return false;
            }
            Self::One(old) => {
                *self = Self::Many(Box::new(List {
                    items: vec![old, member],
                    index: HashTable::new(),
                }));
            }
            Self::Many(mut list) => {
                let new = list.insert(member);
                *self = Self::Many(list);
                return new;
            }
        }
        true
    }

    /// True if the session was among them.
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
                let found = list.remove(session);
                if list.items.len() == 1 {
                    *self = list.items.pop().map_or(Self::None, Self::One);
                }
                found
            }
        }
    }
}

/// Two or more; beyond [`LINEAR`] with an index, so that neither subscribing nor
/// unsubscribing of a hundred thousand sessions to one topic is quadratic.
#[derive(Debug)]
pub(super) struct List<S> {
    items: Vec<Member<S>>,
    /// Positions by session; empty as long as the list is short.
    index: HashTable<u32>,
}

impl<S> List<S> {
    fn find(&self, session: SessionId) -> Option<usize> {
        if self.index.is_empty() {
            return self.items.iter().position(|member| member.session == session);
        }
        let is =
            |at: &u32| self.items.get(*at as usize).is_some_and(|member| member.session == session);
        self.index.find(spread(session), is).map(|at| *at as usize)
    }

    fn insert(&mut self, member: Member<S>) -> bool {
        if let Some(old) = self.find(member.session).and_then(|at| self.items.get_mut(at)) {
            *old = member;
            return false;
        }
        self.items.push(member);
        if self.items.len() > LINEAR {
            let first = if self.index.is_empty() { 0 } else { self.items.len() - 1 };
            self.extend_index(first);
        }
        true
    }

    fn extend_index(&mut self, first: usize) {
        let items = &self.items;
        let rehash = |at: &u32| items.get(*at as usize).map_or(0, |member| spread(member.session));
        for (at, member) in items.iter().enumerate().skip(first) {
            self.index.insert_unique(spread(member.session), position(at), rehash);
        }
    }

    fn remove(&mut self, session: SessionId) -> bool {
        let Some(at) = self.find(session) else { return false };
        self.items.swap_remove(at);
        if self.items.len() <= LINEAR {
            self.index = HashTable::new();
        } else {
            self.move_in_index(session, at);
        }
        if self.items.len() < self.items.capacity() / 4 {
            self.items.shrink_to(self.items.len() * 2);
        }
        true
    }

    /// The last item now stands where `session` stood.
    fn move_in_index(&mut self, session: SessionId, at: usize) {
        let (hole, last) = (position(at), position(self.items.len()));
        if let Ok(entry) = self.index.find_entry(spread(session), |other| *other == hole) {
            entry.remove();
        }
        let moved = self.items.get(at).map(|member| spread(member.session));
        if let Some(entry) =
            moved.and_then(|hash| self.index.find_mut(hash, |other| *other == last))
        {
            *entry = hole;
        }
        if self.index.len() < self.index.capacity() / 4 {
            let items = &self.items;
            let rehash =
                |at: &u32| items.get(*at as usize).map_or(0, |member| spread(member.session));
            self.index.shrink_to(items.len() * 2, rehash);
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
