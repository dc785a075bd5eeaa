//! What may and must happen: everything that clients have sent and received, and the promises
//! that this must satisfy.
//!
//! The model knows what clients know, and when connections ended; it never reads the broker's
//! state. Where a client cannot know (an answer was lost), it allows both.

use std::collections::{BTreeMap, HashMap};

use crate::interval::Interval;
use crate::memory::GaveWay;
use crate::wire::Received;

/// Numbers of will publishers: wills have no order among publishes.
const WILLS: usize = 1000;
/// Number of the publisher of an operator's messages.
const OPERATOR: usize = 2000;

/// A step of the schedule.
pub type Step = u64;

#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools)] // Each is true or false by itself.
pub struct Message {
    pub id: u32,
    pub publisher: usize,
    pub topic: String,
    pub qos: u8,
    pub retain: bool,
    pub expiry: Option<u32>,
    pub sent: Step,
    /// When the client received the acknowledgement.
    pub acknowledged: Option<Step>,
    /// Number of times that it was sent again.
    pub resent: u32,
    /// When the broker last read it, in milliseconds.
    pub read_at: u64,
    /// When the broker first read it, in milliseconds; `None` if no step has read it.
    pub first_read_at: Option<u64>,
    /// The last schedule step in which the broker may have been reading it.
    pub last_read: Step,
    /// The connection on which it was last sent.
    pub connection: u64,
    /// True if the broker has refused it.
    pub refused: bool,
    /// True for a will that must be published.
    pub due: bool,
    pub is_will: bool,
    /// True if it removes the retained message.
    pub removes: bool,
}

#[derive(Debug, Default)]
struct Receiver {
    intervals: Vec<Interval>,
    /// Number of the client's current session.
    incarnation: u32,
    /// When this session began.
    since: Step,
    /// True if the session ends with its connection.
    passes: bool,
    /// True if, in addition, its queue is short: a message for a full queue is dropped.
    drops: bool,
}

#[derive(Debug, Default, Clone)]
struct Receipt {
    /// Without the repeats within a QoS 2 exchange.
    times: u32,
    connection: u64,
    packet_id: u16,
    resent: u32,
    /// The highest QoS of its deliveries.
    qos: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Lane {
    receiver: usize,
    incarnation: u32,
    publisher: usize,
    topic: String,
    published: u8,
    received: u8,
}

#[derive(Debug, Default)]
pub struct Totals {
    pub acknowledged: u64,
    pub received: u64,
    pub repeated: u64,
}

#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // Each is true or false by itself.
pub struct Model {
    pub step: Step,
    pub messages: Vec<Message>,
    receivers: Vec<Receiver>,
    receipts: HashMap<(usize, u32, u32), Receipt>,
    lanes: HashMap<Lane, u32>,
    /// Messages owed to a client's session after their acknowledgement.
    owed: Vec<(u32, usize, u32)>,
    /// Messages owed to a group: message, and the members with their sessions at that time.
    owed_to_group: Vec<(u32, Vec<(usize, u32)>)>,
    pub totals: Totals,
    /// When the store last found no room on disk. A publish may have been refused and accepted
    /// at a repeat; a will may have been dropped.
    pub found_full: Option<Step>,
    /// When the broker was last started.
    pub started: Step,
    pub short_queues: bool,
    pub short_memory: bool,
    pub small_disk: bool,
    /// True without persistence.
    pub volatile: bool,
    pub gave_way: GaveWay,
    /// True if wills of sessions that end with their connection survive a crash.
    pub store_wills: bool,
    /// Factor by which payloads are larger.
    pub scale: usize,
    trace: bool,
}

impl Model {
    pub fn new(clients: usize, trace: bool) -> Self {
        Self {
            trace,
            receivers: (0..clients).map(|_| Receiver::default()).collect(),
            ..Self::default()
        }
    }

    // Actions of clients.

