//! Ends a session: by expiry, a clean start, the end of its connection, or an operator.
//!
//! The end is decided under the session's permit and lock, and submitted. Only then does the
//! session leave the registry, so that the next CONNECT with its client id knows a commit that
//! includes the end. Its state is then removed in short steps: see `cleanup`.

use std::collections::VecDeque;
use std::sync::Arc;

use super::cleanup::EndedSession;
use super::handle::StepPermit;
use super::{Broker, SessionHandle, Step};
use crate::message::IdList;
use crate::store::Change;
use crate::telemetry::DropReason;

impl Broker {
    /// Handles the expiry of a session.
    pub(super) async fn session_expires(&self, permit: StepPermit) {
        let handle = permit.session();
        let mut step = Step::new(self);
        let will = {
            let mut session = handle.lock();
            if !session.life.is_away() {
                return;
            }
            // A will is published when the session ends, even if its delay has not passed
            // [MQTT-3.1.2-8].
            session.will.take()
        };
        if let Some(will) = will {
            self.publish_will(handle, &will, &mut step).await;
        }
        if handle.look().life.expiry > 0 {
            self.metrics.sessions.expired.inc();
            tracing::info!(client_id = &*handle.client_id, "session expired");
        } else {
            let client_id = &*handle.client_id;
            tracing::info!(
                client_id,
                "session ended: its connection was lost when the broker last stopped"
            );
        }
        self.end_and_submit(&permit, &mut step);
    }

    /// Ends the session, submits the step, and begins the cleanup.
    pub(super) fn end_and_submit(&self, permit: &StepPermit, step: &mut Step) {
        let handle = permit.session();
        let remains = self.end_session(handle, step);
        step.submit_or_log(self);
        self.registry.remove(handle);
        if let Some(remains) = remains {
            self.clean_up(remains);
        }
    }

    /// Decides the end of the session. The caller holds its permit, submits the step, and then
    /// removes the session from the registry.
    pub(super) fn end_session(
        &self,
        handle: &Arc<SessionHandle>,
        step: &mut Step,
    ) -> Option<EndedSession> {
        let mut session = handle.lock();
        if session.life.is_ended() {
            return None;
        }
        session.life.end();
        self.timers.cancel(handle);
        let (entries, rows) = session.take_all();
        // Also if the session is no longer durable: its rows still exist.
        let shared_up_to = session.has_shared.then_some(session.sent_up_to);
        let subscriptions = session.subscriptions.take();
        if session.has_row {
            step.change(Change::EndSession(session.id));
        }
        drop(session);
        handle.session_wake().connect(None);
        let mut rows: VecDeque<_> = rows.into_iter().filter(|ids| !ids.is_empty()).collect();
        if let Some(sent_up_to) = shared_up_to {
            // Other members may get these deliveries, so the rows are read back first.
            rows.drain(..).for_each(|ids| self.shared_redelivery.add(ids, sent_up_to));
        }
        let dropped = rows.iter().map(IdList::len).sum::<usize>();
        self.metrics.messages.dropped.add(DropReason::SessionEnded, dropped as u64);
        let mut remains = EndedSession {
            handle: Arc::clone(handle),
            charge: self.metrics.messages.memory.charge(0),
            text: subscriptions.keys().map(|filter| filter.len()).sum(),
            filters: subscriptions.into_keys().collect(),
            entries: entries.into(),
            rows,
        };
        remains.charge();
        Some(remains)
    }
}
