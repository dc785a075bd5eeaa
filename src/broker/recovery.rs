//! Restores sessions from what the store has read at the start.

use std::sync::Arc;

use super::attach::record_of;
use super::timers::Kind;
use super::{Broker, SessionHandle, Step};
use crate::message::DeliveryId;
use crate::protocol::TopicFilter;
use crate::session::{Session, Subscribed};
use crate::store::{Change, Recovered, RecoveredSession, SubscriptionRecord};

/// After a crash each session that was connected is written again. A step has at most this
/// many, so that the writer works meanwhile and memory is freed.
const SESSIONS_PER_STEP: usize = 1000;

impl Broker {
    pub(super) fn recover(self: &Arc<Self>, recovered: Recovered) {
        let mut step = Step::new(self);
        self.retained.recover(recovered.retained);
        // From the end, so that the list shrinks while the sessions are created.
        let mut found = recovered.sessions;
        while let Some(session) = found.pop() {
            self.recover_session(session, &mut step);
            if found.len().is_multiple_of(SESSIONS_PER_STEP) {
                found.shrink_to_fit();
                step.submit_or_log(self);
            }
        }
        self.shared_redelivery.add(recovered.unclaimed, DeliveryId(u64::MAX));
        step.submit_or_log(self);
    }

    fn recover_session(&self, found: RecoveredSession, step: &mut Step) {
        let last_packet_id = found.last_packet_id;
        let has_shared = found.has_shared;
        let RecoveredSession { record, subscriptions, incoming, sent, queue, .. } = found;
        let client_id: Arc<str> = record.client_id.into();
        let mut session = Session::new(
            record.id,
            Arc::clone(&client_id),
            record.version,
            Arc::clone(&self.settings.session),
        );
        // A session that ended with its connection is in the file for its will, and ends at
        // once.
        session.durable = true;
        session.has_row = true;
        session.life.expiry = record.expiry;
        session.will = record.will;
        session.owner = record.owner;
        session.sent_up_to = record.sent_up_to;
        // The session was connected when the broker died. Its connection counts as ended now.
        let crashed = record.disconnected_at.is_none();
        if crashed {
            // Any delivery may have been sent.
            let last = queue.last().max(sent.last()).unwrap_or_default();
            session.sent_up_to = session.sent_up_to.max(last);
        }
        let ended_at = record.disconnected_at.unwrap_or(step.now.wall).min(step.now.wall);
        session.life.disconnected_at = Some(ended_at);
        session.has_shared = has_shared;
        session.restore(sent, queue, last_packet_id, incoming);
        if crashed {
            step.change(Change::Session(Box::new(record_of(&session))));
        }
        let handle = SessionHandle::new(session, Arc::clone(&self.metrics));
        self.resubscribe(&handle, subscriptions);
        self.set_timers(&handle);
        self.registry.insert(&handle);
    }

    /// Filters are moved and not copied, because there may be millions.
    fn resubscribe(&self, handle: &Arc<SessionHandle>, found: Vec<SubscriptionRecord>) {
        let mut session = handle.lock();
        for SubscriptionRecord { filter, options, identifier } in found {
            let subscribed = Subscribed { options, identifier };
            // The broker wrote it, so it was valid then. If it no longer is, it matches
            // nothing.
            if let Ok(filter) = TopicFilter::new(&filter) {
                self.subscriptions.insert(&filter, handle, subscribed);
            }
            session.subscriptions.insert(filter, subscribed);
        }
    }

    /// Sets the timers of a session without a connection.
    fn set_timers(&self, handle: &Arc<SessionHandle>) {
        let session = handle.look();
        if let Some(at) = session.life.expires_at() {
            self.timers.set(Kind::Expiry, at, handle);
        }
        if let (Some(will), Some(ended)) = (&session.will, session.life.disconnected_at) {
            let at = ended.plus_seconds(will.delay);
            self.timers.set(Kind::Will, at, handle);
        }
    }
}
