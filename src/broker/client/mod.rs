//! One connection's side of the protocol: packets in, bytes out. It has no socket, task or
//! clock of its own, so that a simulation can drive it as the network does.
//!
//! Its methods are of four kinds, and a poll of the connection calls them in this order:
//!
//! 1. **Step**: [`Client::begin`] takes the session's permit; [`Client::end`] submits what
//!    was decided and gives it back. Nothing else may be called in between by anybody.
//! 2. **Input**: [`Client::go_on`] with a packet whose work one poll could not finish, then
//!    [`Client::handle`] for every packet that was read, as long as [`Client::may_go_on`]
//!    says so.
//! 3. **Output**: [`Client::submit`], then [`Client::pump`] to fill the write buffer.
//! 4. **Timers**: [`Client::disconnects_at`] is when it has to be pumped at the latest.
//!
//! At its end [`Client::close`], once.

mod aliases;
mod block;
mod close;
mod graceful_disconnect;
mod incoming;
mod packet_statistics;
mod packets;
mod payload;
mod pending;
mod pump;
mod receipts;
mod rest;
mod role;
mod step;
mod work;

use std::sync::{Arc, Weak};

use self::aliases::{InboundAliases, OutboundAliases};
pub use self::block::{BlockReason, Handled};
pub use self::close::Close;
pub use self::payload::LargePayload;
pub use self::pending::{Pending, PendingQueue, Reply};
pub use self::role::Dialled;
use self::role::Role;
use self::work::Work;
use super::budget::PACKET;
use super::{Broker, Budget, LongPolls, Routing, SessionHandle, Step, StepPermit};
use crate::auth::{Identity, Principal};
use crate::memory::Charge;
use crate::message::{CommitNo, Wake};
use crate::peer::PeerAddr;
use crate::protocol::{ConnAck, Connect, Packet, ReasonCode, Version};
use crate::router::Routes;
use crate::telemetry::PacketType;

/// What is known of the other end when its CONNECT is accepted.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub address: PeerAddr,
    /// The name of the listener that it came through.
    pub listener: Arc<str>,
    /// Who it proved to be.
    pub identity: Identity,
}

