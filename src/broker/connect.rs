//! CONNECT: creates a session, resumes one, or takes one over from another connection.
//!
//! A new connection first acquires the session's permit. It waits for at most one step of the
//! connection that it replaces, and decides nothing before. It submits its changes before it
//! releases the permit.
//!
//! The old connection handles what its socket has already received in a last step, releases
//! the permit, and reports this (`Wake::leave`). The new connection detaches it and attaches
//! itself with the next epoch. The stored will (`session.store_wills`) of a session that ends
//! with its connection is in a session row with expiry 0; a restart treats that session as
//! expired.

use std::sync::Arc;

use super::cleanup::EndedSession;
use super::client::{Client, LogInState, Peer};
use super::handle::StepPermit;
use super::persistence::NoRoom;
use super::registry::Entry;
use super::revocation::{log_in, revoke};
use super::{Broker, SessionHandle, Step, StoreDown, traced};
use crate::message::{CommitNo, Revoked, Wake, WakeCause, WillRecord};
use crate::protocol::{ConnAck, Connect, LastWill, QoS, ReasonCode, Version, level_count};
use crate::session::{Connected, ConnectionInfo, Session};
use crate::store::{Change, SessionRecord};
use crate::telemetry::{DropReason, Label};

/// An accepted client, and the CONNACK that is sent once `gate` is committed.
#[derive(Debug)]
pub struct Accepted {
    /// The state of the connection.
    pub client: Client,
    /// The first packet to send.
    pub connack: ConnAck,
    /// The commit of the session's row, or of the end of a session before it.
    pub gate: CommitNo,
}

/// The session of a client id, with its permit.
enum Claim {
    /// The session exists.
    Known(StepPermit),
    /// The session is new.
    New(StepPermit),
}

/// A session and the connection that now holds it.
struct Attached {
    permit: StepPermit,
    wake: Arc<Wake>,
    epoch: u64,
    present: bool,
}

/// What the broker granted of the client's request.
pub(super) struct Granted {
    pub(super) expiry: u32,
    keep_alive: u16,
    pub(super) client_id: Arc<str>,
    assigned: bool,
    /// False: there is no room for a new session. An existing session can only be ended.
    has_room: bool,
}

/// A connection that requests a session.
struct ConnectRequest<'a> {
    connect: &'a Connect,
    granted: &'a Granted,
    info: Arc<ConnectionInfo>,
}

/// A session that was ended by a clean start or by its expiry.
#[derive(Default)]
struct Replaced {
    remains: Option<EndedSession>,
    /// Its permit, if no new session takes its place in the registry.
    without_successor: Option<StepPermit>,
}

