//! A session gets the connection that has acquired it, and loses the one before.

use std::sync::Arc;

use super::bridge::Window;
use super::grant::{BridgeSession, Granted};
use super::handle::StepPermit;
use super::{Broker, SessionHandle, Step, traced};
use crate::message::{Revoked, Wake, WillRecord};
use crate::protocol::{Connect, LastWill, QoS, hops};
use crate::session::{Connected, ConnectionInfo, Session};
use crate::store::{Change, SessionRecord};
use crate::telemetry::{DropReason, Label};

/// A session and the connection that now holds it.
pub(super) struct Attached {
    pub(super) permit: StepPermit,
    pub(super) wake: Arc<Wake>,
    pub(super) epoch: u64,
    pub(super) present: bool,
}

/// A connection that requests a session.
pub(super) struct ConnectRequest<'a> {
    pub(super) connect: &'a Connect,
    pub(super) granted: &'a Granted,
    pub(super) info: Arc<ConnectionInfo>,
}

impl Broker {
    /// Ends an older connection of the same client id [MQTT-3.1.4-3]. Its will is published,
    /// unless its delay lets the new connection cancel it.
    pub(super) async fn end_connection_of(
        &self,
        handle: &Arc<SessionHandle>,
        clean_start: bool,
        step: &mut Step,
    ) {
        let (old, will) = {
            let mut session = handle.lock();
            let old = session.wake().cloned();
            let now = step.now.wall;
            let expired = session.life.expires_at().is_some_and(|at| at <= now);
            let ends = clean_start || session.life.expiry == 0 || expired;
            let left_at = session.life.disconnected_at;
            let due = session.will.as_ref().is_some_and(|will| {
                // Its timer may not have run yet.
                let passed = left_at.is_some_and(|at| at.plus_seconds(will.delay) <= now);
                ends || passed || (old.is_some() && will.delay == 0)
            });
            let will = if due { session.will.take() } else { None };
            if let Some(wake) = &old {
                // In this order, so that its task sees that it has no last step to take.
                wake.leave();
                wake.revoke(Revoked::TakenOver);
                let gone = session.detach(step.now.wall);
                handle.session_wake().connect(None);
                self.metrics.messages.dropped.add(DropReason::SessionEnded, gone.len() as u64);
                traced::dropped(&gone, DropReason::SessionEnded.as_str());
                self.metrics.sessions.take_overs.inc();
            }
            (old, will)
        };
        if old.is_some() {
            tracing::info!(
                client_id = &*handle.client_id,
                "session taken over by a new connection"
            );
        }
        if let Some(will) = will {
            self.publish_will(handle, &will, step).await;
        }
    }

    pub(super) fn hold_session(
        &self,
        permit: StepPermit,
        present: bool,
        request: &ConnectRequest<'_>,
        step: &mut Step,
    ) -> Attached {
        let ConnectRequest { connect, granted, info } = request;
        let handle = Arc::clone(permit.session());
        let wake = Arc::new(Wake::of_session(Arc::clone(handle.session_wake())));
        let mut session = handle.lock();
        session.version = connect.version;
        if let Some(user) = &info.user {
            session.owner = Some(user.clone());
        }
        let (was_durable, had_row) = (session.durable, session.has_row);
        session.life.expiry = granted.expiry;
        session.durable = self.persistence.is_enabled() && granted.expiry > 0;
        session.will = connect.will.as_ref().map(|will| Box::new(will_record(will)));
        session.has_row = session.durable || self.stores_will(connect);
        // A message that an older connection lost must not end this one.
        handle.take_lost_message();
        if let Some(BridgeSession { limits: Some(limits), .. }) = &granted.bridge {
            session.limits = Arc::clone(limits);
        }
        let max_qos = granted.bridge.as_ref().map_or(QoS::ExactlyOnce, |bridge| bridge.max_qos);
        let epoch = session.life.next_epoch();
        self.timers.cancel(&handle);
        session.attach(Connected {
            epoch,
            wake: Arc::clone(&wake),
            receive_maximum: usize::from(connect.receive_maximum.unwrap_or(u16::MAX)),
            one_at_a_time: matches!(&granted.bridge, Some(bridge) if bridge.window == Window::One),
            max_qos,
            info: Arc::clone(info),
        });
        handle.session_wake().connect(Some(Arc::clone(&wake)));
        if !session.durable && had_row {
            step.change(Change::EndSession(session.id));
        }
        if session.has_row {
            step.change(Change::Session(Box::new(record_of(&session))));
        }
        if session.durable && !was_durable {
            Self::write_what_it_has(&session, step);
        }
        drop(session);
        Attached { permit, wake, epoch, present }
    }

    /// Writes the subscriptions of a session that becomes durable, and the QoS 2 packet
    /// identifiers whose repeats have to be detected.
    fn write_what_it_has(session: &Session, step: &mut Step) {
        for packet_id in session.incoming.held() {
            step.change(Change::OpenIncoming(session.id, packet_id));
        }
        for (filter, subscribed) in session.subscriptions.iter() {
            step.change(super::subscribe::subscribe_change(session.id, filter, *subscribed));
        }
    }
}

/// The session's row in its current state.
pub(super) fn record_of(session: &Session) -> SessionRecord {
    SessionRecord {
        id: session.id,
        client_id: session.client_id.as_ref().into(),
        owner: session.owner.clone(),
        version: session.version,
        expiry: session.life.expiry,
        disconnected_at: session.life.disconnected_at,
        sent_up_to: session.sent_up_to,
        will: session.will.clone(),
    }
}

fn will_record(will: &LastWill) -> WillRecord {
    WillRecord {
        topic: will.topic.as_str().into(),
        // Only a broker says which brokers a message has passed.
        properties: hops::split(&will.properties).1.to_vec(),
        payload: will.payload.clone(),
        qos: will.qos.min(QoS::ExactlyOnce),
        retain: will.retain,
        delay: will.delay,
        expiry: will.expiry,
    }
}