    #[allow(clippy::too_many_arguments)]
    pub fn sends(
        &mut self,
        publisher: usize,
        topic: &str,
        qos: u8,
        retain: bool,
        expiry: Option<u32>,
        now: u64,
    ) -> u32 {
        let id = u32::try_from(self.messages.len()).unwrap();
        if self.trace {
            let kept = if retain { ", retained" } else { "" };
            let brief = expiry.map_or(String::new(), |expiry| format!(", for {expiry} s"));
            let step = self.step;
            println!(
                "{step:5} {publisher} publishes message {id} on {topic} at QoS {qos}{kept}{brief}"
            );
        }
        self.messages.push(Message {
            id,
            publisher,
            topic: topic.to_owned(),
            qos,
            retain,
            expiry,
            sent: self.step,
            acknowledged: None,
            resent: 0,
            read_at: now,
            first_read_at: None,
            last_read: self.step,
            connection: 0,
            refused: false,
            due: false,
            is_will: false,
            removes: false,
        });
        id
    }

    pub fn leaves_will(&mut self, client: usize, topic: &str, qos: u8, now: u64) -> u32 {
        let id = self.sends(WILLS + client, topic, qos, false, None, now);
        self.message_mut(id).is_will = true;
        id
    }

    /// An operator publishes or removes a retained message.
    pub fn operator_retains(&mut self, topic: &str, qos: u8, removes: bool, now: u64) -> u32 {
        let id = self.sends(OPERATOR, topic, qos, true, None, now);
        self.message_mut(id).removes = removes;
        self.read(&[id], now);
        id
    }

    /// The broker reads these messages at `now` or later, or has read them by `now`.
    pub fn read(&mut self, messages: &[u32], now: u64) {
        let step = self.step;
        for id in messages {
            let message = self.message_mut(*id);
            message.read_at = message.read_at.max(now);
            message.first_read_at.get_or_insert(now);
            message.last_read = step;
        }
    }

    /// The store has found no room on disk.
    pub fn found_full(&mut self) {
        if self.trace {
            println!("{:5} the disk has no room", self.step);
        }
        self.found_full = Some(self.step);
    }

    fn has_been_full(&self) -> bool {
        self.found_full.is_some()
    }

    pub fn message(&self, id: u32) -> &Message {
        &self.messages[id as usize]
    }

    pub fn message_mut(&mut self, id: u32) -> &mut Message {
        &mut self.messages[id as usize]
    }

    pub fn sends_again(&mut self, id: u32) {
        if self.trace {
            println!("{:5} message {id} is sent again", self.step);
        }
        self.message_mut(id).resent += 1;
    }

    /// The connection ended without DISCONNECT: the will must be published if the session is
    /// durable or the will is stored, and it has no delay.
    pub fn will_is_due(&mut self, id: u32) {
        self.message_mut(id).due = true;
    }

    /// PUBACK or PUBREC with a failure code was received.
    pub fn refused(&mut self, id: u32) {
        if self.trace {
            println!("{:5} message {id} is refused", self.step);
        }
        // With persistence, no publisher is refused for lack of memory.
        let no_memory = self.short_memory && self.volatile;
        let refusable = self.has_been_full() || self.short_queues || no_memory;
        assert!(refusable, "message {id} was refused: {:?}", self.message(id));
        self.message_mut(id).refused = true;
    }

    /// PUBACK or PUBREC was received: from here on the broker is responsible for the message.
    pub fn acknowledged(&mut self, id: u32) {
        let step = self.step;
        if self.trace {
            println!("{step:5} message {id} is acknowledged");
        }
        let message = self.message_mut(id);
        if message.acknowledged.is_none() {
            message.acknowledged = Some(step);
            self.totals.acknowledged += 1;
            self.owe(id);
        }
    }

