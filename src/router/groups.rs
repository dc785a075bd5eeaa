//! The shared subscriptions at one node: `$share/GROUP/filter` of MQTT 5.0, 4.8.2.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::members::{Member, Members};
use crate::message::SessionId;

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

    /// Whose turn it is. Members that are not `online` are passed over as long as
    /// there is one that is; if none is, one of them gets the message all the same,
    /// so that it waits in a session's queue instead of being lost.
    ///
    /// The turn goes to the member after the one that was picked, and not just one
    /// further: the one behind an offline member would get that one's share too.
    pub(super) fn pick(&self, online: impl Fn(&S) -> bool) -> Option<&Member<S>> {
        let members = self.members.as_slice();
        let start = self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(members.len())?;
        let (before, from) = members.split_at_checked(start)?;
        let mut in_turn = from.iter().chain(before).enumerate();
        match in_turn.find(|(_, member)| online(&member.handle)) {
            Some((0, member)) => Some(member),
            Some((skipped, member)) => {
                self.turn.fetch_add(skipped, Ordering::Relaxed);
                Some(member)
            }
            None => from.first(),
        }
    }

    /// The next in turn of those that `accepts` allows, one that is `online` if there is
    /// one: for a message that the member whose turn it was cannot get any more.
    pub(super) fn pick_other(
        &self,
        accepts: impl Fn(&S) -> bool,
        online: impl Fn(&S) -> bool,
    ) -> Option<&Member<S>> {
        let members = self.members.as_slice();
        let start = self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(members.len())?;
        let (before, from) = members.split_at_checked(start)?;
        let in_turn = || from.iter().chain(before).filter(|member| accepts(&member.handle));
        in_turn().find(|member| online(&member.handle)).or_else(|| in_turn().next())
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
