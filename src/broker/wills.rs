//! Wills: when they are due, and how they are published.

use std::sync::Arc;

use super::connect::record_of;
use super::handle::StepPermit;
use super::timers::Kind;
use super::{Broker, Publication, SYS, SessionHandle, Step};
use crate::message::WillRecord;
use crate::session::Session;
use crate::store::Change;
use crate::telemetry::RefuseReason;

impl Broker {
    /// Takes the will of a session whose connection has ended, if it is due now; otherwise
    /// sets its timer.
    pub(super) fn due_will(
        &self,
        handle: &Arc<SessionHandle>,
        session: &mut Session,
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

    /// Publishes a will whose delay has passed.
    pub(super) async fn will_is_due(&self, permit: StepPermit) {
        let handle = permit.session();
        let mut step = Step::new(self);
        let will = {
            let mut session = handle.lock();
            let will = if session.life.is_away() { session.will.take() } else { None };
            if will.is_some() && session.durable {
                // In the same transaction as the will's message.
                step.change(Change::Session(Box::new(record_of(&session))));
            }
            will
        };
        if let Some(will) = will {
            self.publish_will(&will, &mut step).await;
        }
        step.submit_or_log(self);
    }

    /// Publishes a will as a publish of its client. Below `$SYS/` it is refused and counted;
    /// the client cannot be told. (A Mosquitto bridge has such a will unless `notifications`
    /// is off.)
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
        self.publish_internally(&publication, step).await;
    }
}
