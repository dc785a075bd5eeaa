//! CONNECT: a new session, an old one again, or one taken from another connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::client::{Client, Peer};
use super::disconnect::Registry;
use super::{Broker, SessionHandle, StoreDown, Turn, traced};
use crate::auth::Identity;
use crate::message::{CommitNo, Wake, WillRecord};
use crate::protocol::{ConnAck, Connect, LastWill, QoS, ReasonCode, Version, level_count};
use crate::session::{Connected, ConnectionInfo, Session};
use crate::store::{Op, SessionRecord};
use crate::telemetry::Label;

/// A client that may speak now, and the CONNACK that it gets once `gate` is
/// committed.
#[derive(Debug)]
pub struct Accepted {
    /// Its state.
    pub client: Client,
    /// To be sent first.
    pub connack: ConnAck,
    /// The session's row must be on disk before the client hears of it.
    pub gate: CommitNo,
}

/// A session and the connection that holds it now.
struct Attached {
    handle: Arc<SessionHandle>,
    epoch: u64,
    present: bool,
}

/// What was granted of what the client asked for.
struct Granted {
    expiry: u32,
    keep_alive: u16,
    client_id: Arc<str>,
    assigned: bool,
}

/// A connection that asks for a session.
struct Newcomer<'a> {
    connect: &'a Connect,
    granted: &'a Granted,
    wake: &'a Arc<Wake>,
    info: Arc<ConnectionInfo>,
}

impl Broker {
    /// Checks what can be checked without knowing who it is.
    ///
    /// # Errors
    /// The reason code for the CONNACK.
    pub fn check_connect(&self, connect: &Connect) -> Result<(), ReasonCode> {
        if connect.authentication_method.is_some() {
            return Err(ReasonCode::BadAuthenticationMethod);
        }
        // 3.1 and 3.1.1: a client without an id cannot ask for a session
        // [MQTT-3.1.3-8].
        if connect.client_id.is_empty() && connect.version < Version::V5 && !connect.clean_start {
            return Err(ReasonCode::ClientIdentifierNotValid);
        }
        if let Some(will) = &connect.will {
            if level_count(will.topic.as_str()) > self.settings.max_topic_levels {
                return Err(ReasonCode::TopicNameInvalid);
            }
            if will.retain && !self.settings.retain_available {
                return Err(ReasonCode::RetainNotSupported);
            }
        }
        Ok(())
    }

    /// Asks for the will what is asked for every publish.
    ///
    /// # Errors
    /// The reason code for the CONNACK.
    pub fn check_will(&self, connect: &Connect, identity: &Identity) -> Result<(), ReasonCode> {
        match &connect.will {
            Some(will) if !self.authenticator.may_publish(identity, will.topic.as_str()) => {
                Err(ReasonCode::NotAuthorized)
            }
            _ => Ok(()),
        }
    }

