//! Wills: when they are due, and how they are published.

use std::sync::Arc;

use super::attach::record_of;
use super::client::Peer;
use super::handle::StepPermit;
use super::timers::Kind;
use super::{Broker, Publication, SYS, SessionHandle, Step};
use crate::auth::acl::Subject;
use crate::message::WillRecord;
use crate::protocol::{Connect, ReasonCode};
use crate::session::Session;
use crate::store::Change;
use crate::telemetry::{AclAction, RefuseReason};

impl Broker {
    /// Checks that the client may publish its will, as for any publish.
    ///
    /// # Errors
    /// The reason code for the CONNACK.
    pub fn check_will(&self, connect: &Connect, peer: &Peer) -> Result<(), ReasonCode> {
        let Some(will) = connect.will.as_ref() else { return Ok(()) };
        if !self.rules.limit_anyone() && peer.identity.rules.is_none() {
            return Ok(());
        }
        // A client without a client id cannot know the one that it will be assigned, so any
        // name will do. It is asked again when the will is published.
        let client_id = if connect.client_id.is_empty() { "auto" } else { &connect.client_id };
        let principal = peer.clone().principal(client_id.into());
        let (rules, _) = self.rules.get();
        let access = rules.access(Subject::Client(&principal), peer.identity.rules.as_ref());
        let decision = access.publish(will.topic.as_str(), will.qos, will.retain);
        if decision.is_allowed() {
            return Ok(());
        }
        self.metrics.access.denied.inc(AclAction::Publish);
        tracing::warn!(
            client_id, user = principal.username.as_deref(), topic = will.topic.as_str(),
            qos = will.qos as u8, retain = will.retain, decided_by = %decision.origin,
            "will denied by the access rules"
        );
        Err(ReasonCode::NotAuthorized)
    }

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
            self.publish_will(handle, &will, &mut step).await;
        }
        step.submit_or_log(self);
    }

    /// Publishes a will as a publish of its client. Below `$SYS/`, and where the client may not
    /// publish by now, it is refused and counted; the client cannot be told. (A Mosquitto bridge
    /// has such a will unless `notifications` is off.)
    pub(super) async fn publish_will(
        &self,
        handle: &SessionHandle,
        will: &WillRecord,
        step: &mut Step,
    ) {
        if !self.may_publish_will(handle, will) {
            self.metrics.messages.refused.inc(RefuseReason::NotAuthorized);
            return;
        }
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

    fn may_publish_will(&self, handle: &SessionHandle, will: &WillRecord) -> bool {
        let Some(access) = handle.access(&self.rules) else { return true };
        let decision = access.publish(&will.topic, will.qos, will.retain);
        let metrics = &self.metrics.access;
        let counters = if decision.is_allowed() { &metrics.allowed } else { &metrics.denied };
        counters.inc(AclAction::Publish);
        if !decision.is_allowed() {
            tracing::warn!(
                client_id = &*handle.client_id, topic = &*will.topic, qos = will.qos as u8,
                retain = will.retain, decided_by = %decision.origin,
                "will denied by the access rules"
            );
        }
        decision.is_allowed()
    }
}
