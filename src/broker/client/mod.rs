//! One connection's side of the protocol: packets in, bytes out. Knows no socket and
//! no task, so that a simulation can drive it just as the network does.
//!
//! A turn: [`Client::handle`] for every packet that was read, then
//! [`Client::finish`] once, then [`Client::pump`] to fill the write buffer.

mod aliases;
mod incoming;
mod packets;
mod parting;
mod pending;
mod pump;
mod receipts;
mod stall;
mod tally;

use std::sync::Arc;

use bytes::BytesMut;

use self::aliases::{InboundAliases, OutboundAliases};
pub use self::pending::{Pending, PendingQueue, Reply};
use super::{Broker, Leaving, SessionHandle, Turn};
use crate::auth::Identity;
use crate::message::{CommitNo, Wake};
use crate::protocol::{ConnAck, Connect, Disconnect, Packet, ReasonCode, Version, encode};
use crate::router::Routes;
use crate::schedule::{self, Point};
use crate::telemetry::PacketType;

/// Bytes of one connection's messages that may wait for the disk before it is read no
/// further: half a second of a fast disk.
const MAX_UNANSWERED_BYTES: usize = 16 << 20;

/// What is known of the other end beside its packets.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address, for logs.
    pub address: std::net::SocketAddr,
    /// The name of the listener that it came through.
    pub listener: Arc<str>,
    /// Who it proved to be.
    pub identity: Identity,
}

