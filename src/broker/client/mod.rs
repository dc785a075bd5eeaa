//! One connection's side of the protocol: packets in, bytes out. It has no socket, task or
//! clock of its own, so a simulation can drive it as the network does.
//!
//! It has four kinds of methods. A poll of the connection calls them in this order:
//!
//! 1. **Step**: [`Client::begin`] takes the session's permit. [`Client::end`] submits what was
//!    decided and releases the permit. Input and output happen between the two.
//! 2. **Input**: [`Client::go_on`] continues a packet that the last poll could not finish.
//!    Then [`Client::handle`] is called for each packet that was read, while
//!    [`Client::may_go_on`] is true.
//! 3. **Output**: [`Client::submit`], then [`Client::pump`] to fill the write buffer.
//! 4. **Timers**: [`Client::disconnects_at`] and [`Client::resumes_at`] are the times of the next
//!    poll at the latest.
//!
//! [`Client::close`] is called once, at the end.

mod aliases;
mod block;
mod bridged;
mod close;
mod deliveries;
mod dispatch;
mod graceful_disconnect;
mod incoming;
mod log_in;
mod packet_statistics;
mod packets;
mod payload;
mod pending;
mod permissions;
mod publish_limit;
mod pump;
mod receipts;
mod rest;
mod role;
mod routes;
mod step;
mod work;

use std::sync::Arc;

use self::aliases::{InboundAliases, OutboundAliases};
pub use self::block::{BlockReason, Handled};
pub use self::close::Close;
pub(super) use self::log_in::LogInState;
pub use self::payload::LargePayload;
pub use self::pending::{Pending, PendingQueue, Reply};
use self::permissions::Permissions;
use self::role::Role;
pub use self::role::{Dialled, Notice};
use self::work::Work;
use super::waiting::WaitingLine;
use super::{Broker, Budget, Routing, SessionHandle, Step, StepPermit, Turns};
use crate::auth::{Identity, Principal};
use crate::memory::Charge;
use crate::message::{CommitNo, Wake};
use crate::peer::{ClientCertificate, PeerAddr};
use crate::protocol::{ConnAck, Connect, ReasonCode, Version};
use crate::router::Routes;

/// What is known of the other end when its CONNECT is accepted.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub address: PeerAddr,
    /// The name of the listener that accepted it.
    pub listener: Arc<str>,
    /// Its certificate, if its transport has verified one.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// Its authenticated identity.
    pub identity: Identity,
}

impl Peer {
    /// The principal of this peer, under this client id.
    pub fn principal(self, client_id: Arc<str>) -> Principal {
        let Self { address, listener, certificate, identity: Identity { username, .. } } = self;
        Principal { client_id, username, address, listener, certificate }
    }
}

/// The state of one connection, used by its task alone.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // Each is true or false by itself.
pub struct Client {
    broker: Arc<Broker>,
    handle: Arc<SessionHandle>,
    epoch: u64,
    wake: Arc<Wake>,
    version: Version,
    role: Role,
    principal: Arc<Principal>,
    /// The end of its log-in, and how it may be renewed.
    log_in: LogInState,
    /// What it may do.
    permissions: Permissions,
    /// Held during a step.
    permit: Option<StepPermit>,
    step: Step,
    /// The rest of this poll's budget for input.
    budget: Budget,
    /// Bytes of an incomplete packet that were charged as they arrived.
    charged: usize,
    /// The rest of this poll's budget for output, separate so that neither starves the other.
    output_budget: Budget,
    /// A packet whose work continues in the next poll.
    work: Option<Box<Work>>,
    /// The step continues a packet of an earlier poll and ends with that packet, so that a
    /// sequence of large packets cannot keep the session's permit.
    is_continuation: bool,
    /// The connection was revoked before the step began. What has arrived by now is read in
    /// this step, and no step follows.
    is_last_step: bool,
    pending: PendingQueue,
    inbound_aliases: InboundAliases,
    outbound_aliases: OutboundAliases,
    /// The session existed before this connection.
    resumed: bool,
    /// The largest packet that the client accepts, in bytes.
    max_packet: u32,
    problem_information: bool,
    /// The other end has said that it is a bridge: see [`Connect::is_bridge`].
    is_bridge: bool,
    /// The identifier of the broker at the other end, if it is one that knows [`hops`].
    other_broker: Option<Box<str>>,
    /// QoS 1 and 2 publishes of this connection without PUBACK or PUBCOMP.
    unanswered: usize,
    routes: Routes<Arc<SessionHandle>>,
    /// A topic whose search for receivers is not complete; `routes` has the partial result.
    routing: Option<Box<(String, Routing)>>,
    /// The topic for which `routes` is complete, and the generations of subscriptions and
    /// rights.
    routed: Option<(String, (u64, u64))>,
    /// The generation of the subscriptions for which `routes` was searched.
    routes_generation: u64,
    /// Packet counts of the current step.
    statistics: packet_statistics::PacketStatistics,
    /// True if a reply was sent since [`Client::has_replied`] was last called.
    has_replied: bool,
    /// PINGREQs that await PINGRESP.
    pings: u32,
    /// Deliveries taken from the session and not yet encoded.
    outgoing: Vec<crate::session::Outgoing>,
    /// The session's queue may have something to send.
    look: bool,
    /// Pending writes above which packets of this connection are held.
    most_pending: usize,
    /// The client waits for room where others are refused.
    back_pressure: bool,
    /// Why the last packet is held, if it is.
    held: Option<BlockReason>,
    /// Where this connection waits for room in a queue, if it does.
    waits_at: Option<Box<WaitingLine>>,
    /// True if this connection is in the gauge of stalled connections.
    counted_back_pressure: bool,
    /// No output is possible any more. What was received is handled if it requires no waiting.
    output_closed: bool,
    /// A publish was dropped because it would have had to wait while `output_closed`. Later QoS 1 and 2
    /// publishes are dropped as well.
    dropped_publish: bool,
    /// Set if a publish was refused and the client is about to be disconnected.
    graceful_disconnect: Option<graceful_disconnect::GracefulDisconnect>,
    /// `None` while no publish rate is configured.
    publish_limit: Option<Box<publish_limit::PublishLimit>>,
    /// A large payload that is written after the write buffer.
    payload: Option<LargePayload>,
    /// Charges the connection's buffers.
    charge: Charge,
}