impl Broker {
    /// Checks a CONNECT before the client is authenticated, except its authentication method.
    ///
    /// # Errors
    /// The reason code for the CONNACK.
    pub fn check_connect(&self, connect: &Connect) -> Result<(), ReasonCode> {
        // 3.1 and 3.1.1: a client without a client id must set Clean Session [MQTT-3.1.3-8].
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

    /// Attaches an authenticated client to its session. Must not be cancelled: a session that
    /// was taken from another connection must get this one.
    ///
    /// # Errors
    /// [`ReasonCode::NotAuthorized`] if the session belongs to another user,
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
            // A clean start still ends the existing session, which frees room.
            Err(NoRoom) if connect.clean_start => {
                granted.has_room = false;
                None
            }
            Err(NoRoom) => return Err(ReasonCode::QuotaExceeded),
        };
        let user = peer.identity.username.as_deref();
        let claim = self.claim(&granted, connect.version, user).await?;
        let mut step = Step::new(self);
        step.keep(promise);
        let info = Arc::new(ConnectionInfo {
            remote: peer.address,
            listener: Arc::clone(&peer.listener),
            user: peer.identity.username.clone(),
            method: peer.identity.method,
            credential: peer.identity.credential,
            certificate: peer.certificate.clone(),
            connected_at: step.now.wall,
            keep_alive: granted.keep_alive,
            clean_start: connect.clean_start,
        });
        let request = ConnectRequest { connect, granted: &granted, info: Arc::clone(&info) };
        let mut replaced = Replaced::default();
        let attached = match claim {
            Claim::New(permit) => Ok(self.hold_session(permit, false, &request, &mut step)),
            Claim::Known(permit) => {
                self.resume_or_replace(permit, &request, &mut replaced, &mut step).await
            }
        };
        // A session that is not durable writes at most its will. But a session with its client
        // id may have just ended, and a crash must not restore it after this client was told
        // that there is none.
        let ended = self.registry.last_end();
        let waits = self.persistence.waits() && step.has_writes();
        let follows = self.persistence.waits() && ended > self.persistence.committed();
        if let Ok(Attached { permit, .. }) = &attached
            && (waits || follows)
        {
            step.wake_at_commit(permit.session().session_wake(), WakeCause::Direct);
        }
        // Also after a refusal: an older connection may have been ended.
        let gate = step.submit(self);
        if let Some(permit) = replaced.without_successor {
            // Only after its end was submitted: see `broker/end.rs`.
            self.registry.remove(permit.session());
        }
        let gate = gate.map_err(|StoreDown| ReasonCode::ServerUnavailable)?;
        if let Some(remains) = replaced.remains {
            self.clean_up(remains);
        }
        let Attached { permit, wake, epoch, present } = attached?;
        let connack = self.connack(connect, &granted, present);
        let handle = Arc::clone(permit.session());
        // A reload looks for such connections after it has replaced the policy: either it sees
        // this one, which is attached, or this sees the new policy.
        if !self.authenticator.still_valid(&log_in(&info)) {
            revoke(&wake, Revoked::LogInRemoved);
        }
        let log_in = LogInState::new(connect, &peer.identity);
        let rules = peer.identity.rules.clone();
        let principal = Arc::new(peer.principal(Arc::clone(&granted.client_id)));
        if handle.set_client(&principal, rules, &self.rules) {
            self.note_rights_of(&handle);
        }
        let client =
            Client::new(Arc::clone(self), handle, epoch, wake, connect, (principal, log_in));
        let gate = if waits { gate } else { ended };
        Ok(Accepted { client, connack, gate })
    }

    /// Waits for the permit of the existing session, or creates a session, whose permit the
    /// caller gets.
    async fn claim(
        &self,
        granted: &Granted,
        version: Version,
        user: Option<&str>,
    ) -> Result<Claim, ReasonCode> {
        loop {
            // Called under the registry's lock: `shut_down` sets its flag first and then wakes
            // all sessions in the registry. A later connection is refused here.
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
            // Before its connection notices anything.
            let replaced = {
                let session = known.look();
                if !self.may_claim(&session, user, self.clock.now().wall) {
                    return Err(ReasonCode::NotAuthorized);
                }
                session.wake().cloned()
            };
            // Its connection ends after its current packet.
            if let Some(wake) = replaced {
                wake.revoke(Revoked::TakenOver);
                wake.until_left().await;
            }
            let permit = known.begin().await;
            // Another new connection may have taken over first. What its client has sent is
            // read, too.
            let session = known.look();
            let closing = session.wake().is_some_and(|wake| wake.is_closing());
            // An ended session has already left the registry.
            if closing || session.life.is_ended() {
                continue;
            }
            // And as another user.
            if !self.may_claim(&session, user, self.clock.now().wall) {
                return Err(ReasonCode::NotAuthorized);
            }
            drop(session);
            return Ok(Claim::Known(permit));
        }
    }

    /// While the disk is full, the last room is kept for existing sessions.
    fn has_no_room(&self, granted: &Granted) -> bool {
        !granted.has_room || (granted.expiry > 0 && self.persistence.is_full())
    }

    /// True if `session.max_sessions` is reached.
    pub fn has_all_sessions(&self) -> bool {
        self.is_crowded(self.registry.len())
    }

    /// True if the will is stored even if the session is not durable.
    pub(super) fn stores_will(&self, connect: &Connect) -> bool {
        connect.will.is_some() && self.settings.store_wills && self.persistence.is_enabled()
    }

    fn is_crowded(&self, sessions: usize) -> bool {
        sessions >= self.connect_settings().max_sessions
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
        // The new session, if any, takes the old one's place in the registry. Tasks that wait
        // for the old permit find that the session has ended, and look it up again.
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
        let keep_alive = match self.connect_settings().max_keep_alive {
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
            // 3.1 has no Session Present flag; its byte is reserved and 0.
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

    /// False if the session has expired and its timer has not run yet.
    fn is_alive(handle: &SessionHandle, step: &Step) -> bool {
        handle.look().life.expires_at().is_none_or(|at| at > step.now.wall)
    }

    /// Ends an older connection of the same client id [MQTT-3.1.4-3]. Its will is published,
    /// unless its delay lets the new connection cancel it.
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
        properties: will.properties.clone(),
        payload: will.payload.clone(),
        qos: will.qos.min(QoS::ExactlyOnce),
        retain: will.retain,
        delay: will.delay,
        expiry: will.expiry,
    }
}
