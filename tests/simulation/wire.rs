//! One connection: frames on their way to the broker, packets on their way to the client, and
//! the broker's side in between, driven as the network layer drives it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::{Buf, BytesMut};
use ferrymq::auth::Identity;
use ferrymq::broker::client::{BlockReason, Client, Close, Handled, Peer};
use ferrymq::broker::{Broker, Budget};
use ferrymq::protocol::{Decoder, Frame, Packet, PacketId, ReasonCode, Version, encode};

use crate::scheduler::drive;

/// What a client has received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Got {
    ConnAck { present: bool, reason: ReasonCode },
    Publish(Received),
    PubAck(u16, ReasonCode),
    PubRec(u16, ReasonCode),
    PubRel(u16),
    PubComp(u16),
    SubAck(u16, Vec<ReasonCode>),
    UnsubAck(u16),
    Disconnect(ReasonCode),
    Pong,
}

/// A PUBLISH that a client has received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub dup: bool,
    pub qos: u8,
    pub retain: bool,
    pub packet_id: u16,
    pub topic: String,
    pub message: u32,
    /// The broker's time when it was written to the connection, in milliseconds.
    pub at: u64,
}

/// A frame on its way to the broker.
pub struct Sent {
    bytes: Vec<u8>,
    /// The message of a PUBLISH.
    message: Option<u32>,
}

/// A connection as its client and the network see it.
pub struct Link {
    pub owner: usize,
    pub number: u64,
    pub version: Version,
    /// Complete frames that the client has sent.
    pub to_server: VecDeque<Sent>,
    pub to_client: VecDeque<Got>,
    /// True if the client has closed the connection, or the network has cut it.
    pub cut: bool,
    /// True if the broker has closed the connection, or never accepted it.
    pub closed: bool,
    /// When the broker closed it, in milliseconds.
    pub closed_at: u64,
    /// Why the broker closed it.
    pub why: String,
    /// True if CONNECT was accepted or refused.
    pub accepted: bool,
    /// The broker's side; `None` during a turn.
    server: Option<Server>,
    /// When its turn, a poll of one or more steps, began, in milliseconds.
    pub since: u64,
    /// Messages that the turn may read.
    pub reading: Vec<u32>,
    aliases: HashMap<u16, String>,
}

impl Link {
    pub fn new(owner: usize, number: u64, version: Version, connect: Vec<u8>) -> Self {
        let decoder = Decoder::server(1 << 20);
        Self {
            owner,
            number,
            version,
            to_server: VecDeque::from([Sent { bytes: connect, message: None }]),
            to_client: VecDeque::new(),
            cut: false,
            closed: false,
            closed_at: u64::MAX,
            why: String::new(),
            accepted: false,
            server: Some(Server { client: None, decoder, out: BytesMut::new() }),
            since: 0,
            reading: Vec::new(),
            aliases: HashMap::new(),
        }
    }

    /// The state as text, for debugging.
    pub fn describe(&self) -> String {
        let server = self.server.as_ref().and_then(|server| server.client.as_ref());
        let state = server.map(|server| {
            let (block, stalled) = (server.block(), server.is_blocked_by_back_pressure());
            let graceful_disconnect = server.disconnects_at().is_some();
            format!("block {block:?} stalled {stalled} graceful_disconnect {graceful_disconnect}")
        });
        let (number, owner, waiting) = (self.number, self.owner, self.to_server.len());
        let cut = self.cut;
        format!("link {number} of client {owner}: {waiting} frames to read, cut {cut}, {state:?}")
    }

    pub fn send(&mut self, packet: &Packet<'_>) {
        let mut frame = BytesMut::new();
        encode::packet(&mut frame, self.version, packet);
        let message = match packet {
            Packet::Publish(publish) => Some(message_of(publish.payload)),
            _ => None,
        };
        self.to_server.push_back(Sent { bytes: frame.to_vec(), message });
    }

    /// True if the broker reads no further, because too much is unanswered.
    pub fn waits_for_answers(&self) -> bool {
        let client = self.server.as_ref().and_then(|server| server.client.as_ref());
        !self.closed && client.is_some_and(|it| it.block() == Some(BlockReason::Unanswered))
    }

    /// True during a turn that others have interrupted.
    pub fn is_busy(&self) -> bool {
        self.server.is_none()
    }

    /// True if a turn could change anything.
    pub fn is_ready(&self) -> bool {
        let Some(server) = self.server.as_ref().filter(|_| !self.closed) else { return false };
        let readable = !self.to_server.is_empty() || self.cut;
        match &server.client {
            None => readable,
            Some(client) => (readable && client.block().is_none()) || is_rung(client),
        }
    }

