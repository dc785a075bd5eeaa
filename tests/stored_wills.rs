//! `session.store_wills`: after `kill -9` of the broker, the will of a client without a
//! durable session replaces the state that the client has retained.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // As inside the crate's tests.

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::broker::Broker;
use common::raw::{self, Packet, Publish, Raw};

const NOT_STORED: &[(&str, &str)] = &[("FERRYMQ_SESSION__STORE_WILLS", "false")];

fn text(out: &mut Vec<u8>, value: &str) {
    out.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
    out.extend(value.as_bytes());
}

/// An MQTT 3.1.1 client with Clean Session 1 that retains its state: `online` while it is
/// connected, `offline` by its will.
struct Device(TcpStream);

impl Device {
    fn connect(broker: &Broker, id: &str) -> Self {
        let mut body = Vec::new();
        text(&mut body, "MQTT");
        // Clean Session, will flag, will QoS 1, will retain.
        body.extend([4, 0x2E, 0, 0]);
        text(&mut body, id);
        text(&mut body, &format!("state/{id}"));
        text(&mut body, r#"{"state":"offline"}"#);
        let mut out = Vec::new();
        raw::frame(&mut out, 0x10, &body);
        let stream = TcpStream::connect(("127.0.0.1", broker.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut device = Self(stream);
        device.0.write_all(&out).unwrap();
        device.expect(&[0x20, 2, 0, 0]);
        out.clear();
        let (topic, payload) = (format!("state/{id}"), br#"{"state":"online"}"#.to_vec());
        raw::publish(&mut out, 4, &Publish { dup: false, qos: 1, pid: 1, topic, payload });
        // Retain.
        out[0] |= 1;
        device.0.write_all(&out).unwrap();
        device.expect(&[0x40, 2, 0, 1]);
        device
    }

    fn expect(&mut self, bytes: &[u8]) {
        let mut found = vec![0; bytes.len()];
        self.0.read_exact(&mut found).unwrap();
        assert_eq!(found, bytes);
    }

    fn leave(mut self) {
        self.0.write_all(&[0xE0, 0]).unwrap();
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
    }
}

/// The retained state of each device, ordered by name.
fn states(broker: &Broker, devices: usize) -> Vec<String> {
    let mut observer = Raw::connect(broker.port, 4, "observer", true).unwrap();
    observer.subscribe("state/+", 1).unwrap();
    let mut found = Vec::new();
    while found.len() < devices {
        if let Packet::Publish(message) = observer.recv().unwrap() {
            let payload = String::from_utf8(message.payload).unwrap();
            found.push(format!("{} {payload}", message.topic));
        }
    }
    found.sort();
    found
}

#[test]
fn the_wills_of_open_connections_are_published_after_a_crash_and_no_others() {
    let mut broker = Broker::start();
    let open = Device::connect(&broker, "a");
    Device::connect(&broker, "b").leave();
    let old = Device::connect(&broker, "c");
    let again = Device::connect(&broker, "c");
    drop(Device::connect(&broker, "d"));
    let deadline = Instant::now() + Duration::from_secs(30);
    while states(&broker, 4)[3] != r#"state/d {"state":"offline"}"# {
        assert!(Instant::now() < deadline, "{}", broker.log());
    }
    broker.kill();
    drop((open, old, again));
    broker.up();
    let offline = r#"{"state":"offline"}"#;
    let online = r#"{"state":"online"}"#;
    let expected = [
        format!("state/a {offline}"),
        format!("state/b {online}"),
        format!("state/c {offline}"),
        format!("state/d {offline}"),
    ];
    assert_eq!(states(&broker, 4), expected);
    // Wills are published once: a later retained message stays.
    Device::connect(&broker, "a").leave();
    // DISCONNECT has no acknowledgement: a later CONNACK shows that it is on disk.
    Raw::connect(broker.port, 4, "later", false).unwrap();
    broker.kill();
    broker.up();
    assert_eq!(states(&broker, 4)[0], format!("state/a {online}"));
}

#[test]
fn without_the_key_wills_of_passing_sessions_are_lost_with_the_process() {
    let mut broker = Broker::with(NOT_STORED);
    let device = Device::connect(&broker, "a");
    broker.kill();
    drop(device);
    broker.up();
    assert_eq!(states(&broker, 1), [r#"state/a {"state":"online"}"#]);
}
