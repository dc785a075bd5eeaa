//! The shared subscriptions at one node: `$share/GROUP/filter` of MQTT 5.0, 4.8.2.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use ahash::RandomState;

use super::list::{Keyed, List};
use super::members::{Member, Members};
use crate::message::SessionId;

/// How suitable a member of a group is for a message; the last value is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Availability {
    /// Its session has ended, and it has not been removed yet: never selected.
    Ended,
    /// It may not receive the message: never selected.
    NotAuthorized,
    /// Its queue is full: selected only if no member has room.
    Full,
    /// It has no connection.
    Away,
    /// It has a connection and room.
    Online,
}

impl From<bool> for Availability {
    /// For members that always have room: true if online.
    fn from(online: bool) -> Self {
        if online { Self::Online } else { Self::Away }
    }
}

/// Why no member of a group gets a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoMember {
    /// All have ended, or none has room.
    Unavailable,
    /// Some may not receive it, and the others cannot. So many were asked.
    NotAuthorized(usize),
}

/// Random, because clients choose the names of groups.
static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// One group on one filter.
#[derive(Debug)]
pub(super) struct Group<S> {
    name: Box<str>,
    /// `$share/NAME/FILTER`.
    share: Arc<str>,
    members: Members<S>,
    /// The member at which the next selection starts.
    turn: AtomicUsize,
}

impl<S> Group<S> {
    pub(super) fn share(&self) -> &Arc<str> {
        &self.share
    }

    /// Bytes that it takes in memory besides this. The counts of an `Arc` are two words.
    fn memory(&self) -> usize {
        self.name.len() + 2 * size_of::<usize>() + self.share.len() + self.members.memory()
    }

    /// Selects the next member in turn among the most suitable. While a member is online and
    /// has room, the others are skipped. If there is none, an offline member gets the message,
    /// so that it waits in a session's queue instead of being lost.
    ///
    /// The next turn starts after the selected member, and not just one further. Otherwise the
    /// member behind an offline one would get that one's share as well.
    ///
    /// Also returns how many members were skipped.
    pub(super) fn pick(
        &self,
        availability: impl Fn(&S) -> Availability,
    ) -> Result<(&Member<S>, usize), NoMember> {
        self.pick_from(Availability::Full, availability)
    }

    /// Selects the next member in turn that has room, for a message that the first one cannot
    /// get any more.
    pub(super) fn pick_other(
        &self,
        availability: impl Fn(&S) -> Availability,
    ) -> Option<&Member<S>> {
        self.pick_from(Availability::Away, availability).ok().map(|(member, _)| member)
    }

    fn pick_from(
        &self,
        least: Availability,
        availability: impl Fn(&S) -> Availability,
    ) -> Result<(&Member<S>, usize), NoMember> {
        let members = self.members.as_slice();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let start = turn.checked_rem(members.len()).unwrap_or_default();
        let (before, from) = members.split_at_checked(start).unwrap_or_default();
        let mut not_authorized = false;
        let mut best: Option<(Availability, usize, &Member<S>)> = None;
        for (skipped, member) in from.iter().chain(before).enumerate() {
            let stands = availability(&member.handle);
            not_authorized |= stands == Availability::NotAuthorized;
            if stands >= least && best.is_none_or(|(known, ..)| stands > known) {
                best = Some((stands, skipped, member));
                if stands == Availability::Online {
                    break;
                }
            }
        }
        let Some((stands, skipped, member)) = best else {
            return Err(if not_authorized {
                NoMember::NotAuthorized(members.len())
            } else {
                NoMember::Unavailable
            });
        };
        if stands < Availability::Online {
            return Ok((member, members.len()));
        }
        if skipped > 0 {
            self.turn.fetch_add(skipped, Ordering::Relaxed);
        }
        Ok((member, skipped))
    }
}

impl<S> Keyed for Group<S> {
    type Key = str;

    fn key(&self) -> &str {
        &self.name
    }

    fn hash(name: &str) -> u64 {
        SEED.hash_one(name)
    }
}

/// The groups on one filter, in no particular order.
#[derive(Debug)]
pub(super) struct Groups<S> {
    list: List<Group<S>>,
    /// Bytes that the groups take besides their places in the list.
    bytes: usize,
}

impl<S> Groups<S> {
    pub(super) fn new() -> Self {
        Self { list: List::of(Vec::new()), bytes: 0 }
    }

    /// Bytes that they take in memory, with this.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.list.memory() + self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.as_slice().is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Group<S>> {
        self.list.as_slice().iter()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Group<S>> {
        self.list.get(name)
    }

    /// Adds a member to a group, whose full filter is `share`. True if its session is new
    /// there.
    pub(super) fn insert(&mut self, name: &str, share: &str, member: Member<S>) -> bool {
        if let Some(group) = self.list.get_mut(name) {
            let before = group.members.memory();
            let new = group.members.insert(member);
            self.bytes = self.bytes + group.members.memory() - before;
            return new;
        }
        let turn = AtomicUsize::new(0);
        let (name, share) = (name.into(), share.into());
        let group = Group { name, share, members: Members::One(member), turn };
        self.bytes += group.memory();
        self.list.insert(group)
    }

    /// Removes a member from a group. True if it was there.
    pub(super) fn remove(&mut self, name: &str, session: SessionId) -> bool {
        let Some(group) = self.list.get_mut(name) else { return false };
        let before = group.memory();
        let found = group.members.remove(session);
        let mut after = group.memory();
        if group.members.as_slice().is_empty() {
            self.list.remove(name);
            after = 0;
        }
        self.bytes = self.bytes + after - before;
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::Subscription;
    use super::*;

    fn names<S>(groups: &Groups<S>) -> Vec<Box<str>> {
        groups.iter().map(|group| group.name.clone()).collect()
    }

    #[test]
    fn one_of_many_groups_leaves_and_at_most_one_other_moves() {
        const GROUPS: usize = 1000;
        let mut groups = Groups::new();
        let name = |group: usize| format!("group-{group:04}");
        for group in 0..GROUPS {
            let member = Member::new(SessionId(1), (), Subscription::default());
            let name = name(group);
            assert!(groups.insert(&name, &format!("$share/{name}/t"), member));
        }
        for group in 0..GROUPS {
            let before = names(&groups);
            assert!(!groups.remove(&name(group), SessionId(2)));
            assert!(groups.remove(&name(group), SessionId(1)));
            assert!(groups.get(&name(group)).is_none());
            let after = names(&groups);
            assert_eq!(after.len(), GROUPS - group - 1);
            let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
            assert!(moved.count() <= 1);
        }
        assert!(groups.is_empty());
    }
}
