//! The end of a connection, of a session, and what a client leaves behind: its will.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::connect::record_of;
use super::timers::Due;
use super::{Broker, Publication, SessionHandle, Turn, traced};
use crate::message::{IdList, WillRecord};
use crate::protocol::QoS;
use crate::router::Routes;
use crate::session::Entry;
use crate::store::Op;
use crate::telemetry::{DropReason, Label};

/// Client ids to sessions. In order, so that a long list of them can be gone through in
/// short steps, each of which goes on behind the one before.
pub(super) type Registry = BTreeMap<Arc<str>, Arc<SessionHandle>>;

/// Rows of an ended session that are dropped in one go, so that other work gets
/// its turn in between.
const DROPS_AT_ONCE: usize = 5_000;

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// DISCONNECT with reason 0x00: the will is void [MQTT-3.14.4-3].
    Normally {
        /// v5: the session expiry interval may be changed on the way out.
        session_expiry: Option<u32>,
    },
    /// Anything else: the will is due.
    WithWill {
        /// v5: as above.
        session_expiry: Option<u32>,
    },
}

impl Broker {
    /// Connection `epoch` of the session is gone. Does nothing if another one has
    /// taken the session over.
    pub fn disconnect(self: &Arc<Self>, handle: &Arc<SessionHandle>, epoch: u64, leaving: Leaving) {
        let mut turn = Turn::new(self.clock.now());
        // Held to the end, as in `connect`: what is written has to keep the order of
        // the connections.
        let mut registry = self.registry.lock();
        let will = {
            let mut session = handle.lock();
            if !session.life.is_held_by(epoch) {
                return;
            }
            let (Leaving::Normally { session_expiry } | Leaving::WithWill { session_expiry }) =
                leaving;
            if let Some(expiry) = session_expiry {
                session.life.expiry = expiry.min(self.settings.max_session_expiry);
            }
            let gone = session.detach(turn.now.wall);
            self.metrics.messages.dropped.add(DropReason::SessionEnded, gone.len() as u64);
            traced::dropped(&gone, DropReason::SessionEnded.as_str());
            let will = match leaving {
                Leaving::Normally { .. } => {
                    session.will = None;
                    None
                }
                Leaving::WithWill { .. } => self.due_will(handle, &mut session, epoch),
            };
            if session.life.expiry > 0 {
                if session.durable {
                    turn.write(Op::Session(Box::new(record_of(&session))));
                }
                if let Some(at) = session.life.expires_at() {
                    self.timers.set(at, Due::Expiry(Arc::downgrade(handle), epoch));
                }
                self.forget_later(handle);
            }
            handle.settle_counts(&mut session, &mut turn);
            will
        };
        if let Some(will) = will {
            self.publish_will(&will, &mut turn);
        }
        let ends = handle.lock().life.expiry == 0;
        if ends {
            self.end_session(handle, &mut registry, &mut turn);
        }
        self.finish_or_log(&mut turn);
    }

    /// The will, if it is due at once; otherwise its timer is set.
    fn due_will(
        &self,
        handle: &Arc<SessionHandle>,
        session: &mut crate::session::Session,
        epoch: u64,
    ) -> Option<Box<WillRecord>> {
        let delay = session.will.as_ref()?.delay;
        if delay == 0 || session.life.expiry == 0 {
            return session.will.take();
        }
        if let Some(at) = session.life.disconnected_at {
            self.timers.set(at.plus_seconds(delay), Due::Will(Arc::downgrade(handle), epoch));
        }
        None
    }

    /// A will's delay has passed.
    pub(super) fn will_is_due(&self, handle: &Arc<SessionHandle>, epoch: u64, turn: &mut Turn) {
        let will = {
            let mut session = handle.lock();
            let waits = session.life.connected().is_none()
                && session.life.epoch() == epoch
                && !session.life.is_ended();
            let will = if waits { session.will.take() } else { None };
            if will.is_some() && session.durable {
                // In one transaction with the message that is made of it.
                turn.write(Op::Session(Box::new(record_of(&session))));
            }
            will
        };
        if let Some(will) = will {
            self.publish_will(&will, turn);
        }
    }

    /// A session's expiry has passed.
    pub(super) fn session_expires(&self, handle: &Arc<SessionHandle>, epoch: u64, turn: &mut Turn) {
        let mut registry = self.registry.lock();
        let will = {
            let mut session = handle.lock();
            let expired = session.life.connected().is_none()
                && session.life.epoch() == epoch
                && !session.life.is_ended();
            if !expired {
                return;
            }
            // The will is sent when the session ends, whatever its delay
            // [MQTT-3.1.2-8].
            session.will.take()
        };
        if let Some(will) = will {
            self.publish_will(&will, turn);
        }
        self.metrics.sessions.expired.inc();
        tracing::info!(client_id = &*handle.client_id, "session expired");
        self.end_session(handle, &mut registry, turn);
        // Before the lock is let go: whoever connects next with this id finds it written.
        self.finish_or_log(turn);
    }

