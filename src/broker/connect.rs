//! CONNECT: creates a session, resumes one, or takes one over from another connection.
//!
//! A newcomer first has the permit of the session, for which it waits for at most one
//! step of the connection that it replaces; only then does it decide anything. What it
//! decides is submitted before it gives the permit back.
//!
//! The old connection takes what its socket has already received in a last step, gives the
//! permit back, and says so (`Wake::leave`). The new one detaches it and attaches itself with
//! the next epoch. A stored will (`session.store_wills`) of a session that ends with its
//! connection is a session row with expiry 0; to a start it is a session whose time is over.

use std::sync::Arc;

use super::cleanup::Remains;
use super::client::{Client, Peer};
use super::handle::StepPermit;
use super::persistence::NoRoom;
use super::registry::Entry;
use super::{Broker, SessionHandle, Step, StoreDown, traced};
use crate::message::{CommitNo, Revoked, Wake, WillRecord};
use crate::protocol::{ConnAck, Connect, LastWill, QoS, ReasonCode, Version, level_count};
use crate::session::{Connected, ConnectionInfo, Session};
use crate::store::{Change, SessionRecord};
use crate::telemetry::{DropReason, Label};

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

/// The session of a client id, with its permit.
enum Claim {
    /// It was there.
    Known(StepPermit),
    /// There was none.
    New(StepPermit),
}

/// A session and the connection that holds it now.
struct Attached {
    permit: StepPermit,
    wake: Arc<Wake>,
    epoch: u64,
    present: bool,
}

/// What was granted of what the client asked for.
pub(super) struct Granted {
    pub(super) expiry: u32,
    keep_alive: u16,
    pub(super) client_id: Arc<str>,
    assigned: bool,
    /// False: only the end of the session that is there may be written.
    has_room: bool,
}

/// A connection that asks for a session.
struct ConnectRequest<'a> {
    connect: &'a Connect,
    granted: &'a Granted,
    info: Arc<ConnectionInfo>,
}

/// What a session leaves that a newcomer's clean start, or its expiry, has ended.
#[derive(Default)]
struct Replaced {
    remains: Option<Remains>,
    /// Its permit, if no session takes its place.
    without_successor: Option<StepPermit>,
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
    pub fn check_will(&self, connect: &Connect, peer: &Peer) -> Result<(), ReasonCode> {
        let principal = peer.clone().principal(connect.client_id.as_str().into());
        match &connect.will {
            Some(will) if !self.authenticator.may_publish(&principal, will.topic.as_str()) => {
                Err(ReasonCode::NotAuthorized)
            }
            _ => Ok(()),
        }
    }

    /// Attaches an authenticated client to its session. Not to be cancelled: a session that
    /// has been taken from another connection has to go to somebody.
    ///
    /// # Errors
    /// [`ReasonCode::ServerUnavailable`] if the store is poisoned,
    /// [`ReasonCode::QuotaExceeded`] if there is no room for another session, or on the disk
    /// for its will,
    /// [`ReasonCode::ServerBusy`] if memory is short and its will is large,
    /// [`ReasonCode::ServerShuttingDown`] after [`Broker::shut_down`].
    pub async fn connect(
        self: &Arc<Self>,
        connect: &Connect,
        peer: Peer,
    ) -> Result<Accepted, ReasonCode> {
        let will = connect.will.as_ref().map_or(0, |will| {
            (will.topic.as_str().len() + will.properties.len() + will.payload.len()) as u64
        });
        if !self.may_begin_with(will) {
            return Err(ReasonCode::ServerBusy);
        }
        let mut granted = self.grant(connect);
        let promise = match self.room_for_session(connect, &granted) {
            Ok(promise) => promise,
            // It ends the session that is there all the same, which makes room.
            Err(NoRoom) if connect.clean_start => {
                granted.has_room = false;
                None
            }
            Err(NoRoom) => return Err(ReasonCode::QuotaExceeded),
        };
        let claim = self.claim(&granted, connect.version).await?;
        let mut step = Step::new(self);
        step.keep(promise);
        let info = Arc::new(ConnectionInfo {
            remote: peer.address,
            listener: Arc::clone(&peer.listener),
            user: peer.identity.username.clone(),
            connected_at: step.now.wall,
            keep_alive: granted.keep_alive,
            clean_start: connect.clean_start,
        });
        let request = ConnectRequest { connect, granted: &granted, info };
        let mut replaced = Replaced::default();
        let attached = match claim {
            Claim::New(permit) => Ok(self.hold_session(permit, false, &request, &mut step)),
            Claim::Known(permit) => {
                self.resume_or_replace(permit, &request, &mut replaced, &mut step).await
            }
        };
        // A session that is not durable writes at most its will. But what it follows upon may have
        // ended a moment ago, and must not come back after the client was told that there
        // is no session.
        let ended = self.registry.last_end();
        let waits = self.persistence.waits() && step.has_writes();
        let follows = self.persistence.waits() && ended > self.persistence.committed();
        if let Ok(Attached { permit, .. }) = &attached
            && (waits || follows)
        {
            step.wake_at_commit(permit.session().session_wake());
        }
        // Refused or not: an older connection may have been ended for it.
        let gate = step.submit(self);
        if let Some(permit) = replaced.without_successor {
            // Not before its end was submitted: see `broker/end.rs`.
            self.registry.remove(permit.session());
        }
        let gate = gate.map_err(|StoreDown| ReasonCode::ServerUnavailable)?;
        if let Some(remains) = replaced.remains {
            self.clear_away(remains);
        }
        let Attached { permit, wake, epoch, present } = attached?;
        let connack = self.connack(connect, &granted, present);
        let handle = Arc::clone(permit.session());
        let principal = peer.principal(Arc::clone(&granted.client_id));
        let client = Client::new(Arc::clone(self), handle, epoch, wake, connect, principal);
        let gate = if waits { gate } else { ended };
        Ok(Accepted { client, connack, gate })
    }