    fn owe(&mut self, id: u32) {
        let message = self.message(id).clone();
        if message.expiry.is_some() || message.qos == 0 || message.removes {
            return;
        }
        let mut groups: BTreeMap<String, Vec<(usize, u32)>> = BTreeMap::new();
        let keeps = |receiver: &&Receiver| !receiver.drops;
        for (index, receiver) in self.receivers.iter().enumerate().filter(|(_, r)| keeps(r)) {
            let holding = receiver.intervals.iter().filter(|interval| interval.holds_for(&message));
            if holding.clone().any(|interval| interval.qos > 0 && interval.group().is_none()) {
                self.owed.push((id, index, receiver.incarnation));
            }
            for group in holding.filter(|i| i.qos > 0).filter_map(Interval::group) {
                groups.entry(group).or_default();
            }
        }
        'groups: for (group, mut members) in groups {
            for (index, receiver) in self.receivers.iter().enumerate() {
                let member = |i: &Interval| i.filter == group && i.may_see(&message);
                let mut intervals = receiver.intervals.iter().filter(|i| member(i)).peekable();
                if intervals.peek().is_some() {
                    // It may have gone to a session that has ended since or is yet to end, or
                    // at QoS 0.
                    let lightly = intervals.any(|i| i.qos == 0 || i.orphaned);
                    if receiver.since >= message.sent || receiver.passes || lightly {
                        continue 'groups;
                    }
                    members.push((index, receiver.incarnation));
                }
            }
            self.owed_to_group.push((id, members));
        }
    }

    // Sessions and subscriptions.

    pub fn passes(&mut self, client: usize, passes: bool) {
        self.receivers[client].passes = passes;
        self.receivers[client].drops = passes && self.short_queues;
    }

    /// From here on the client's old session is gone or irrelevant.
    pub fn new_session(&mut self, client: usize, certainly: bool) {
        let step = self.step;
        let receiver = &mut self.receivers[client];
        receiver.incarnation += 1;
        receiver.since = step;
        for interval in &mut receiver.intervals {
            interval.shaky.get_or_insert(step);
            interval.orphaned = true;
            if certainly {
                interval.ended.get_or_insert(step);
            }
        }
    }

    /// CONNACK says that there was no session, so all subscriptions before `asked`, the step of
    /// the CONNECT, are gone. They ended at some time before this answer, perhaps after `asked`:
    /// the old session receives messages until the broker has read the CONNECT.
    pub fn no_session_before(&mut self, client: usize, asked: Step) {
        let step = self.step;
        for interval in &mut self.receivers[client].intervals {
            if interval.asked < asked {
                interval.ended.get_or_insert(step);
            }
        }
    }

    pub fn subscribes(&mut self, client: usize, filter: &str, qos: u8) {
        if self.trace {
            println!("{:5} client {client} subscribes to {filter} at QoS {qos}", self.step);
        }
        let step = self.step;
        let intervals = &mut self.receivers[client].intervals;
        // A repeated SUBSCRIBE replaces the subscription, perhaps with another QoS.
        for interval in intervals.iter_mut().filter(|i| i.filter == filter && i.qos != qos) {
            interval.shaky.get_or_insert(step);
        }
        intervals.push(Interval {
            filter: filter.to_owned(),
            qos,
            asked: step,
            stands: None,
            shaky: None,
            orphaned: false,
            ended: None,
        });
    }

    pub fn subscribed(&mut self, client: usize, filter: &str, asked: Step, granted: bool) {
        let step = self.step;
        for interval in &mut self.receivers[client].intervals {
            if interval.filter == filter && interval.asked == asked {
                if granted {
                    interval.stands = Some(step);
                } else {
                    interval.ended = Some(step);
                }
            }
        }
    }

    /// A new subscription was refused.
    pub fn may_refuse_subscription(&mut self) {
        self.gave_way.subscriptions += u64::from(self.short_memory);
        let refusable = self.short_memory || self.small_disk || self.has_been_full();
        assert!(refusable, "a subscription was refused, and there was room");
    }

