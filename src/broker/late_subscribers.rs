//! Delivers a retained message to clients that subscribed after its receivers were found and
//! before it was retained. Their own search for retained messages has found the one before it.
//!
//! A SUBSCRIBE is entered in the router before it searches, and a PUBLISH is retained before
//! the router is searched here. A subscriber that this search misses therefore finds the new
//! message itself.

use std::sync::Arc;

use ahash::AHashSet;

use super::{Broker, Publication, SessionHandle, Step};
use crate::message::SessionId;
use crate::router::Routes;

impl Broker {
    /// Delivers a message that was just retained to subscribers that are not in `routes`,
    /// which were found at `generation` of the subscriptions. To be called in the step that
    /// retains the message, so that both are in one commit.
    pub(super) fn deliver_to_late(
        &self,
        publication: &Publication<'_>,
        (routes, generation): (&Routes<Arc<SessionHandle>>, u64),
        publisher: Option<SessionId>,
        step: &mut Step,
    ) {
        if self.subscriptions.generation() == generation {
            return;
        }
        let known: AHashSet<_> = routes.receivers.iter().map(|receiver| receiver.session).collect();
        let mut late = Routes::new();
        self.route(publication.topic, publisher, &mut late);
        // A retained message is not sent to shared subscriptions (v5, 4.8.2).
        let is_late = |session, is_shared: bool| !is_shared && !known.contains(&session);
        late.receivers.retain(|it| is_late(it.session, it.share.is_some()));
        // Those were counted with the message's first receivers.
        late.not_authorized = 0;
        if late.receivers.is_empty() {
            return;
        }
        let copy = Publication { is_copy: true, ..*publication };
        let message = self.message_of(&copy, &late, None, step);
        self.deliver_at_once(message, &late, step);
    }
}
