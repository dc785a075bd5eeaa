//! The search for the receivers of a topic.

use super::groups::{Availability, NoMember};
use super::routes::{Receiver, Routes};
use super::slab::NodeId;
use super::table::{NodeSubscribers, Router};
use crate::message::SessionId;
use crate::protocol::TopicFilter;

/// The number of skipped members of a shared group that cost as much as one node.
const MEMBERS_A_NODE: usize = 8;

impl<S: Clone> Router<S> {
    /// Clears `out` and fills it with the receivers of a message to `topic`: each session once
    /// for all its matching subscriptions, and in addition one member of each matching shared
    /// group. `publisher` is the session that sent the message, for No Local. `availability`
    /// is called for members of shared groups only.
    ///
    /// Every node is visited at most once, so a topic costs at most the nodes whose paths
    /// match its beginning.
    pub fn route<R: Into<Availability>>(
        &self,
        topic: &str,
        publisher: Option<SessionId>,
        out: &mut Routes<S>,
        availability: impl Fn(&S) -> R,
    ) {
        out.begin();
        self.route_some(topic, publisher, out, usize::MAX, availability);
    }

    /// Continues the search that [`Routes::begin`] has begun, for about `nodes` nodes. True
    /// when it is done. The router must not have changed since it began: see
    /// [`Router::generation`].
    pub fn route_some<R: Into<Availability>>(
        &self,
        topic: &str,
        publisher: Option<SessionId>,
        out: &mut Routes<S>,
        nodes: usize,
        availability: impl Fn(&S) -> R,
    ) -> bool {
        let availability = |handle: &S| availability(handle).into();
        let topic = topic.as_bytes();
        let until = out.visited.saturating_add(nodes);
        // [MQTT-4.7.2-1]: no wildcard at the first level matches topics that begin with `$`.
        let hidden = topic.first() == Some(&b'$');
        let mut at = None;
        while let Some((id, start)) = at.take().or_else(|| out.stack.pop()) {
            if out.visited >= until {
                out.stack.push((id, start));
                return false;
            }
            let Some(node) = self.trie.get(id) else { continue };
            out.visited += 1;
            let subscribers = &node.value;
            let wild = !(hidden && id == NodeId::ROOT);
            // `#` includes the parent level (4.7.1.2), so it also matches here if the topic
            // ends.
            if let Some(hash) =
                subscribers.hash.filter(|_| wild).and_then(|hash| self.trie.get(hash))
            {
                collect(&hash.value, publisher, out, &availability);
            }
            // Beyond the end by one: there is no slash after the last level.
            let Some(rest) = topic.get(start..) else {
                collect(subscribers, publisher, out, &availability);
                continue;
            };
            let len = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
            let next = start + len + 1;
            if let Some(plus) = subscribers.plus.filter(|_| wild) {
                out.stack.push((plus, next));
            }
            let name = rest.get(..len).unwrap_or_default();
            at = self.trie.child(id, name).map(|child| (child, next));
        }
        true
    }

    /// Selects another member of the shared subscription `share` (in full,
    /// `$share/GROUP/FILTER`), because the first one cannot get the message any more. The new
    /// one has room.
    pub fn choose_member<R: Into<Availability>>(
        &self,
        share: &str,
        availability: impl Fn(&S) -> R,
    ) -> Option<Receiver<S>> {
        let filter = TopicFilter::new(share).ok()?;
        let node = self.trie.get(self.trie.find(filter.matched())?)?;
        let group = node.value.groups.as_ref()?.get(filter.shared()?)?;
        let member = group.pick_other(|handle| availability(handle).into())?;
        Some(Receiver::new(member, Some(group.share())))
    }
}

#[inline]
fn collect<S: Clone>(
    subscribers: &NodeSubscribers<S>,
    publisher: Option<SessionId>,
    out: &mut Routes<S>,
    availability: &impl Fn(&S) -> Availability,
) {
    out.add(subscribers.members.as_slice(), publisher);
    if let Some(groups) = &subscribers.groups {
        for group in groups.iter() {
            match group.pick(availability) {
                Ok((member, passed_over)) => {
                    out.visited += passed_over / MEMBERS_A_NODE;
                    out.add_shared(member, group.share());
                }
                Err(NoMember::NotAuthorized(asked)) => {
                    out.visited += asked / MEMBERS_A_NODE;
                    out.not_authorized += 1;
                }
                Err(NoMember::Unavailable) => {}
            }
        }
    }
}
