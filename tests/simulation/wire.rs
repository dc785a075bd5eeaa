//! One connection: frames on their way to the broker, packets on their way to the
//! client, and the broker's side in between, driven as the network drives it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::{Buf, BytesMut};
use ferrymq::auth::Identity;
use ferrymq::broker::Broker;
use ferrymq::broker::client::{Client, Close, Peer};
use ferrymq::protocol::{Decoder, Frame, Packet, PacketId, ReasonCode, Version, encode};

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

pub struct Link {
    pub owner: usize,
    pub number: u64,
    pub version: Version,
    /// Whole frames that the client has sent.
    pub to_server: VecDeque<Vec<u8>>,
    pub to_client: VecDeque<Got>,
    /// The client has hung up, or the network has cut the line.
    pub cut: bool,
    /// The broker has closed, or never opened.
    pub closed: bool,
    /// When that was, in milliseconds.
    pub closed_at: u64,
    /// And why.
    pub why: String,
    pub server: Option<Box<Client>>,
    /// Messages that the broker has read since this was last emptied.
    pub read: Vec<u32>,
    decoder: Decoder,
    out: BytesMut,
    aliases: HashMap<u16, String>,
}

impl Link {
    pub fn new(owner: usize, number: u64, version: Version, connect: Vec<u8>) -> Self {
        Self {
            owner,
            number,
            version,
            to_server: VecDeque::from([connect]),
            to_client: VecDeque::new(),
            cut: false,
            closed: false,
            closed_at: u64::MAX,
            why: String::new(),
            server: None,
            read: Vec::new(),
            decoder: Decoder::server(1 << 20),
            out: BytesMut::new(),
            aliases: HashMap::new(),
        }
    }

    /// For a person who looks for a fault.
    pub fn describe(&self) -> String {
        let state = self.server.as_ref().map(|server| {
            let (holding, stalled) = (server.is_holding(), server.is_stalled());
            let (parting, saturated) = (server.parts_at().is_some(), server.is_saturated());
            format!("holding {holding} stalled {stalled} parting {parting} saturated {saturated}")
        });
        let (number, owner, waiting) = (self.number, self.owner, self.to_server.len());
        let cut = self.cut;
        format!("link {number} of client {owner}: {waiting} frames to read, cut {cut}, {state:?}")
    }

    pub fn send(&mut self, packet: &Packet<'_>) {
        let mut frame = BytesMut::new();
        encode::packet(&mut frame, self.version, packet);
        self.to_server.push_back(frame.to_vec());
    }

    /// True if a turn could change anything.
    pub fn is_ready(&mut self) -> bool {
        if self.closed {
            return false;
        }
        match &self.server {
            None => !self.to_server.is_empty() || self.cut,
            Some(server) => {
                let readable = !self.to_server.is_empty() || self.cut;
                (readable && !server.is_holding()) || is_rung(server)
            }
        }
    }

    /// One turn of the connection's task, which reads up to `frames` frames.
    pub fn turn(&mut self, broker: &Arc<Broker>, now: u64, frames: usize) {
        if self.closed {
            return;
        }
        if self.server.is_none() {
            self.greet(broker);
        }
        if let Some(mut server) = self.server.take() {
            match self.serve(broker, &mut server, frames) {
                Ok(()) => self.server = Some(server),
                Err(close) => {
                    if let Close::Error(reason, why) = &close {
                        server.farewell(*reason, why, &mut self.out);
                    }
                    server.closed(&close);
                    self.why = format!("{close:?}");
                    self.closed = true;
                }
            }
        }
        self.decode(now);
        if self.closed {
            self.closed_at = now;
        }
        if self.cut {
            // Nobody is there to read it.
            self.to_client.clear();
        }
    }

    fn greet(&mut self, broker: &Arc<Broker>) {
        let Some(frame) = self.to_server.pop_front() else {
            self.closed = self.cut;
            return;
        };
        let Packet::Connect(connect) = self.decoder.decode(&frame).unwrap() else {
            panic!("the first frame is CONNECT");
        };
        self.decoder.set_version(connect.version);
        let peer = Peer {
            address: ([127, 0, 0, 1], 1).into(),
            listener: "tcp".into(),
            identity: Identity::default(),
        };
        let accepted = broker.check_connect(&connect).and_then(|()| broker.connect(&connect, peer));
        match accepted {
            Ok(accepted) => {
                let mut client = accepted.client;
                client.open(accepted.connack, accepted.gate);
                self.server = Some(Box::new(client));
            }
            Err(reason) => {
                self.to_client.push_back(Got::ConnAck { present: false, reason });
                self.closed = true;
            }
        }
    }

    fn serve(
        &mut self,
        broker: &Arc<Broker>,
        server: &mut Client,
        frames: usize,
    ) -> Result<(), Close> {
        if server.wake().poll(&Context::from_waker(Waker::noop())) {
            server.woken();
            if broker.is_shutting_down() {
                return Err(Close::Error(ReasonCode::ServerShuttingDown, "the broker shuts down"));
            }
        }
        server.begin();
        let read = self.read(server, frames);
        // What came before the packet that ends the connection still counts.
        server.finish()?;
        let pumped = self.pump(server);
        read?;
        pumped?;
        if self.cut && self.to_server.is_empty() {
            return Err(Close::Lost("the client closed without DISCONNECT"));
        }
        Ok(())
    }

    fn read(&mut self, server: &mut Client, frames: usize) -> Result<(), Close> {
        if server.is_saturated() {
            return server.wake_when_unsaturated();
        }
        for _ in 0..frames {
            // One that had to wait is looked at again when its client is woken.
            if server.is_holding() {
                self.pump(server)?;
            }
            let Some(frame) = self.to_server.pop_front() else { break };
            let packet = self.decoder.decode(&frame).unwrap_or_else(|e| panic!("{e:?}: {frame:?}"));
            if let Packet::Publish(publish) = &packet {
                self.read.push(message_of(publish.payload));
            }
            server.handle(packet, frame.len())?;
            if server.is_holding() {
                self.to_server.push_front(frame);
                break;
            }
        }
        Ok(())
    }

    fn pump(&mut self, server: &mut Client) -> Result<(), Close> {
        loop {
            let enough = self.out.len() + 64 * 1024;
            if !server.pump(&mut self.out, enough)? {
                return Ok(());
            }
        }
    }

    fn decode(&mut self, now: u64) {
        let mut decoder = Decoder::client(u32::MAX);
        decoder.set_version(self.version);
        let mut out = std::mem::take(&mut self.out);
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

/// Every payload begins with the number of its message.
fn message_of(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[..4].try_into().unwrap())
}

fn is_rung(server: &Client) -> bool {
    let rung = server.wake().poll(&Context::from_waker(Waker::noop()));
    if rung {
        // Looking must not use it up.
        server.wake().ring();
    }
    rung
}