    /// Attaches an authenticated client to its session.
    ///
    /// # Errors
    /// [`ReasonCode::ServerUnavailable`] if the store is poisoned,
    /// [`ReasonCode::ServerShuttingDown`] after [`Broker::shut_down`].
    pub fn connect(
        self: &Arc<Self>,
        connect: &Connect,
        peer: Peer,
    ) -> Result<Accepted, ReasonCode> {
        let mut turn = Turn::new(self.clock.now());
        let granted = self.grant(connect);
        let wake = Arc::new(Wake::default());
        // The registry's lock orders connections of one client id among themselves, and
        // what they write with them: a row must not end up as an older one left it.
        let mut registry = self.registry.lock();
        // Under the lock: `shut_down` tells whom it finds in the registry after it has said
        // so, and whoever comes later is told here.
        if self.is_shutting_down() {
            return Err(ReasonCode::ServerShuttingDown);
        }
        let info = Arc::new(ConnectionInfo {
            remote: peer.address,
            listener: Arc::clone(&peer.listener),
            user: peer.identity.username.clone(),
            connected_at: turn.now.wall,
            keep_alive: granted.keep_alive,
            clean_start: connect.clean_start,
        });
        let newcomer = Newcomer { connect, granted: &granted, wake: &wake, info };
        let attached = self.attach(&newcomer, &mut registry, &mut turn);
        // A session that is not durable writes nothing. But what it follows upon may have
        // ended a moment ago, and must not come back after the client was told that there
        // is no session.
        let ended = self.last_end.load(Ordering::Relaxed);
        let waits = self.persistence.waits() && turn.has_writes();
        let follows = self.persistence.waits() && ended > self.persistence.committed();
        if waits || follows {
            turn.wake_at_commit(&wake);
        }
        // Refused or not: an older connection may have been ended for it.
        let gate = turn.finish(self).map_err(|StoreDown| ReasonCode::ServerUnavailable)?;
        drop(registry);
        let Attached { handle, epoch, present } = attached?;
        let connack = self.connack(connect, &granted, present);
        let client = Client::new(Arc::clone(self), handle, epoch, wake, connect, peer);
        let gate = if waits { gate } else { ended };
        Ok(Accepted { client, connack, gate })
    }

    fn grant(&self, connect: &Connect) -> Granted {
        let settings = &self.settings;
        let asked = match connect.version {
            Version::V5 => connect.session_expiry.unwrap_or(0),
            _ if connect.clean_start => 0,
            _ => u32::MAX,
        };
        let keep_alive = match settings.max_keep_alive {
            0 => connect.keep_alive,
            limit if connect.version == Version::V5 && connect.keep_alive == 0 => limit,
            limit if connect.version == Version::V5 => connect.keep_alive.min(limit),
            _ => connect.keep_alive,
        };
        let assigned = connect.client_id.is_empty();
        let client_id = if assigned { self.assign_client_id() } else { connect.client_id.clone() };
        Granted {
            expiry: asked.min(settings.max_session_expiry),
            keep_alive,
            client_id: client_id.into(),
            assigned,
        }
    }

    fn connack(&self, connect: &Connect, granted: &Granted, session_present: bool) -> ConnAck {
        let settings = &self.settings;
        let asked = connect.session_expiry.unwrap_or(0);
        ConnAck {
            // 3.1 has no such flag; its byte is reserved and 0.
            session_present: session_present && connect.version > Version::V31,
            session_expiry: (asked != granted.expiry).then_some(granted.expiry),
            receive_maximum: Some(settings.receive_maximum),
            maximum_packet_size: Some(settings.max_packet_size),
            retain_available: (!settings.retain_available).then_some(false),
            assigned_client_id: granted.assigned.then(|| granted.client_id.to_string()),
            topic_alias_maximum: Some(settings.topic_alias_maximum),
            server_keep_alive: (granted.keep_alive != connect.keep_alive)
                .then_some(granted.keep_alive),
            ..ConnAck::default()
        }
    }

    fn attach(
        &self,
        newcomer: &Newcomer<'_>,
        registry: &mut Registry,
        turn: &mut Turn,
    ) -> Result<Attached, ReasonCode> {
        let Newcomer { connect, granted, .. } = *newcomer;
        let known = registry.get(&granted.client_id).cloned();
        if let Some(handle) = known {
            self.end_connection_of(&handle, connect.clean_start, turn);
            let outlives = !connect.clean_start && Self::is_alive(&handle, turn);
            if outlives {
                let epoch = self.hold_session(&handle, newcomer, turn);
                return Ok(Attached { handle, epoch, present: true });
            }
            self.end_session(&handle, registry, turn);
        }
        // A full disk keeps its last room for the sessions that are there.
        let no_room = granted.expiry > 0 && self.persistence.is_full();
        if no_room || registry.len() >= self.settings.max_sessions {
            return Err(ReasonCode::QuotaExceeded);
        }
        let session = Session::new(
            self.ids.session(),
            Arc::clone(&granted.client_id),
            connect.version,
            self.settings.session,
        );
        let handle = SessionHandle::new(session);
        registry.insert(Arc::clone(&granted.client_id), Arc::clone(&handle));
        let epoch = self.hold_session(&handle, newcomer, turn);
        Ok(Attached { handle, epoch, present: false })
    }

