//! Delivers a retained message to subscribers that arrive after its receivers were found and
//! before it is retained: their own search has found the message before it.
//!
//! A SUBSCRIBE enters the routes first and searches then; a PUBLISH is retained before this
//! looks at the routes again. So a subscriber that is missing in them finds the message
//! among what is retained.

use std::sync::Arc;

use ahash::AHashSet;

use super::{Broker, Publication, SessionHandle, Step};
use crate::message::SessionId;
use crate::router::Routes;

impl Broker {
    /// Delivers what has just been retained to those who have subscribed since `routes` were
    /// found, at `generation` of the subscriptions or later. To be called in the step that
    /// retains it: one commit has both.
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
        // What is retained is not sent to shared subscriptions (v5, 4.8.2).
        let is_late = |session, is_shared: bool| !is_shared && !known.contains(&session);
        late.receivers.retain(|it| is_late(it.session, it.share.is_some()));
        if late.receivers.is_empty() {
            return;
        }
        let copy = Publication { is_copy: true, ..*publication };
        let message = self.message_of(&copy, &late, None, step);
        self.deliver_at_once(Arc::new(message), &late, step);
    }
}
