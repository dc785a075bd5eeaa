//! A broker without network, threads or clock: tests send and receive packets, and commit.

use std::sync::{Arc, Weak};

use bytes::{Buf, BytesMut};
use tempfile::TempDir;

use crate::auth::acl::Rules;
use crate::auth::{Authenticator, Identity};
use crate::broker::client::{Client, Close, Peer};
use crate::broker::{
    Broker, Budget, Clock, DisconnectKind, Hand, Persistence, SessionHandle, Settings,
};
use crate::config::Config;
use crate::message::WallMillis;
use crate::protocol::{
    Ack, Connect, Decoder, Frame, LastWill, Packet, PacketId, Publish, QoS, ReasonCode, Subscribe,
    SubscribeFilter, SubscriptionOptions, TopicFilter, Version,
};
use crate::store::{Store, StoreConfig, StoreMetrics};
use crate::telemetry::Metrics;

pub struct World {
    pub broker: Arc<Broker>,
    pub store: Store,
    directory: TempDir,
    config: Config,
}

impl World {
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    pub fn with(config: Config) -> Self {
        Self::in_directory(tempfile::tempdir().unwrap(), config)
    }

    /// A broker whose clock is advanced by the test.
    pub fn timed(config: Config) -> (Self, Hand) {
        let (clock, hand) = Clock::by_hand(WallMillis(1_780_000_000_000));
        (Self::with_clock(Some(clock), tempfile::tempdir().unwrap(), config), hand)
    }

    fn in_directory(directory: TempDir, config: Config) -> Self {
        Self::with_clock(None, directory, config)
    }

    fn with_clock(clock: Option<Clock>, directory: TempDir, config: Config) -> Self {
        let mut disk = StoreConfig::at(directory.path().join("ferrymq.db"));
        disk.max_size = config.persistence.max_size.bytes();
        disk.reserve_size = 0;
        let metrics = Arc::new(StoreMetrics::default());
        let (store, recovered) = Store::open_stepped(&disk, metrics).unwrap();
        let broker = Broker::with_clock(
            clock.unwrap_or_else(|| Clock::of(&recovered)),
            Settings::from(&config),
            Authenticator::load(&config).unwrap(),
            Arc::new(Metrics::default()),
            Persistence::new(Some(store.clone()), true),
            recovered,
        );
        broker.rules.replace(Rules::load(&config).unwrap());
        Self { broker, store, directory, config }
    }

    /// Kills the broker and starts it again: uncommitted changes and all connections are lost.
    pub fn crash(self, users: impl IntoIterator<Item = User>) -> Self {
        users.into_iter().for_each(drop);
        let Self { broker, store, directory, config } = self;
        drop(broker);
        drop(store);
        Self::in_directory(directory, config)
    }

    /// Commits, including messages that are held for the elision window.
    pub fn commit(&self) {
        self.store.step(true).unwrap();
    }

    /// The session of a client id, without keeping it alive.
    pub fn session(&self, client_id: &str) -> Weak<SessionHandle> {
        Arc::downgrade(&self.broker.registry.get(client_id).unwrap())
    }