    /// Removes the session and everything of it.
    pub(super) fn end_session(
        &self,
        handle: &Arc<SessionHandle>,
        registry: &mut Registry,
        turn: &mut Turn,
    ) {
        let (entries, ids, durable, subscriptions, shared_up_to) = {
            let mut session = handle.lock();
            if session.life.is_ended() {
                return;
            }
            session.life.end();
            let (entries, ids) = session.take_all();
            let subscriptions = std::mem::take(&mut session.subscriptions);
            handle.settle_counts(&mut session, turn);
            let shared = session.durable && session.has_shared;
            let shared_up_to = shared.then_some(session.sent_up_to);
            (entries, ids, session.durable, subscriptions, shared_up_to)
        };
        if registry.get(&handle.client_id).is_some_and(|known| Arc::ptr_eq(known, handle)) {
            registry.remove(&handle.client_id);
        }
        self.unroute(handle.id, subscriptions.keys());
        if durable {
            turn.write(Op::EndSession(handle.id));
        }
        self.drop_entries(&self.hand_over(entries, turn), turn);
        for ids in ids {
            if let Some(sent_up_to) = shared_up_to {
                self.leftovers.add(ids, sent_up_to);
            } else {
                self.metrics.messages.dropped.add(DropReason::SessionEnded, ids.len() as u64);
                self.drop_rows(ids, turn);
            }
        }
    }

    /// Ends deliveries with their session.
    pub(super) fn drop_entries(&self, entries: &[Entry], turn: &mut Turn) {
        traced::dropped(entries, DropReason::SessionEnded.as_str());
        for entry in entries {
            self.settle(entry, turn);
        }
        self.metrics.messages.dropped.add(DropReason::SessionEnded, entries.len() as u64);
    }

    fn drop_rows(&self, mut ids: IdList, turn: &mut Turn) {
        for queued in ids.take_front(DROPS_AT_ONCE) {
            turn.write(Op::Drop(queued.id));
        }
        if !ids.is_empty() {
            self.purge.lock().push_back(ids);
        }
    }

    /// Drops some more rows of sessions that have ended. True if there are more.
    pub(super) fn purge_some(&self, turn: &mut Turn) -> bool {
        let mut purge = self.purge.lock();
        let Some(ids) = purge.front_mut() else { return false };
        for queued in ids.take_front(DROPS_AT_ONCE) {
            turn.write(Op::Drop(queued.id));
        }
        if ids.is_empty() {
            purge.pop_front();
        }
        !purge.is_empty()
    }

    /// Publishes a will as if its client had.
    pub(super) fn publish_will(&self, will: &WillRecord, turn: &mut Turn) {
        let publication = Publication {
            topic: &will.topic,
            properties: &will.properties,
            payload: &will.payload,
            qos: will.qos,
            retain: will.retain,
            expires_at: will.expiry.map(|seconds| turn.now.wall.plus_seconds(seconds)),
            is_copy: false,
            incoming: None,
        };
        self.publish_from_within(&publication, turn);
    }

    /// Publishes something that no connection waits for. Nobody can be told that a queue
    /// is full: all receivers get it whose queues are not.
    pub(super) fn publish_from_within(&self, publication: &Publication<'_>, turn: &mut Turn) {
        let mut routes = Routes::new();
        self.route(publication.topic, None, &mut routes);
        if publication.qos > QoS::AtMostOnce {
            let before = routes.receivers.len();
            routes.receivers.retain(|receiver| self.has_room_for(receiver));
            let full = before - routes.receivers.len();
            if full > 0 {
                self.metrics.messages.dropped.add(DropReason::QueueFull, full as u64);
                let topic = publication.topic;
                tracing::warn!(
                    topic,
                    receivers = full,
                    "a will skipped receivers with full queues"
                );
            }
        }
        let prepared = self.compose(publication, &routes, None, turn);
        self.deliver(&prepared, &routes, turn);
        if publication.retain {
            self.retain(publication, turn);
        }
        debug_assert!(publication.qos <= QoS::ExactlyOnce);
    }

    /// Finishes a turn that no client waits for.
    pub(super) fn finish_or_log(&self, turn: &mut Turn) {
        if turn.finish(self).is_err() {
            tracing::debug!("the store is down; what was to be written is lost with it");
        }
    }
}