/// A client that drains a queue on disk causes a write with each acknowledgement. It may use
/// this fraction of the pending writes, so that publishers are not blocked.
const DRAINING_SHARE: usize = 4;

impl Client {
    pub(super) fn new(
        broker: Arc<Broker>,
        handle: Arc<SessionHandle>,
        epoch: u64,
        wake: Arc<Wake>,
        connect: &Connect,
        (principal, log_in): (Arc<Principal>, LogInState),
    ) -> Self {
        let generation = broker.rules.generation();
        let permissions = Permissions::new(handle.access(&broker.rules), generation);
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
            charged: 0,
            output_budget: Budget::of_short_poll(),
            work: None,
            is_continuation: false,
            is_last_step: false,
            broker,
            handle,
            epoch,
            wake,
            version: connect.version,
            role: Role::Accepted,
            principal,
            log_in,
            permissions,
            pending: PendingQueue::default(),
            inbound_aliases: InboundAliases::new(inbound),
            outbound_aliases: OutboundAliases::new(outbound),
            max_packet: connect.maximum_packet_size.unwrap_or(u32::MAX),
            resumed: false,
            problem_information: connect.request_problem_information,
            is_bridge: connect.is_bridge,
            other_broker: bridged::broker_of(&connect.user_properties),
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
            output_closed: false,
            dropped_publish: false,
            graceful_disconnect: None,
            publish_limit: None,
        }
    }

    /// Queues the CONNACK. It is sent first, after `gate` is committed.
    pub fn open(&mut self, connack: ConnAck, gate: CommitNo) {
        self.resumed = connack.session_present;
        self.handle.set_other_broker(self.other_broker.as_deref());
        let reply = Reply::ConnAck(Box::new(connack));
        self.pending.push(Pending::at_commit(reply, gate));
    }

    /// Rung when [`Client::pump`] may have something to do.
    pub fn wake(&self) -> &Arc<Wake> {
        &self.wake
    }

    /// Charges the connection's buffers: `buffers` bytes, of which `used` are incomplete or
    /// unhandled packets and output that the other end has not read.
    ///
    /// # Errors
    /// The connection has to end: memory is short, it holds more than its share, and its
    /// buffers exceed what normal traffic needs.
    pub fn hold_buffers(&mut self, buffers: usize, used: usize) -> Result<(), Close> {
        /// A read that was held, and deliveries that were encoded before the socket blocked:
        /// 64 KiB and a packet each. Replies are bounded because reading stops.
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

    /// The lines of those that need more than a short poll, or wait with many others.
    pub fn turns(&self) -> &Turns {
        &self.broker.turns
    }

    /// The client's id.
    pub fn client_id(&self) -> &Arc<str> {
        &self.handle.client_id
    }

    /// The authenticated client and its address.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The protocol version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The largest packet it accepts.
    pub fn max_packet(&self) -> u32 {
        self.max_packet
    }

    /// To be called after the wake-up was rung: the queue may have something to send.
    pub fn woken(&mut self) {
        self.look = true;
    }

    /// Subtracts the cost of reading `bytes` of a packet that is not complete yet.
    pub fn spend_read(&mut self, bytes: usize) {
        self.charged += bytes;
        self.budget.spend_bytes(bytes);
    }
}