/// Why a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Close {
    /// DISCONNECT came.
    Left(Leaving),
    /// The client broke a rule, or a limit holds: the reason goes into a v5
    /// DISCONNECT, the words into the log.
    Error(ReasonCode, &'static str),
    /// The network says so.
    Lost(&'static str),
}

/// One per connection, used by its task alone.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // Each is true or false by itself.
pub struct Client {
    broker: Arc<Broker>,
    handle: Arc<SessionHandle>,
    epoch: u64,
    wake: Arc<Wake>,
    version: Version,
    peer: Peer,
    turn: Turn,
    pending: PendingQueue,
    inbound_aliases: InboundAliases,
    outbound_aliases: OutboundAliases,
    /// The session was there before this connection.
    resumed: bool,
    /// The largest packet that the client accepts, in bytes.
    max_packet: u32,
    problem_information: bool,
    /// QoS 1 and 2 publishes of this connection without PUBACK or PUBCOMP.
    unanswered: usize,
    routes: Routes<Arc<SessionHandle>>,
    /// Topic and router generation that `routes` was made for.
    routed: Option<(String, u64)>,
    /// Counts of the running turn.
    tally: tally::Tally,
    /// PINGREQs without PINGRESP.
    pings: u32,
    /// Entries on their way from the session to the write buffer.
    outgoing: Vec<crate::session::Outgoing>,
    /// The session's queue may hold something to be sent.
    look: bool,
    /// Writes that may wait for the disk before this connection is read no further.
    most_pending: usize,
    /// It waits where others are refused.
    stall: stall::Stall,
    /// It was refused and is disconnected soon.
    parting: Option<parting::Parting>,
    /// It has lost its session.
    is_replaced: bool,
}

/// A client that drains a queue on disk makes a write of each acknowledgement. It may fill
/// this part of the writes that may wait, so that publishers do not come to stand still
/// behind it.
const DRAINING_SHARE: usize = 4;

impl Client {
    pub(super) fn new(
        broker: Arc<Broker>,
        handle: Arc<SessionHandle>,
        epoch: u64,
        wake: Arc<Wake>,
        connect: &Connect,
        peer: Peer,
    ) -> Self {
        let inbound = broker.settings.topic_alias_maximum;
        let most_pending = broker.settings.max_pending_writes;
        let patient = broker.settings.stalls && connect.version < Version::V5;
        wake.set_patient(patient);
        let outbound = connect.topic_alias_maximum.min(broker.settings.topic_alias_maximum);
        Self {
            turn: Turn::new(broker.clock.now()),
            broker,
            handle,
            epoch,
            wake,
            version: connect.version,
            peer,
            pending: PendingQueue::default(),
            inbound_aliases: InboundAliases::new(inbound),
            outbound_aliases: OutboundAliases::new(outbound),
            max_packet: connect.maximum_packet_size.unwrap_or(u32::MAX),
            resumed: false,
            problem_information: connect.request_problem_information,
            unanswered: 0,
            routes: Routes::new(),
            routed: None,
            tally: tally::Tally::default(),
            pings: 0,
            outgoing: Vec::new(),
            look: true,
            most_pending,
            stall: stall::Stall::new(patient),
            parting: None,
            is_replaced: false,
        }
    }

    /// Queues the CONNACK: it leaves first, and not before `gate` is committed.
    pub fn open(&mut self, connack: ConnAck, gate: CommitNo) {
        self.resumed = connack.session_present;
        let reply = Reply::ConnAck(Box::new(connack));
        self.pending.push(Pending::at_commit(reply, gate));
    }

    /// Rung whenever [`Client::pump`] may have something to do.
    pub fn wake(&self) -> &Arc<Wake> {
        &self.wake
    }

    /// The client's id.
    pub fn client_id(&self) -> &Arc<str> {
        &self.handle.client_id
    }

    /// The other end of its connection.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What it speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The largest packet it accepts.
    pub fn max_packet(&self) -> u32 {
        self.max_packet
    }

    /// To be called when the wake-up was rung, before anything else of the turn.
    pub fn woken(&mut self) {
        self.look = true;
        self.is_replaced = !self.handle.lock().life.is_held_by(self.epoch);
    }

    /// Begins a turn.
    pub fn begin(&mut self) {
        self.turn.now = self.broker.clock.now();
    }

    /// Takes one packet, which came in a frame of `len` bytes. If the client
    /// [holds](Client::is_holding) afterwards, the packet was not taken.
    ///
    /// # Errors
    /// The connection has to end, for the reason given.
    pub fn handle(&mut self, packet: Packet<'_>, len: usize) -> Result<(), Close> {
        if self.is_replaced {
            // What the client sends by its new connection must not be overtaken by what
            // it had sent by this one.
            return Err(lost(&self.handle.lock(), &self.wake));
        }
        let kind = PacketType::from(&packet);
        // A packet that was held up comes again.
        if !std::mem::take(&mut self.stall.holding) {
            packets::received(&self.handle.client_id, &packet, len);
        }
        let taken = self.take(packet);
        if !self.stall.holding {
            self.tally.received(kind, len);
        }
        taken
    }

    fn take(&mut self, packet: Packet<'_>) -> Result<(), Close> {
        match packet {
            Packet::Publish(publish) => self.on_publish(&publish),
            Packet::PubAck(ack) => self.on_puback(ack.packet_id),
            Packet::PubRec(ack) => self.on_pubrec(ack.packet_id, ack.reason),
            Packet::PubRel(ack) => {
                self.on_pubrel(ack.packet_id);
                Ok(())
            }
            Packet::PubComp(ack) => self.on_pubcomp(ack.packet_id),
            Packet::Subscribe(subscribe) => {
                self.on_subscribe(&subscribe);
                Ok(())
            }
            Packet::Unsubscribe(unsubscribe) => {
                self.on_unsubscribe(&unsubscribe);
                Ok(())
            }
            Packet::PingReq => {
                // Not in the queue of replies: a slow disk is no reason to seem dead.
                self.pings += 1;
                Ok(())
            }
            Packet::Disconnect(disconnect) => Err(self.on_disconnect(&disconnect)),
            // No method is configured, so none can go on [MQTT-4.12.0-6].
            Packet::Auth(_) => {
                Err(Close::Error(ReasonCode::ProtocolError, "AUTH without a method"))
            }
            Packet::Connect(_) => {
                Err(Close::Error(ReasonCode::ProtocolError, "a second CONNECT [MQTT-3.1.0-2]"))
            }
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                Err(Close::Error(ReasonCode::ProtocolError, "a packet that only servers send"))
            }
        }
    }

    /// Hands the turn's work to the store and wakes whom it concerns.
    ///
    /// # Errors
    /// The store is poisoned: nothing may be acknowledged any more.
    pub fn finish(&mut self) -> Result<(), Close> {
        if self.turn.has_writes() && self.pending.has_new_gates() {
            self.turn.wake_at_commit(&self.wake);
        }
        schedule::reached(Point::EndOfTurn);
        let commit = self
            .turn
            .finish(&self.broker)
            .map_err(|_| Close::Error(ReasonCode::ServerShuttingDown, "the store has failed"))?;
        self.pending.turn_committed_at(commit);
        Ok(())
    }

    /// True while the client has to wait before more is read from it: too much of
    /// what it sent is unanswered, or too many writes wait for the disk.
    pub fn is_saturated(&self) -> bool {
        self.pending.len() >= self.broker.settings.max_unanswered
            || self.pending.bytes() >= MAX_UNANSWERED_BYTES
            // Whoever waits for the disk is to wait until memory is free again; the
            // disk frees it, so this ends.
            || (self.broker.is_over_memory() && !self.pending.is_empty())
            || self.broker.persistence.pending() > self.most_pending
    }

    /// Makes sure that the connection is woken when the store has caught up, if it
    /// is saturated for that reason.
    ///
    /// # Errors
    /// As [`Client::finish`].
    pub fn wake_when_unsaturated(&mut self) -> Result<(), Close> {
        self.turn.wake_at_commit(&self.wake);
        self.finish()
    }

    /// The DISCONNECT that tells a v5 client why [MQTT-4.13.2-1]; older ones have
    /// none.
    pub fn farewell(&self, reason: ReasonCode, why: &str, out: &mut BytesMut) {
        // Before the CONNACK there is nothing to disconnect from [MQTT-3.2.0-1].
        if self.version == Version::V5 && !self.pending.opens_connection() {
            let reason_string =
                (self.problem_information && !why.is_empty()).then(|| why.to_owned());
            let disconnect = Disconnect { reason, reason_string, ..Disconnect::default() };
            self.within(out, &disconnect, |out, packet| {
                encode::disconnect(out, Version::V5, packet);
            });
        }
    }

    /// The connection has ended.
    pub fn closed(mut self, close: &Close) {
        self.stop_waiting();
        self.turn.hand_in(&self.broker);
        self.pending.abandon();
        let leaving = match close {
            Close::Left(leaving) => *leaving,
            Close::Error(..) | Close::Lost(_) => Leaving::WithWill { session_expiry: None },
        };
        self.broker.disconnect(&self.handle, self.epoch, leaving);
    }

    fn on_disconnect(&self, disconnect: &Disconnect) -> Close {
        // A session that was to end with its connection cannot be prolonged by the
        // last word (v5, 3.14.2.2.2).
        let prolongs = disconnect.session_expiry.is_some_and(|expiry| expiry > 0)
            && self.handle.lock().life.expiry == 0;
        if prolongs {
            return Close::Error(
                ReasonCode::ProtocolError,
                "DISCONNECT sets an expiry for a session that CONNECT gave none",
            );
        }
        let session_expiry = disconnect.session_expiry;
        Close::Left(if disconnect.reason == ReasonCode::Success {
            Leaving::Normally { session_expiry }
        } else {
            Leaving::WithWill { session_expiry }
        })
    }
}

/// Why a connection has lost its session.
fn lost(session: &crate::session::Session, wake: &Wake) -> Close {
    if wake.is_dismissed() {
        Close::Error(ReasonCode::AdministrativeAction, "disconnected by an operator")
    } else if session.life.is_ended() && !session.life.is_taken_over() {
        Close::Error(ReasonCode::AdministrativeAction, "the session was ended")
    } else {
        Close::Error(ReasonCode::SessionTakenOver, "another connection has the session")
    }
}