    /// False if the session's time was over and only the timer had not come to it.
    fn is_alive(handle: &SessionHandle, turn: &Turn) -> bool {
        let session = handle.lock();
        !session.life.is_ended() && session.life.expires_at().is_none_or(|at| at > turn.now.wall)
    }

    /// An older connection of the same client id is told to go [MQTT-3.1.4-3]; its
    /// will is due unless the delay lets the newcomer cancel it.
    fn end_connection_of(&self, handle: &Arc<SessionHandle>, clean_start: bool, turn: &mut Turn) {
        let (taken_over, will) = {
            let mut session = handle.lock();
            let old = session.life.connected().map(|connected| Arc::clone(&connected.wake));
            let ends = clean_start || session.life.expiry == 0;
            let due = session.will.as_ref().is_some_and(|will| ends || will.delay == 0);
            let due = due && (old.is_some() || ends);
            let will = if due { session.will.take() } else { None };
            if let Some(wake) = old {
                session.life.take_over();
                let gone = session.detach(turn.now.wall);
                self.metrics
                    .messages
                    .dropped
                    .add(crate::telemetry::DropReason::SessionEnded, gone.len() as u64);
                traced::dropped(&gone, crate::telemetry::DropReason::SessionEnded.as_str());
                turn.wake(&wake);
                self.metrics.sessions.take_overs.inc();
                handle.settle_counts(&mut session, turn);
                (true, will)
            } else {
                (false, will)
            }
        };
        if taken_over {
            tracing::info!(
                client_id = &*handle.client_id,
                "session taken over by a new connection"
            );
        }
        if let Some(will) = will {
            self.publish_will(&will, turn);
        }
    }

    fn hold_session(
        &self,
        handle: &Arc<SessionHandle>,
        newcomer: &Newcomer<'_>,
        turn: &mut Turn,
    ) -> u64 {
        let Newcomer { connect, granted, wake, info } = newcomer;
        let mut session = handle.lock();
        session.version = connect.version;
        let was_durable = session.durable;
        session.life.expiry = granted.expiry;
        session.durable = self.persistence.is_enabled() && granted.expiry > 0;
        session.will = connect.will.as_ref().map(|will| Box::new(will_record(will)));
        let epoch = session.life.next_epoch();
        session.attach(Connected {
            epoch,
            wake: Arc::clone(wake),
            receive_maximum: usize::from(connect.receive_maximum.unwrap_or(u16::MAX)),
            info: Arc::clone(info),
        });
        if session.durable {
            turn.write(Op::Session(Box::new(record_of(&session))));
            if !was_durable {
                Self::write_subscriptions(&session, turn);
            }
        } else if was_durable {
            turn.write(Op::EndSession(session.id));
        }
        handle.settle_counts(&mut session, turn);
        epoch
    }

    /// A session that becomes durable late brings its subscriptions along.
    fn write_subscriptions(session: &Session, turn: &mut Turn) {
        for (filter, subscribed) in &session.subscriptions {
            turn.write(super::subscribe::subscribe_op(session.id, filter, *subscribed));
        }
    }
}

/// The session's row as it should be now.
pub(super) fn record_of(session: &Session) -> SessionRecord {
    SessionRecord {
        id: session.id,
        client_id: session.client_id.as_ref().into(),
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
        properties: will.properties.clone(),
        payload: will.payload.clone(),
        qos: will.qos.min(QoS::ExactlyOnce),
        retain: will.retain,
        delay: will.delay,
        expiry: will.expiry,
    }
}