    pub fn rows(&self, table: &str) -> i64 {
        let file = rusqlite::Connection::open(self.directory.path().join("ferrymq.db")).unwrap();
        file.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    /// Connects a client with a durable session, and commits.
    pub fn durable(&self, client_id: &str) -> User {
        let user = self.connect(client_id, false);
        self.commit();
        user.then(|user| assert_eq!(user.received().len(), 1, "CONNACK"))
    }

    /// Connects a client whose session ends with its connection.
    pub fn passing(&self, client_id: &str) -> User {
        let user = self.connect(client_id, true);
        user.then(|user| assert_eq!(user.received().len(), 1, "CONNACK"))
    }

    pub fn connect(&self, client_id: &str, clean_start: bool) -> User {
        self.connect_as(Version::V5, client_id, clean_start)
    }

    pub fn connect_as(&self, version: Version, client_id: &str, clean_start: bool) -> User {
        self.connect_with_will(version, client_id, clean_start, None)
    }

    pub fn connect_with_will(
        &self,
        version: Version,
        client_id: &str,
        clean_start: bool,
        will: Option<LastWill>,
    ) -> User {
        self.connect_by(&Connect { will, ..request(version, client_id, clean_start) })
    }

    pub fn connect_by(&self, connect: &Connect) -> User {
        let connected = self.try_connect(connect);
        connected.unwrap_or_else(|refused| panic!("refused: {refused:?}"))
    }

    pub fn try_connect(&self, connect: &Connect) -> Result<User, ReasonCode> {
        self.try_log_in(connect, Identity::default())
    }

    /// Connects a client that was verified as this.
    pub fn try_log_in(&self, connect: &Connect, identity: Identity) -> Result<User, ReasonCode> {
        let accepted = at_once(self.broker.connect(connect, peer(identity)))?;
        let mut client = Box::new(accepted.client);
        client.open(accepted.connack, accepted.gate);
        Ok(User::of(client, connect.version))
    }
}

/// The other end of a client that was verified as this.
pub fn peer(identity: Identity) -> Peer {
    Peer {
        certificate: None,
        address: ([127, 0, 0, 1], 1).into(),
        listener: "tcp".into(),
        identity,
    }
}

/// A CONNECT with default values.
pub fn request(version: Version, client_id: &str, clean_start: bool) -> Connect {
    Connect {
        clean_start,
        session_expiry: (!clean_start).then_some(1000),
        ..Connect::new(version, client_id)
    }
}

/// The client end of one connection.
pub struct User {
    pub client: Box<Client>,
    out: BytesMut,
    version: Version,
}

impl User {
    /// The client end of an accepted connection.
    pub fn of(client: Box<Client>, version: Version) -> Self {
        Self { client, out: BytesMut::new(), version }
    }

    fn then(mut self, check: impl FnOnce(&mut Self)) -> Self {
        check(&mut self);
        self
    }

    pub fn send(&mut self, packet: Packet<'_>) {
        self.try_send(packet).unwrap();
    }

    /// Like the network: the wake-up is checked first.
    pub fn try_send(&mut self, packet: Packet<'_>) -> Result<(), Close> {
        self.client.woken();
        assert!(self.client.begin(Budget::of_long_poll())?, "nobody else acts on the session");
        self.client.handle(packet, 0)?;
        while self.client.has_more() {
            self.client.end()?;
            assert!(self.client.begin(Budget::of_long_poll())?);
            self.client.go_on();
        }
        self.client.end()
    }

    pub fn publish(&mut self, qos: QoS, packet: u16, payload: &str) {
        self.send(Packet::Publish(publish(qos, packet, payload)));
    }

    pub fn subscribe(&mut self, filter: &str, qos: QoS) {
        self.send(Packet::Subscribe(Box::new(subscribe(filter, qos))));
    }

    /// All packets that have been sent to this client since the last call.
    pub fn received(&mut self) -> Vec<String> {
        self.try_received().unwrap()
    }

    /// The properties of each PUBLISH among them.
    pub fn received_properties(&mut self) -> Vec<Vec<u8>> {
        let properties = |packet: &Packet<'_>| match packet {
            Packet::Publish(publish) => Some(publish.properties.to_vec()),
            _ => None,
        };
        self.look(properties).unwrap().into_iter().flatten().collect()
    }