    /// Begins a turn of the connection's task, which reads up to `frames` frames.
    pub fn begin_turn(&mut self, frames: usize) -> Option<Turning> {
        if self.closed {
            return None;
        }
        let server = self.server.take()?;
        let most = if server.client.is_some() { frames } else { 1 };
        let frames: VecDeque<Sent> =
            self.to_server.drain(..most.min(self.to_server.len())).collect();
        self.reading = frames.iter().filter_map(|frame| frame.message).collect();
        Some(Turning { server, frames, gone: self.cut && self.to_server.is_empty() })
    }

    /// Ends the turn that began at `now`.
    pub fn end_turn(&mut self, turned: Turned, now: u64) {
        let Turned { mut server, unread, refused, closed } = turned;
        for frame in unread.into_iter().rev() {
            self.to_server.push_front(frame);
        }
        self.reading.clear();
        self.accepted = true;
        if let Some(reason) = refused {
            self.to_client.push_back(Got::ConnAck { present: false, reason });
        }
        self.decode(std::mem::take(&mut server.out), now);
        if let Some(why) = closed {
            self.closed = true;
            self.closed_at = now;
            self.why = why;
        }
        self.server = Some(server);
        if self.cut {
            // The client cannot read it any more.
            self.to_client.clear();
        }
    }

    /// A complete turn without interruption.
    pub fn turn(&mut self, broker: &Arc<Broker>, now: u64, frames: usize) {
        if let Some(turning) = self.begin_turn(frames) {
            self.end_turn(turning.run(broker), now);
        }
    }

    fn decode(&mut self, mut out: BytesMut, now: u64) {
        let mut decoder = Decoder::client(u32::MAX);
        decoder.set_version(self.version);
        while let Frame::Complete { len } = decoder.frame(&out).unwrap() {
            let got = self.got(&decoder.decode(&out[..len]).unwrap(), now);
            self.to_client.push_back(got);
            out.advance(len);
        }
        assert!(out.is_empty(), "only whole packets");
    }

    fn got(&mut self, packet: &Packet<'_>, at: u64) -> Got {
        match packet {
            Packet::ConnAck(ack) => {
                Got::ConnAck { present: ack.session_present, reason: ack.reason }
            }
            Packet::Publish(publish) => {
                let mut topic = publish.topic.to_owned();
                if let Some(alias) = publish.topic_alias {
                    if topic.is_empty() {
                        topic.clone_from(&self.aliases[&alias]);
                    } else {
                        self.aliases.insert(alias, topic.clone());
                    }
                }
                Got::Publish(Received {
                    dup: publish.dup,
                    qos: publish.qos as u8,
                    retain: publish.retain,
                    packet_id: publish.packet_id.map_or(0, PacketId::get),
                    topic,
                    message: message_of(publish.payload),
                    at,
                })
            }
            Packet::PubAck(ack) => Got::PubAck(ack.packet_id.get(), ack.reason),
            Packet::PubRec(ack) => Got::PubRec(ack.packet_id.get(), ack.reason),
            Packet::PubRel(ack) => Got::PubRel(ack.packet_id.get()),
            Packet::PubComp(ack) => Got::PubComp(ack.packet_id.get()),
            Packet::SubAck(ack) => Got::SubAck(ack.packet_id.get(), ack.reasons.clone()),
            Packet::UnsubAck(ack) => Got::UnsubAck(ack.packet_id.get()),
            Packet::Disconnect(disconnect) => Got::Disconnect(disconnect.reason),
            Packet::PingResp => Got::Pong,
            other => panic!("a server does not send {other:?}"),
        }
    }
}

/// The broker's side of a connection.
pub struct Server {
    client: Option<Box<Client>>,
    decoder: Decoder,
    out: BytesMut,
}

/// A turn that begins.
pub struct Turning {
    server: Server,
    frames: VecDeque<Sent>,
    /// True if the connection is cut after these frames.
    gone: bool,
}

/// A turn that has ended.
pub struct Turned {
    server: Server,
    unread: VecDeque<Sent>,
    /// The reason code if CONNECT was refused.
    refused: Option<ReasonCode>,
    /// Why the broker closed the connection, if it did.
    closed: Option<String>,
}

