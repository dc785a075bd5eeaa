//! The shared subscriptions at one node: `$share/GROUP/filter` of MQTT 5.0, 4.8.2.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::members::{Member, Members};
use crate::message::SessionId;

/// How much there is for choosing a member of a group; the last one is best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Its session has ended, and it is only still in the table: never chosen.
    Ended,
    /// It has no room: chosen only if all others have none either.
    Full,
    /// Without a connection.
    Away,
    /// With a connection, and room.
    Online,
}

impl From<bool> for Standing {
    /// For members that always have room: whether they are online.
    fn from(online: bool) -> Self {
        if online { Self::Online } else { Self::Away }
    }
}

/// One group on one filter.
#[derive(Debug)]
pub(super) struct Group<S> {
    name: Box<str>,
    /// `$share/NAME/FILTER`.
    share: Arc<str>,
    members: Members<S>,
    /// Where the next turn starts.
    turn: AtomicUsize,
}

impl<S> Group<S> {
    pub(super) fn share(&self) -> &Arc<str> {
        &self.share
    }

    /// Whose turn it is, of those that stand best: as long as a member is online and has
    /// room, the others are passed over; if there is none, one that is away gets the message
    /// all the same, so that it waits in a session's queue instead of being lost.
    ///
    /// The turn goes to the member after the one that was picked, and not just one
    /// further: the one behind an offline member would get that one's share too.
    pub(super) fn pick(&self, standing: impl Fn(&S) -> Standing) -> Option<&Member<S>> {
        self.pick_from(Standing::Full, standing)
    }

    /// The next in turn of those that have room: for a message that the member whose turn it
    /// was cannot get any more.
    pub(super) fn pick_other(&self, standing: impl Fn(&S) -> Standing) -> Option<&Member<S>> {
        self.pick_from(Standing::Away, standing)
    }

    fn pick_from(&self, least: Standing, standing: impl Fn(&S) -> Standing) -> Option<&Member<S>> {
        let members = self.members.as_slice();
        let start = self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(members.len())?;
        let (before, from) = members.split_at_checked(start)?;
        let mut best: Option<(Standing, usize, &Member<S>)> = None;
        for (skipped, member) in from.iter().chain(before).enumerate() {
            let stands = standing(&member.handle);
            if stands >= least && best.is_none_or(|(known, ..)| stands > known) {
                best = Some((stands, skipped, member));
                if stands == Standing::Online {
                    break;
                }
            }
        }
        let (stands, skipped, member) = best?;
        if stands == Standing::Online && skipped > 0 {
            self.turn.fetch_add(skipped, Ordering::Relaxed);
        }
        Some(member)
    }
}

/// The groups on one filter, sorted by name.
#[derive(Debug)]
pub(super) struct Groups<S>(Vec<Group<S>>);

impl<S> Groups<S> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Group<S>> {
        self.0.iter()
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|group| group.name.as_ref().cmp(name))
    }

    pub(super) fn get(&self, name: &str) -> Option<&Group<S>> {
        self.0.get(self.find(name).ok()?)
    }

    /// True if the session is new in that group, whose full filter is `share`.
    pub(super) fn insert(&mut self, name: &str, share: &str, member: Member<S>) -> bool {
        match self.find(name) {
            Ok(at) => self.0.get_mut(at).is_some_and(|group| group.members.insert(member)),
            Err(at) => {
                let turn = AtomicUsize::new(0);
                let (name, share) = (name.into(), share.into());
                self.0.insert(at, Group { name, share, members: Members::One(member), turn });
                true
            }
        }
    }

    /// True if the session was in that group.
    pub(super) fn remove(&mut self, name: &str, session: SessionId) -> bool {
        let Ok(at) = self.find(name) else { return false };
        let Some(group) = self.0.get_mut(at) else { return false };
        let found = group.members.remove(session);
        if group.members.as_slice().is_empty() {
            self.0.remove(at);
        }
        found
    }
}