    /// The topic of each PUBLISH among them.
    pub fn received_topics(&mut self) -> Vec<String> {
        let topic = |packet: &Packet<'_>| match packet {
            Packet::Publish(publish) => Some(publish.topic.to_owned()),
            _ => None,
        };
        self.look(topic).unwrap().into_iter().flatten().collect()
    }

    /// The reason codes of the SUBACKs among them.
    pub fn suback_reasons(&mut self) -> Vec<ReasonCode> {
        let reasons = |packet: &Packet<'_>| match packet {
            Packet::SubAck(suback) => suback.reasons.clone(),
            _ => Vec::new(),
        };
        self.look(reasons).unwrap().into_iter().flatten().collect()
    }

    pub fn try_received(&mut self) -> Result<Vec<String>, Close> {
        self.look(describe)
    }

    fn look<T>(&mut self, at: impl Fn(&Packet<'_>) -> T) -> Result<Vec<T>, Close> {
        self.client.woken();
        assert!(self.client.begin(Budget::of_long_poll())?, "nobody else acts on the session");
        let pumped = self.pump(usize::MAX);
        let ended = self.client.end();
        pumped?;
        ended?;
        let mut decoder = Decoder::client(u32::MAX);
        decoder.set_version(self.version);
        let mut packets = Vec::new();
        while let Ok(Frame::Complete { len }) = decoder.frame(&self.out) {
            packets.push(at(&decoder.decode(&self.out[..len]).unwrap()));
            self.out.advance(len);
        }
        Ok(packets)
    }

    /// A large payload is written after the buffer and before later packets.
    fn pump(&mut self, enough: usize) -> Result<bool, Close> {
        loop {
            let more = self.client.pump(&mut self.out, enough)?;
            if self.client.payload().is_empty() || self.out.len() >= enough {
                return Ok(more);
            }
            self.client.take_payload(&mut self.out);
        }
    }

    /// Like the network while the client does not read: packets are encoded as long as the
    /// buffer has less than `enough` bytes. Returns its length.
    pub fn unread(&mut self, enough: usize) -> Result<usize, Close> {
        self.client.woken();
        assert!(self.client.begin(Budget::of_long_poll())?, "nobody else acts on the session");
        let pumped = self.pump(enough);
        let ended = self.client.end();
        pumped?;
        ended?;
        Ok(self.out.len())
    }

    /// The network reports that the connection is lost.
    pub fn vanish(self) {
        at_once(self.client.close(&Close::Lost("the test says so")));
    }

    pub fn leave(self) {
        let leaving = DisconnectKind::Normally { session_expiry: None };
        at_once(self.client.close(&Close::Left(leaving)));
    }
}

/// Runs a future that waits only for turns.
pub fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    for _ in 0..1_000_000 {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
    panic!("it waits for somebody");
}

pub fn publish(qos: QoS, packet: u16, payload: &str) -> Publish<'_> {
    Publish {
        dup: false,
        qos,
        retain: false,
        packet_id: PacketId::new(packet),
        topic: "t",
        topic_alias: None,
        expiry: None,
        properties: std::borrow::Cow::Borrowed(&[]),
        subscription_ids: Vec::new(),
        payload: payload.as_bytes(),
    }
}

pub fn subscribe(filter: &str, qos: QoS) -> Subscribe {
    let filter = TopicFilter::new(filter).unwrap();
    let options = SubscriptionOptions { qos, ..SubscriptionOptions::default() };
    Subscribe {
        packet_id: id(1),
        subscription_id: None,
        filters: vec![SubscribeFilter { filter, options }],
        user_properties: Vec::new(),
    }
}

/// An encoded user property.
pub fn user_property(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0x26];
    for text in [name, value] {
        bytes.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

pub fn ack(packet: u16) -> Ack {
    Ack {
        packet_id: id(packet),
        reason: ReasonCode::Success,
        reason_string: None,
        user_properties: Vec::new(),
    }
}

pub fn id(value: u16) -> PacketId {
    PacketId::new(value).unwrap()
}

fn describe(packet: &Packet<'_>) -> String {
    let acknowledged = |name: &str, ack: &Ack| {
        let refused = if ack.reason.is_failure() { " refused" } else { "" };
        format!("{name} {}{refused}", ack.packet_id.get())
    };
    match packet {
        Packet::ConnAck(connack) => format!("CONNACK {}", connack.session_present),
        Packet::Publish(publish) => {
            let id = publish.packet_id.map_or(0, PacketId::get);
            let dup = if publish.dup { " again" } else { "" };
            format!("PUBLISH {id} {}{dup}", String::from_utf8_lossy(publish.payload))
        }
        Packet::PubAck(ack) => acknowledged("PUBACK", ack),
        Packet::PubRec(ack) => acknowledged("PUBREC", ack),
        Packet::PubRel(ack) => acknowledged("PUBREL", ack),
        Packet::PubComp(ack) => acknowledged("PUBCOMP", ack),
        Packet::SubAck(_) => "SUBACK".into(),
        other => format!("{other:?}"),
    }
}