impl Turning {
    pub fn run(mut self, broker: &Arc<Broker>) -> Turned {
        let (mut refused, mut closed) = (None, None);
        if self.server.client.is_none() {
            match self.handshake(broker) {
                Some(Ok(client)) => self.server.client = Some(client),
                Some(Err(reason)) => {
                    refused = Some(reason);
                    closed = Some(format!("{reason:?}"));
                }
                None if self.gone => closed = Some("it never sent CONNECT".into()),
                None => {}
            }
        }
        if let Some(mut client) = self.server.client.take() {
            match self.serve(&mut client) {
                Ok(()) => self.server.client = Some(client),
                Err(close) => {
                    if let Close::Error(reason, why) = &close {
                        client.write_disconnect(*reason, why, &mut self.server.out);
                    }
                    // If it gave up waiting, the process has ended.
                    let _ = drive(client.close(&close));
                    closed = Some(format!("{close:?}"));
                }
            }
        }
        Turned { server: self.server, unread: self.frames, refused, closed }
    }

    fn handshake(&mut self, broker: &Arc<Broker>) -> Option<Result<Box<Client>, ReasonCode>> {
        let frame = self.frames.pop_front()?;
        let Packet::Connect(connect) = self.server.decoder.decode(&frame.bytes).unwrap() else {
            panic!("the first frame is CONNECT");
        };
        self.server.decoder.set_version(connect.version);
        let peer = Peer {
            certificate: None,
            address: ([127, 0, 0, 1], 1).into(),
            listener: "tcp".into(),
            identity: Identity::default(),
        };
        if let Err(reason) = broker.check_connect(&connect) {
            return Some(Err(reason));
        }
        // If it gave up waiting for the session, its connection is gone.
        let accepted =
            drive(broker.connect(&connect, peer)).unwrap_or(Err(ReasonCode::ServerUnavailable));
        Some(accepted.map(|accepted| {
            let mut client = Box::new(accepted.client);
            client.open(accepted.connack, accepted.gate);
            client
        }))
    }

    /// Runs one step after the other, as the network layer does, until there is nothing to do.
    fn serve(&mut self, client: &mut Client) -> Result<(), Close> {
        let rung = client.wake().poll(&Context::from_waker(Waker::noop())).is_some();
        let rung = client.wake().begin() || rung;
        if rung {
            client.woken();
        }
        let has_packets = !self.frames.is_empty();
        loop {
            // Another actor has the session's permit: the client is rung when it is free.
            if !client.begin(Budget::of_long_poll())? {
                return Ok(());
            }
            let stepped = self.step(client);
            // Packets before the one that ends the connection still count.
            client.end()?;
            stepped?;
            if !client.has_more() {
                break;
            }
        }
        // The packet that had to wait may be among the frames of a later turn.
        if client.block() == Some(BlockReason::Unanswered)
            && (client.has_replied() || rung && !has_packets)
        {
            client.wake().notify();
        }
        // The network accepts everything: only what waits for the disk is held.
        client.hold_buffers(0, 0)?;
        if self.gone && self.frames.is_empty() {
            return Err(Close::Lost("the client closed without DISCONNECT"));
        }
        Ok(())
    }

    fn step(&mut self, client: &mut Client) -> Result<(), Close> {
        if self.gone {
            client.close_output();
        }
        client.go_on();
        let read = self.read(client);
        client.submit()?;
        let pumped = self.pump(client);
        read?;
        pumped
    }

    fn read(&mut self, client: &mut Client) -> Result<(), Close> {
        // A packet that had to wait is handled again when its client is woken.
        if client.block().is_some() {
            self.pump(client)?;
        }
        while client.may_take() {
            let Some(frame) = self.frames.pop_front() else { return Ok(()) };
            let packet = self.server.decoder.decode(&frame.bytes);
            let packet = packet.unwrap_or_else(|e| panic!("{e:?}: {:?}", frame.bytes));
            if client.handle(packet, frame.bytes.len())? == Handled::Held {
                self.frames.push_front(frame);
                return Ok(());
            }
        }
        Ok(())
    }

    fn pump(&mut self, client: &mut Client) -> Result<(), Close> {
        loop {
            let enough = self.server.out.len() + 64 * 1024;
            let more = client.pump(&mut self.server.out, enough)?;
            client.take_payload(&mut self.server.out);
            if !more {
                return Ok(());
            }
        }
    }
}

/// Every payload begins with the number of its message.
fn message_of(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[..4].try_into().unwrap())
}

fn is_rung(server: &Client) -> bool {
    let rung = server.wake().poll(&Context::from_waker(Waker::noop())).is_some();
    if rung {
        // The check must not consume the ring.
        server.wake().notify();
    }
    rung
}
