//! The remote broker, played packet by packet, and the edge broker, whose bridge dials it and
//! which crashes at a failpoint.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::common::broker::{Broker, binary_with_failpoints};
use crate::common::raw::{self, Connect, PUBACK, PUBCOMP, PUBREC, PUBREL, Packet, Publish, Raw};

const FAILPOINT: &str = "FERRYMQ_FAILPOINT";
/// Of a publisher's message here and of the remote broker's message there.
pub const PID: u16 = 7;
/// How long the bridge may take to dial.
const DIALS_WITHIN: Duration = Duration::from_secs(20);

pub struct Case {
    pub edge: Broker,
    /// Of the bridge.
    pub version: u8,
    listener: TcpListener,
    has_session: bool,
}

impl Case {
    /// An edge broker whose bridge forwards `out` and subscribes to `in`, and has not been
    /// answered yet.
    pub fn new(version: u8) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut edge = Broker::stopped(binary_with_failpoints(), &[]);
        for (key, value) in [
            ("ADDRESSES", format!("[\"mqtt://{address}\"]").as_str()),
            ("VERSION", if version == 5 { "5.0" } else { "3.1.1" }),
            ("FORWARD", "[{ filter = \"out\" }]"),
            ("SUBSCRIBE", "[{ filter = \"in\" }]"),
            ("MAX_BACKOFF", "1s"),
        ] {
            edge.set(&format!("FERRYMQ_BRIDGES__UP__{key}"), value);
        }
        edge.up();
        Self { edge, version, listener, has_session: false }
    }

    /// Restarts the edge broker with a failpoint: `when` is before-commit or after-commit.
    pub fn armed(&mut self, when: &str, what: &str) {
        self.edge.kill();
        self.edge.set(FAILPOINT, &format!("{when}:{what}"));
        self.up();
    }

    /// Waits for the crash at the failpoint and restarts without one.
    pub fn crashed(&mut self) {
        let status = self.edge.wait_dead();
        assert!(!status.success(), "it ended by itself: {status}");
        self.edge.set(FAILPOINT, "");
        self.up();
    }

    pub fn restarted(&mut self) {
        self.edge.kill();
        self.up();
    }

    fn up(&mut self) {
        // Connections of the process that has ended.
        self.listener.set_nonblocking(true).unwrap();
        while self.listener.accept().is_ok() {}
        self.edge.up();
    }

    /// The next connection of the bridge, which has its session here since the first one. Its
    /// subscription is granted.
    pub fn dialled(&mut self) -> Raw {
        self.listener.set_nonblocking(true).unwrap();
        let deadline = Instant::now() + DIALS_WITHIN;
        let stream = loop {
            match self.listener.accept() {
                Ok((stream, _)) => break stream,
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
            assert!(Instant::now() < deadline, "the bridge does not dial\n{}", self.edge.log());
        };
        stream.set_nonblocking(false).unwrap();
        let mut bridge = Raw::accepted_from(stream, self.version).unwrap();
        assert_eq!(bridge.recv_frame().unwrap().0, 0x10, "CONNECT");
        let present = u8::from(std::mem::replace(&mut self.has_session, true));
        let properties: &[u8] = if self.version == 5 { &[0] } else { &[] };
        let mut out = Vec::new();
        raw::frame(&mut out, 0x20, &[&[present, 0], properties].concat());
        bridge.send(&out).unwrap();
        let (first, subscribe) = bridge.recv_frame().unwrap();
        assert_eq!(first, 0x82, "SUBSCRIBE before anything else");
        out.clear();
        raw::frame(&mut out, 0x90, &[&subscribe[..2], properties, &[2]].concat());
        bridge.send(&out).unwrap();
        bridge
    }

    /// A client of the edge broker with a durable session.
    pub fn client(&self, id: &str) -> Raw {
        Raw::with(self.edge.port, id, &Connect::new(5, false)).unwrap()
    }

    /// A client here publishes a message that is to be forwarded, and has it acknowledged.
    pub fn publish(&self, payload: &str, qos: u8) {
        let mut publisher = self.client("pub");
        publisher.send(&message("out", payload, qos, false, 5)).unwrap();
        if qos == 1 {
            return assert_eq!(publisher.recv().unwrap(), Packet::PubAck(PID, 0));
        }
        assert_eq!(publisher.recv().unwrap(), Packet::PubRec(PID, 0));
        release(&mut publisher);
    }

    /// What the durable session `id` here receives; a marker that is queued now comes last.
    pub fn received(&self, id: &str) -> Vec<String> {
        let mut marker = Raw::connect(self.edge.port, 4, "mark", true).unwrap();
        marker.send(&message("in", "mark", 1, false, 4)).unwrap();
        assert!(matches!(marker.recv().unwrap(), Packet::PubAck(PID, 0)));
        let mut client = self.client(id);
        let mut received = Vec::new();
        loop {
            match client.recv().unwrap() {
                Packet::Publish(it) if it.payload == b"mark" => return received,
                Packet::Publish(it) => {
                    received.push(String::from_utf8(it.payload).unwrap());
                    client.send(&ack(PUBREC, it.pid)).unwrap();
                }
                Packet::PubRel(pid) => client.send(&ack(PUBCOMP, pid)).unwrap(),
                other => panic!("unexpected {other:?}"),
            }
        }
    }
}

/// The PUBLISH that the bridge sends next.
pub fn forwarded(bridge: &mut Raw) -> Publish {
    match bridge.recv().unwrap() {
        Packet::Publish(message) => message,
        other => panic!("{other:?} instead of a PUBLISH"),
    }
}

/// The remote broker has nothing open: the bridge sends a marker next, which is completed.
pub fn nothing_is_left(case: &Case, bridge: &mut Raw) {
    case.publish("mark", 1);
    let mark = forwarded(bridge);
    assert_eq!((mark.payload.as_slice(), mark.dup), (b"mark".as_slice(), false));
    bridge.send(&ack(PUBACK, mark.pid)).unwrap();
}

pub fn message(topic: &str, payload: &str, qos: u8, dup: bool, version: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let payload = payload.as_bytes().into();
    raw::publish(&mut out, version, &Publish { dup, qos, pid: PID, topic: topic.into(), payload });
    out
}

/// PUBREL, and its PUBCOMP.
pub fn release(client: &mut Raw) {
    client.send(&ack(PUBREL, PID)).unwrap();
    assert_eq!(client.recv().unwrap(), Packet::PubComp(PID));
}

pub fn ack(first: u8, pid: u16) -> Vec<u8> {
    let mut out = Vec::new();
    raw::ack(&mut out, first, pid);
    out
}

/// All packets before the connection breaks.
pub fn until_dead(client: &mut Raw) -> Vec<Packet> {
    std::iter::from_fn(|| client.recv().ok()).collect()
}

pub fn for_each_version(test: impl Fn(&mut Case)) {
    for version in [4, 5] {
        test(&mut Case::new(version));
    }
}
