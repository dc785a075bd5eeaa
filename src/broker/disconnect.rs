//! The end of a connection, and what a client leaves behind: its will.

use std::sync::Arc;

use super::connect::record_of;
use super::handle::StepPermit;
use super::timers::Kind;
use super::{Broker, Publication, SYS, SessionHandle, Step, traced};
use crate::message::WillRecord;
use crate::store::Change;
use crate::telemetry::{DropReason, Label, RefuseReason};

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
    /// taken the session over. Not to be cancelled.
    pub(super) async fn disconnect(
        self: &Arc<Self>,
        permit: StepPermit,
        epoch: u64,
        leaving: Leaving,
    ) {
        let handle = Arc::clone(permit.session());
        let mut step = Step::new(self);
        let (will, ends) = {
            let mut session = handle.lock();
            if !session.life.is_held_by(epoch) {
                return;
            }
            let (Leaving::Normally { session_expiry } | Leaving::WithWill { session_expiry }) =
                leaving;
            if let Some(expiry) = session_expiry {
                session.life.expiry = expiry.min(self.settings.max_session_expiry);
            }
            let gone = session.detach(step.now.wall);
            handle.bell().connect(None);
            self.metrics.messages.dropped.add(DropReason::SessionEnded, gone.len() as u64);
            traced::dropped(&gone, DropReason::SessionEnded.as_str());
            let will = match leaving {
                Leaving::Normally { .. } => {
                    session.will = None;
                    None
                }
                Leaving::WithWill { .. } => self.due_will(&handle, &mut session),
            };
            if session.life.expiry > 0 {
                if session.durable {
                    step.change(Change::Session(Box::new(record_of(&session))));
                }
                if let Some(at) = session.life.expires_at() {
                    self.timers.set(Kind::Expiry, at, &handle);
                }
                self.evict_later(&handle);
            }
            (will, session.life.expiry == 0)
        };
        if let Some(will) = will {
            self.publish_will(&will, &mut step).await;
        }
        if ends {
            self.end_and_submit(&permit, &mut step);
        } else {
            step.submit_or_log(self);
        }
    }

    /// The will, if it is due at once; otherwise its timer is set.
    fn due_will(
        &self,
        handle: &Arc<SessionHandle>,
        session: &mut crate::session::Session,
    ) -> Option<Box<WillRecord>> {
        let delay = session.will.as_ref()?.delay;
        if delay == 0 || session.life.expiry == 0 {
            return session.will.take();
        }
        if let Some(at) = session.life.disconnected_at {
            self.timers.set(Kind::Will, at.plus_seconds(delay), handle);
        }
        None
    }

    /// A will's delay has passed.
    pub(super) async fn will_is_due(&self, permit: StepPermit) {
        let handle = permit.session();
        let mut step = Step::new(self);
        let will = {
            let mut session = handle.lock();
            let will = if session.life.is_away() { session.will.take() } else { None };
            if will.is_some() && session.durable {
                // In one transaction with the message that is made of it.
                step.change(Change::Session(Box::new(record_of(&session))));
            }
            will
        };
        if let Some(will) = will {
            self.publish_will(&will, &mut step).await;
        }
        step.submit_or_log(self);
    }

    /// Publishes a will as if its client had: below `$SYS/` it is refused and counted, as
    /// a publish is. Its client cannot be told. (A Mosquitto bridge has such a will unless
    /// `notifications` is off.)
    pub(super) async fn publish_will(&self, will: &WillRecord, step: &mut Step) {
        if will.topic.starts_with(SYS) {
            self.metrics.messages.refused.inc(RefuseReason::NotAuthorized);
            tracing::debug!(topic = &*will.topic, "a will below $SYS/ is not published");
            return;
        }
        let publication = Publication {
            topic: &will.topic,
            properties: &will.properties,
            payload: &will.payload,
            qos: will.qos,
            retain: will.retain,
            expires_at: will.expiry.map(|seconds| step.now.wall.plus_seconds(seconds)),
            is_copy: false,
        };
        self.publish_within(&publication, step).await;
    }
}
