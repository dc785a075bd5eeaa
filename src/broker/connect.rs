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

use super::attach::{Attached, ConnectRequest};
use super::bridge::{self, BridgeTerms};
use super::cleanup::EndedSession;
use super::client::{Client, LogInState, Peer};
use super::grant::{BridgeSession, Granted};
use super::handle::StepPermit;
use super::persistence::NoRoom;
use super::registry::Entry;
use super::revocation::{log_in, revoke};
use super::{Broker, SessionHandle, Step, StoreDown};
use crate::message::{CommitNo, Revoked, WakeCause};
use crate::protocol::{ConnAck, Connect, QoS, ReasonCode, Version, level_count};
use crate::session::{ConnectionInfo, Session};

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
        // Those of bridges are nobody else's: whoever had one would get the queue.
        if connect.client_id.starts_with(bridge::PREFIX) {
            return Err(ReasonCode::ClientIdentifierNotValid);
        }
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
        self.attach_client(connect, peer, None).await
    }

    /// As [`Broker::connect`], for the dialling end of a bridge: the session never expires, has
    /// the limits of `terms`, and sends nothing above `max_qos`.
    ///
    /// # Errors
    /// As [`Broker::connect`].
    pub async fn connect_bridge(
        self: &Arc<Self>,
        connect: &Connect,
        peer: Peer,
        (terms, max_qos): (&BridgeTerms, QoS),
    ) -> Result<Accepted, ReasonCode> {
        let window = terms.refusals.lock().window();
        let bridge = BridgeSession { limits: terms.limits.clone(), window, max_qos };
        self.attach_client(connect, peer, Some(bridge)).await
    }

    async fn attach_client(
        self: &Arc<Self>,
        connect: &Connect,
        peer: Peer,
        bridge: Option<BridgeSession>,
    ) -> Result<Accepted, ReasonCode> {
        let will = connect.will.as_ref().map_or(0, |will| {
            (will.topic.as_str().len() + will.properties.len() + will.payload.len()) as u64
        });
        if !self.may_begin_with(will) {
            return Err(ReasonCode::ServerBusy);
        }
        let mut granted = self.grant(connect, bridge);
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
        // Access rules know a bridge by this name, so nobody else may have it.
        if granted.bridge.is_none() && user.is_some_and(|user| user.starts_with(bridge::PREFIX)) {
            return Err(ReasonCode::BadUserNameOrPassword);
        }
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

    /// False if the session has expired and its timer has not run yet.
    fn is_alive(handle: &SessionHandle, step: &Step) -> bool {
        handle.look().life.expires_at().is_none_or(|at| at > step.now.wall)
    }
}
