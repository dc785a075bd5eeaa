//! From what the store found at the start back to living sessions.

use std::sync::Arc;

use super::connect::record_of;
use super::timers::Due;
use super::{Broker, SessionHandle, Turn};
use crate::protocol::TopicFilter;
use crate::session::{Session, Subscribed};
use crate::store::{Op, Recovered, RecoveredSession};

impl Broker {
    pub(super) fn recover(self: &Arc<Self>, recovered: Recovered) {
        let mut turn = Turn::new(self.clock.now());
        {
            let mut retained = self.retained.write();
            for record in recovered.retained {
                self.count_retained(1, &record);
                retained.insert(&record.topic.clone(), Arc::new(record));
            }
        }
        for session in recovered.sessions {
            self.recover_session(session, &mut turn);
        }
        // What has expired while the broker was down, and wills that are due.
        self.finish_or_log(&mut turn);
        self.run_due();
    }

    fn recover_session(&self, found: RecoveredSession, turn: &mut Turn) {
        let RecoveredSession { record, subscriptions, incoming, queue, last_packet_id } = found;
        let client_id: Arc<str> = record.client_id.into();
        let mut session =
            Session::new(record.id, Arc::clone(&client_id), record.version, self.settings.session);
        session.durable = true;
        session.life.expiry = record.expiry;
        session.will = record.will;
        session.sent_up_to = record.sent_up_to;
        // Connected when the broker died: from the session's view the connection
        // ended there, as far as we can know now.
        let crashed = record.disconnected_at.is_none();
        if crashed {
            // Any of them may have been sent.
            session.sent_up_to = session.sent_up_to.max(queue.last().unwrap_or_default());
        }
        let ended_at = record.disconnected_at.unwrap_or(turn.now.wall).min(turn.now.wall);
        session.life.disconnected_at = Some(ended_at);
        session.restore(queue, last_packet_id, incoming);
        for subscription in &subscriptions {
            let subscribed =
                Subscribed { options: subscription.options, identifier: subscription.identifier };
            session.subscriptions.insert(subscription.filter.clone(), subscribed);
        }
        if crashed {
            turn.write(Op::Session(Box::new(record_of(&session))));
        }
        let handle = SessionHandle::new(session);
        for subscription in &subscriptions {
            // Written by us, so it was valid once; if it is no more, it matches
            // nothing.
            let Ok(filter) = TopicFilter::new(&subscription.filter) else { continue };
            let subscribed =
                Subscribed { options: subscription.options, identifier: subscription.identifier };
            self.enroute(&filter, &handle, subscribed);
        }
        self.set_timers(&handle);
        handle.settle_counts(&mut handle.lock(), turn);
        self.registry.lock().insert(client_id, handle);
    }

    /// Timers of a session without a connection.
    fn set_timers(&self, handle: &Arc<SessionHandle>) {
        let session = handle.lock();
        let epoch = session.life.epoch();
        if let Some(at) = session.life.expires_at() {
            self.timers.set(at, Due::Expiry(Arc::downgrade(handle), epoch));
        }
        if let (Some(will), Some(ended)) = (&session.will, session.life.disconnected_at) {
            let at = ended.plus_seconds(will.delay);
            self.timers.set(at, Due::Will(Arc::downgrade(handle), epoch));
        }
    }
}