impl Peer {
    /// Who acts, under this client id.
    pub fn principal(self, client_id: Arc<str>) -> Principal {
        let Self { address, listener, identity: Identity { username } } = self;
        Principal { client_id, username, address, listener, certificate: None }
    }
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
    role: Role,
    principal: Principal,
    /// While a step is under way.
    permit: Option<StepPermit>,
    step: Step,
    /// Of this poll, for what the client sends.
    budget: Budget,
    /// Of this poll, for what it is sent: neither may starve the other.
    output_budget: Budget,
    /// A packet whose work goes on in the next poll.
    work: Option<Box<Work>>,
    /// The step goes on with a packet of an earlier poll: it ends with that packet, so that
    /// one that follows upon another cannot keep others from the session.
    carries_on: bool,
    /// The connection was revoked before the step began, so that what had arrived by then is
    /// read in it, and no other step follows.
    is_last_step: bool,
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
    /// A topic whose receivers are being looked for, as far as `routes` goes.
    routing: Option<Box<(String, Routing)>>,
    /// Topic and router generation that `routes` was made for.
    routed: Option<(String, u64)>,
    /// Of the subscriptions, as the routes know them.
    routes_generation: u64,
    /// Counts of the running step.
    statistics: packet_statistics::PacketStatistics,
    /// Since it was last asked for.
    has_replied: bool,
    /// PINGREQs without PINGRESP.
    pings: u32,
    /// Entries on their way from the session to the write buffer.
    outgoing: Vec<crate::session::Outgoing>,
    /// The session's queue may hold something to be sent.
    look: bool,
    /// Writes that may wait for the disk before packets of this connection are held.
    most_pending: usize,
    /// It waits for room where others are refused.
    back_pressure: bool,
    /// Why the packet that was handled last has not been taken.
    held: Option<BlockReason>,
    /// The session in whose line for room this connection stands.
    waits_at: Option<Weak<SessionHandle>>,
    /// It is in the gauge of those that wait for room.
    counted_back_pressure: bool,
    /// The other end hears nothing any more: what it has sent is taken as far as it can be
    /// without waiting.
    deaf: bool,
    /// It hears no more, and a publish of it would have had to wait: those behind it must
    /// not be taken either.
    gives_up: bool,
    /// It was refused and is disconnected soon.
    graceful_disconnect: Option<graceful_disconnect::GracefulDisconnect>,
    /// What is written behind the write buffer.
    payload: Option<LargePayload>,
    /// For the buffers of the connection.
    charge: Charge,
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
        principal: Principal,
    ) -> Self {
        let inbound = broker.settings.topic_alias_maximum;
        let most_pending = broker.settings.max_pending_writes;
        let back_pressure = broker.settings.back_pressure && connect.version < Version::V5;
        wake.set_back_pressure(back_pressure);
        wake.set_ends_when_refused(!back_pressure && connect.version < Version::V5);
        let outbound = connect.topic_alias_maximum.min(broker.settings.topic_alias_maximum);
        Self {
            payload: None,
            charge: broker.metrics.messages.memory.charge(0),
            permit: None,
            step: Step::new(&broker),
            budget: Budget::of_short_poll(),
            output_budget: Budget::of_short_poll(),
            work: None,
            carries_on: false,
            is_last_step: false,
            broker,
            handle,
            epoch,
            wake,
            version: connect.version,
            role: Role::Accepted,
            principal,
            pending: PendingQueue::default(),
            inbound_aliases: InboundAliases::new(inbound),
            outbound_aliases: OutboundAliases::new(outbound),
            max_packet: connect.maximum_packet_size.unwrap_or(u32::MAX),
            resumed: false,
            problem_information: connect.request_problem_information,
            unanswered: 0,
            routes: Routes::new(),
            routing: None,
            routed: None,
            routes_generation: 0,
            statistics: packet_statistics::PacketStatistics::default(),
            has_replied: false,
            pings: 0,
            outgoing: Vec::new(),
            look: true,
            most_pending,
            back_pressure,
            held: None,
            waits_at: None,
            counted_back_pressure: false,
            deaf: false,
            gives_up: false,
            graceful_disconnect: None,
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

    /// Says that the connection's own buffers take `buffers` bytes now, of which `used` are
    /// packets that are not whole, not taken, or not read by the other end.
    ///
    /// # Errors
    /// The connection has to end: memory is short, it holds more than its share, and packets
    /// of it take more than any connection's do from time to time.
    pub fn hold_buffers(&mut self, buffers: usize, used: usize) -> Result<(), Close> {
        /// A read that had to wait, and deliveries that were encoded before output was found
        /// to wait: 64 KiB and a packet each. Replies are bounded by being read no further.
        const SMALL: usize = 112 << 10;
        let aliases = self.inbound_aliases.memory() + self.outbound_aliases.memory();
        let held = buffers + aliases + self.pending.memory() + self.kept_memory();
        self.charge.set(held as u64);
        self.handle.set_buffered(held + self.pending.bytes());
        if used + aliases > SMALL && !self.broker.may_hold(&self.handle, 0) {
            return Err(Close::Error(
                ReasonCode::QuotaExceeded,
                "its packets take more memory than limits.max_memory leaves for it",
            ));
        }
        Ok(())
    }

    /// The line in which it waits when a short poll is not enough.
    pub fn long_polls(&self) -> &LongPolls {
        &self.broker.long_polls
    }

    /// The client's id.
    pub fn client_id(&self) -> &Arc<str> {
        &self.handle.client_id
    }

    /// Who it is, and where it comes from.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What it speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The largest packet it accepts.
    pub fn max_packet(&self) -> u32 {
        self.max_packet
    }

    /// To be called when the wake-up was rung: the queue may hold something.
    pub fn woken(&mut self) {
        self.look = true;
    }

    /// Takes one packet, which came in a frame of `len` bytes.
    ///
    /// # Errors
    /// The connection has to end, for the reason given.
    pub fn handle(&mut self, packet: Packet<'_>, len: usize) -> Result<Handled, Close> {
        let kind = PacketType::from(&packet);
        // A packet that was held comes again.
        if self.held.take().is_none() {
            packets::received(&self.handle.client_id, &packet, len);
        }
        self.budget.spend(PACKET);
        self.budget.spend_bytes(len);
        if let Some(reason) = self.must_wait(&packet).filter(|_| !self.deaf) {
            self.hold(reason);
            return Ok(Handled::Held);
        }
        let taken = self.take(packet);
        if self.held.is_some() {
            return taken.map(|()| Handled::Held);
        }
        self.statistics.received(kind, len);
        taken.map(|()| Handled::Taken)
    }

    /// True if a packet has had to wait and replies have left since the last call: it may be
    /// taken now.
    pub fn has_replied(&mut self) -> bool {
        std::mem::take(&mut self.has_replied) && self.held.is_some()
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
            Packet::Connect(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::PingReq
                if self.role.is_dialled() =>
            {
                Err(Close::Error(ReasonCode::ProtocolError, "a packet that only clients send"))
            }
            Packet::Subscribe(subscribe) => {
                self.on_subscribe(*subscribe);
                Ok(())
            }
            Packet::Unsubscribe(unsubscribe) => {
                self.on_unsubscribe(*unsubscribe);
                Ok(())
            }
            Packet::PingReq => {
                // Not in the queue of replies: a slow disk is no reason to seem dead.
                self.pings = self.pings.saturating_add(1);
                Ok(())
            }
            Packet::Disconnect(disconnect) if self.role.is_dialled() => {
                Err(self.on_server_disconnect(&disconnect))
            }
            Packet::Disconnect(disconnect) => Err(self.on_disconnect(&disconnect)),
            Packet::SubAck(suback) if self.role.is_dialled() => self.on_suback(&suback),
            // A sign of life, which is all that it is.
            Packet::PingResp if self.role.is_dialled() => Ok(()),
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
}
