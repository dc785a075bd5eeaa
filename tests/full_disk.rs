//! A database that reaches `persistence.max_size` under load: which answers clients get, that
//! no acknowledged message is lost, and that service resumes by itself.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // As inside the crate's tests.

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::broker::Broker;
use common::raw::{self, Packet, Publish, Raw};

const SIZE: usize = 20_000;

fn small(on_full: &str) -> Broker {
    Broker::with(&[
        ("FERRYMQ_PERSISTENCE__MAX_SIZE", "2MiB"),
        ("FERRYMQ_PERSISTENCE__RESERVE_SIZE", "0B"),
        ("FERRYMQ_MQTT__ON_FULL", on_full),
    ])
}

fn publish(version: u8, qos: u8, pid: u16, topic: &str) -> Vec<u8> {
    let mut payload = vec![0; SIZE];
    payload[..2].copy_from_slice(&pid.to_be_bytes());
    let mut out = Vec::new();
    raw::publish(
        &mut out,
        version,
        &Publish { dup: false, qos, pid, topic: topic.into(), payload },
    );
    out
}

fn burst(pids: std::ops::RangeInclusive<u16>) -> Vec<u8> {
    pids.flat_map(|pid| publish(4, 1, pid, "t")).collect()
}

fn await_state(broker: &Broker, state: &str) {
    let wanted = format!("\"state\":\"{state}\"");
    let deadline = Instant::now() + Duration::from_secs(30);
    while !broker.get("/readyz").unwrap_or_default().contains(&wanted) {
        assert!(Instant::now() < deadline, "not {state}\n{}", broker.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Fills the queue of an offline session with v5 messages; returns how many were accepted
/// before the first 0x97.
fn fill(broker: &Broker) -> u16 {
    Raw::connect(broker.port, 4, "away", false).unwrap().subscribe("t", 1).unwrap();
    let mut filler = Raw::connect(broker.port, 5, "filler", true).unwrap();
    for pid in 1..1000 {
        filler.send(&publish(5, 1, pid, "t")).unwrap();
        match filler.recv().unwrap() {
            Packet::PubAck(acknowledged, 0) => assert_eq!(acknowledged, pid),
            Packet::PubAck(acknowledged, 0x97) => {
                assert_eq!(acknowledged, pid);
                return pid - 1;
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("max_size does not hold");
}

/// Receives and acknowledges the queue up to the message `last`; returns all of them.
fn drain(broker: &Broker, last: u16) -> Vec<u16> {
    let mut receiver = Raw::connect(broker.port, 4, "away", false).unwrap();
    let mut seen = Vec::new();
    while seen.last() != Some(&last) {
        if let Packet::Publish(message) = receiver.recv().unwrap() {
            seen.push(u16::from_be_bytes([message.payload[0], message.payload[1]]));
            let mut out = Vec::new();
            raw::ack(&mut out, raw::PUBACK, message.pid);
            receiver.send(&out).unwrap();
        }
    }
    receiver.send(&[0xE0, 0]).unwrap();
    seen
}

#[test]
fn a_full_database_refuses_disconnects_and_comes_back_by_itself() {
    let broker = small("disconnect");
    let kept = fill(&broker);
    await_state(&broker, "full");
    // MQTT 3.1.1: every attempt ends with a disconnect and no acknowledgement.
    for _ in 0..20 {
        let mut older = Raw::connect(broker.port, 4, "older", true).unwrap();
        older.send(&publish(4, 1, 7, "t")).unwrap();
        assert!(older.recv().is_err(), "closed without an acknowledgement");
    }
    // Sessions that end with their connection, and QoS 0, are still served.
    let mut passing = Raw::connect(broker.port, 4, "passing", true).unwrap();
    passing.subscribe("p", 1).unwrap();
    passing.send(&publish(4, 1, 1, "p")).unwrap();
    passing.send(&publish(4, 0, 2, "p")).unwrap();
    let mut seen = [passing.recv().unwrap(), passing.recv().unwrap(), passing.recv().unwrap()];
    seen.sort_by_key(|packet| matches!(packet, Packet::Publish(_)));
    assert_eq!(seen[0], Packet::PubAck(1, 0));
    let expected: Vec<u16> = (1..=kept).collect();
    assert_eq!(drain(&broker, kept), expected);
    await_state(&broker, "ready");
    let mut older = Raw::connect(broker.port, 4, "older", true).unwrap();
    older.send(&publish(4, 1, 7, "t")).unwrap();
    assert_eq!(older.recv().unwrap(), Packet::PubAck(7, 0));
    let log = broker.log_with("the disk has room again");
    assert_eq!(log.matches("the disk is full").count(), 1, "{log}");
    assert_eq!(log.matches("the disk has room again refused=21 ").count(), 1, "{log}");
}

#[test]
fn a_stalled_publisher_loses_nothing_and_keeps_its_order() {
    let broker = small("stall");
    let kept = fill(&broker);
    let mut older = Raw::connect_alive(broker.port, 4, "older", true, 1).unwrap();
    // More than one step takes, so the last ones are not read yet.
    older.send(&burst(1001..=1005)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while broker.metric("ferrymq_stalled_connections") < 1.0 {
        assert!(Instant::now() < deadline, "{}", broker.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(older.until_ping().unwrap(), []);
    older.send(&burst(1006..=1010)).unwrap();
    // Twice the keep alive: the broker reads nothing, so the client must not be timed out.
    std::thread::sleep(Duration::from_secs(3));
    assert!(broker.metric("ferrymq_keep_alive_timeouts_total") < 1.0);
    assert!(broker.metric("ferrymq_persistence_stalled_messages") >= 1.0);
    let expected: Vec<u16> = (1..=kept).collect();
    assert_eq!(drain(&broker, kept), expected);
    for pid in 1..=10 {
        assert_eq!(older.recv().unwrap(), Packet::PubAck(1000 + pid, 0));
    }
    await_state(&broker, "ready");
    assert!(broker.metric("ferrymq_stalled_connections") < 1.0);
    let mut broker = broker;
    broker.kill();
    broker.up();
    let expected: Vec<u16> = (1001..=1010).collect();
    // Messages received just before a crash may be repeated.
    let seen: Vec<u16> = drain(&broker, 1010).into_iter().filter(|pid| *pid > 1000).collect();
    assert_eq!(seen, expected);
}

/// An MQTT 5.0 CONNECT for a durable session, with a will of `bytes` bytes.
fn connect_with_will(client_id: &str, bytes: usize) -> Vec<u8> {
    let text = |out: &mut Vec<u8>, value: &[u8]| {
        out.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        out.extend(value);
    };
    let mut properties = Vec::new();
    for _ in 0..bytes.div_ceil(60_000) {
        properties.push(0x26);
        text(&mut properties, b"padding");
        text(&mut properties, &vec![b'w'; bytes.min(60_000)]);
    }
    let mut body = Vec::new();
    text(&mut body, b"MQTT");
    body.extend([5, 0x0C, 0, 0, 5, 17, 0, 0, 0x0E, 0x10]);
    text(&mut body, client_id.as_bytes());
    let mut length = properties.len();
    loop {
        let rest = length >> 7;
        body.push(u8::try_from(length & 0x7F).unwrap() | if rest > 0 { 0x80 } else { 0 });
        length = rest;
        if length == 0 {
            break;
        }
    }
    body.extend(properties);
    text(&mut body, b"wills");
    text(&mut body, b"gone");
    let mut out = Vec::new();
    raw::frame(&mut out, 0x10, &body);
    out
}

/// Connects; returns the stream and the reason code of CONNACK.
fn answer_to(broker: &Broker, connect: &[u8]) -> (TcpStream, u8) {
    let mut stream = TcpStream::connect(("127.0.0.1", broker.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(connect).unwrap();
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).unwrap();
    (stream, connack[3])
}

#[test]
fn sessions_that_come_back_with_large_wills_do_not_keep_a_full_queue_from_being_drained() {
    let broker = small("disconnect");
    for no in 0..10 {
        Raw::connect(broker.port, 5, &format!("known{no}"), false).unwrap();
    }
    let kept = fill(&broker);
    await_state(&broker, "full");
    let streams: Vec<_> = (0..10)
        .map(|no| answer_to(&broker, &connect_with_will(&format!("known{no}"), 900_000)))
        .collect();
    assert!(streams.iter().all(|(_, reason)| *reason == 0x97), "refused, each of them");
    let (modest, reason) = answer_to(&broker, &connect_with_will("known0", 500));
    assert_eq!(reason, 0, "a small will is taken");
    let expected: Vec<u16> = (1..=kept).collect();
    assert_eq!(drain(&broker, kept), expected);
    await_state(&broker, "ready");
    drop((streams, modest));
    let (_stream, reason) = answer_to(&broker, &connect_with_will("known1", 300_000));
    assert_eq!(reason, 0, "there is room again");
}