    /// Waits for the permit of the session, or makes a session whose permit is the
    /// caller's from the beginning.
    async fn claim(&self, granted: &Granted, version: Version) -> Result<Claim, ReasonCode> {
        loop {
            // Under the registry's lock: `shut_down` tells whom it finds there after it has
            // said so, and whoever comes later is told here.
            let admit = || {
                let is_late = self.is_shutting_down();
                if is_late { Err(ReasonCode::ServerShuttingDown) } else { Ok(()) }
            };
            let make = |sessions: usize| {
                if self.has_no_room(granted) || self.is_crowded(sessions) {
                    return Err(ReasonCode::QuotaExceeded);
                }
                Ok(self.new_session(granted, version))
            };
            let known = match self.registry.find_or_insert(&granted.client_id, admit, make)? {
                Entry::Found(handle) => handle,
                Entry::Inserted(permit) => return Ok(Claim::New(permit)),
            };
            // Its connection comes to an end with the packet that it is at.
            let replaced = known.look().wake().cloned();
            if let Some(wake) = replaced {
                wake.revoke(Revoked::TakenOver);
                wake.until_left().await;
            }
            let permit = known.begin().await;
            // Another newcomer may have come first: what its client sends is read as well.
            let closing = known.look().wake().is_some_and(|wake| wake.is_closing());
            // A session that has ended has left the registry.
            if !closing && !known.look().life.is_ended() {
                return Ok(Claim::Known(permit));
            }
        }
    }

    /// A full disk keeps its last room for the sessions that are there.
    fn has_no_room(&self, granted: &Granted) -> bool {
        !granted.has_room || (granted.expiry > 0 && self.persistence.is_full())
    }

    /// True if there are as many sessions as there may be.
    pub fn has_all_sessions(&self) -> bool {
        self.is_crowded(self.registry.len())
    }

    /// True if the will is stored although its session may not be.
    pub(super) fn stores_will(&self, connect: &Connect) -> bool {
        connect.will.is_some() && self.settings.store_wills && self.persistence.is_enabled()
    }

    fn is_crowded(&self, sessions: usize) -> bool {
        sessions >= self.settings.max_sessions
    }

    fn new_session(&self, granted: &Granted, version: Version) -> StepPermit {
        let client_id = Arc::clone(&granted.client_id);
        let session = Session::new(
            self.ids.session(),
            client_id,
            version,
            Arc::clone(&self.settings.session),
        );
        SessionHandle::claimed(session, Arc::clone(&self.metrics))
    }

    async fn resume_or_replace(
        &self,
        permit: StepPermit,
        request: &ConnectRequest<'_>,
        replaced: &mut Replaced,
        step: &mut Step,
    ) -> Result<Attached, ReasonCode> {
        let ConnectRequest { connect, granted, .. } = request;
        let handle = Arc::clone(permit.session());
        self.end_connection_of(&handle, connect.clean_start, step).await;
        let outlives = !connect.clean_start && Self::is_alive(&handle, step);
        if outlives {
            return Ok(self.hold_session(permit, true, request, step));
        }
        // The old session's place in the registry goes to the new one, if it gets any. When
        // its permit is given back, whoever waits for it finds that it has ended, and looks
        // again.
        replaced.remains = self.end_session(&handle, step);
        if self.has_no_room(granted) {
            replaced.without_successor = Some(permit);
            return Err(ReasonCode::QuotaExceeded);
        }
        let claimed = self.new_session(granted, connect.version);
        self.registry.insert(claimed.session());
        Ok(self.hold_session(claimed, false, request, step))
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
            has_room: true,
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

    /// False if the session's time was over and only the timer had not come to it.
    fn is_alive(handle: &SessionHandle, step: &Step) -> bool {
        handle.look().life.expires_at().is_none_or(|at| at > step.now.wall)
    }

    /// An older connection of the same client id is told to go [MQTT-3.1.4-3]; its
    /// will is due unless the delay lets the newcomer cancel it.
    async fn end_connection_of(
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
                // The timer may not have come to it yet.
                let passed = left_at.is_some_and(|at| at.plus_seconds(will.delay) <= now);
                ends || passed || (old.is_some() && will.delay == 0)
            });
            let will = if due { session.will.take() } else { None };
            if let Some(wake) = &old {
                // In this order: its task finds at once that it has no step left.
                wake.leave();
                wake.revoke(Revoked::TakenOver);
                session.life.take_over();
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
            self.publish_will(&will, step).await;
        }
    }

    fn hold_session(
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
        let (was_durable, had_row) = (session.durable, session.has_row);
        session.life.expiry = granted.expiry;
        session.durable = self.persistence.is_enabled() && granted.expiry > 0;
        session.will = connect.will.as_ref().map(|will| Box::new(will_record(will)));
        session.has_row = session.durable || self.stores_will(connect);
        // What an older connection lost is no reason to end this one.
        handle.take_lost_message();
        let epoch = session.life.next_epoch();
        self.timers.cancel(&handle);
        session.attach(Connected {
            epoch,
            wake: Arc::clone(&wake),
            receive_maximum: usize::from(connect.receive_maximum.unwrap_or(u16::MAX)),
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

    /// A session that becomes durable late brings along its subscriptions, and the QoS 2
    /// packet ids whose repeats have to be known.
    fn write_what_it_has(session: &Session, step: &mut Step) {
        for packet_id in session.incoming.held() {
            step.change(Change::OpenIncoming(session.id, packet_id));
        }
        for (filter, subscribed) in session.subscriptions.iter() {
            step.change(super::subscribe::subscribe_change(session.id, filter, *subscribed));
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