    pub fn unsubscribes(&mut self, client: usize, filter: &str) {
        if self.trace {
            println!("{:5} client {client} unsubscribes from {filter}", self.step);
        }
        let step = self.step;
        for interval in self.receivers[client].intervals.iter_mut().filter(|i| i.filter == filter) {
            interval.shaky.get_or_insert(step);
        }
    }

    /// UNSUBACK was received for the UNSUBSCRIBE of step `asked`.
    pub fn unsubscribed(&mut self, client: usize, filter: &str, asked: Step) {
        let step = self.step;
        for interval in &mut self.receivers[client].intervals {
            if interval.filter == filter && interval.asked < asked {
                interval.ended.get_or_insert(step);
            }
        }
    }

    // Packets that clients receive.

    /// `open`: a QoS 2 exchange with this packet id has not ended, so this is a repeat.
    pub fn receives(&mut self, client: usize, connection: u64, got: &Received, open: bool) {
        let id = got.message;
        assert!((id as usize) < self.messages.len(), "message {id} was never sent");
        let message = self.message(id).clone();
        assert_eq!(got.topic, message.topic, "message {id} came under another topic");
        assert!(got.qos <= message.qos, "message {id} came with QoS {}", got.qos);
        let receiver = &self.receivers[client];
        let incarnation = receiver.incarnation;
        assert!(
            receiver.intervals.iter().any(|interval| interval.may_see(&message)),
            "client {client} received message {id} on {} and had no subscription for it: {:?}",
            message.topic,
            receiver.intervals
        );
        if let Some(expiry) = message.expiry
            && !got.dup
        {
            let until = message.read_at + u64::from(expiry) * 1000;
            assert!(got.at <= until, "message {id} was sent {} ms late", got.at - until);
        }
        if got.retain {
            return;
        }
        self.totals.received += 1;
        let receipt = self.receipts.entry((client, incarnation, id)).or_default();
        let before = receipt.clone();
        receipt.connection = connection;
        receipt.packet_id = got.packet_id;
        receipt.resent = message.resent;
        receipt.qos = receipt.qos.max(got.qos);
        if open {
            assert!(got.dup, "message {id}: a repeat without DUP [MQTT-3.3.1-1]");
            return;
        }
        receipt.times += 1;
        if before.times == 0 {
            self.first_receipt(client, incarnation, got, &message);
            return;
        }
        self.totals.repeated += 1;
        if message.is_will {
            return;
        }
        assert!(
            got.qos < 2,
            "client {client} received message {id} a second time at QoS 2 (packet id {} then {})",
            before.packet_id,
            got.packet_id
        );
        let republished = message.qos == 1 && message.resent > 0;
        assert!(
            before.connection != connection || republished,
            "client {client} received message {id} twice on one connection, and nobody had sent it again"
        );
        assert!(
            got.qos > 0 || republished,
            "client {client} received message {id} a second time at QoS 0"
        );
    }

    fn first_receipt(
        &mut self,
        receiver: usize,
        incarnation: u32,
        got: &Received,
        message: &Message,
    ) {
        let lane = Lane {
            receiver,
            incarnation,
            publisher: message.publisher,
            topic: message.topic.clone(),
            published: message.qos,
            received: got.qos,
        };
        // A message sent before the subscription may first arrive when it is sent again.
        let step = self.step;
        let stood = self.receivers[receiver].intervals.iter().any(|interval| {
            // In a group, the copies of a repeated message may go to different members.
            interval.group().is_none()
                && interval.qos >= got.qos
                && interval.holds_for(message)
                && interval.shaky.is_none_or(|shaky| shaky > step)
        });
        // Nor if a repeat restarted its expiry; at QoS 0, the first copy may have been lost.
        let lossy = self.may_lose_to(receiver);
        let refusable = self.has_been_full() || self.short_queues || lossy || got.qos == 0;
        let refused = refusable && message.resent > 0;
        let stood = stood && message.expiry.is_none() && !refused;
        let last = self.lanes.entry(lane).or_insert(got.message);
        assert!(
            *last <= got.message || !stood,
            "client {receiver} received message {} of publisher {} after {last} [MQTT-4.6.0-6]",
            got.message,
            message.publisher
        );
        *last = (*last).max(got.message);
    }

    // Final checks.

    fn times(&self, client: usize, incarnation: u32, id: u32) -> u32 {
        self.receipts.get(&(client, incarnation, id)).map_or(0, |receipt| receipt.times)
    }

    /// Checks, after everything was drained, that all owed messages have arrived.
    pub fn check_end(&mut self) {
        // By now the broker has noticed each lost connection.
        let forgone = self.short_memory && self.volatile;
        let refusable = self.has_been_full() || self.short_queues || forgone;
        let due = |id: &usize| self.messages[*id].due && !refusable;
        let wills = (0..self.messages.len()).filter(due);
        for id in wills.map(|id| u32::try_from(id).unwrap()).collect::<Vec<_>>() {
            self.acknowledged(id);
        }
        self.check_received();
    }

    /// True if a message for this client's session may be lost or refused for lack of memory.
    pub fn may_lose_to(&self, client: usize) -> bool {
        self.short_memory && (self.receivers[client].passes || self.volatile)
    }

    /// Checks, when all clients are connected and nothing waits, that the existing sessions
    /// have received what they are owed. Sessions that have lost a message are gone, unless
    /// they were not told.
    pub fn check_received(&self) {
        for (id, client, incarnation) in &self.owed {
            let receiver = &self.receivers[*client];
            if receiver.incarnation != *incarnation {
                continue;
            }
            assert!(
                self.times(*client, *incarnation, *id) > 0,
                "LOST: client {client} never received message {id}: {:?}",
                self.message(*id)
            );
        }
        for (id, members) in &self.owed_to_group {
            self.check_group(*id, members);
        }
    }

    /// True if the message of a member that has left must reach another member. At QoS 2 it
    /// may have been sent to the first one.
    fn goes_to_another(&self, id: u32, members: &[(usize, u32)]) -> bool {
        let message = self.message(id);
        let refusable = self.has_been_full() || self.short_queues || self.short_memory;
        let stays = |(client, session): &(usize, u32)| {
            let receiver = &self.receivers[*client];
            let stands = |it: &Interval| {
                // One that came later may have come after the other session had expired.
                it.holds_for(message) && it.ended.is_none() && it.shaky.is_none() && !it.orphaned
            };
            receiver.incarnation == *session
                && !receiver.passes
                && receiver.intervals.iter().any(|interval| {
                    interval.group().is_some() && interval.qos > 0 && stands(interval)
                })
        };
        // Also by a session that joined the group later.
        let is_received = || self.receipts.iter().any(|(key, it)| key.2 == id && it.times > 0);
        message.qos == 1 && !refusable && members.iter().any(stays) && !is_received()
    }

    fn check_group(&self, id: u32, members: &[(usize, u32)]) {
        let still =
            members.iter().all(|(client, session)| self.receivers[*client].incarnation == *session);
        let times: u32 =
            members.iter().map(|(client, session)| self.times(*client, *session, id)).sum();
        assert!(
            times > 0 || !(still || self.goes_to_another(id, members)),
            "LOST: none of the group {members:?} received message {id}: {:?}",
            self.message(id)
        );
        if self.message(id).qos == 2 {
            // A message delivered at QoS 1 goes to another member if its session ends.
            let exact = members.iter().filter(|(client, session)| {
                self.receipts.get(&(*client, *session, id)).is_some_and(|receipt| receipt.qos == 2)
            });
            assert!(
                exact.count() <= 1,
                "message {id} went to more than one of the group {members:?}"
            );
        }
    }
}
