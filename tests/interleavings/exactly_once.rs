//! QoS 2 over a take-over in the middle of the old connection's step.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use super::common::broker::Broker;
use super::common::raw::{self, PUBCOMP, PUBREC, PUBREL, Packet, Publish, Raw};
use super::step;

const PID: u16 = 1;

fn publish(payload: &str, dup: bool) -> Vec<u8> {
    let message =
        Publish { dup, qos: 2, pid: PID, topic: "t".into(), payload: payload.as_bytes().into() };
    let mut out = Vec::new();
    raw::publish(&mut out, 4, &message);
    out
}

fn ack(first: u8, pid: u16) -> Vec<u8> {
    let mut out = Vec::new();
    raw::ack(&mut out, first, pid);
    out
}

fn connect(broker: &Broker, id: &str) -> Raw {
    Raw::connect(broker.port, 4, id, false).unwrap()
}

/// A broker with the receivers of a long step and a durable receiver of "t".
fn prepared() -> Broker {
    let broker = step::broker();
    connect(&broker, "receiver").subscribe("t", 2).unwrap();
    broker
}

/// Drains the receiver, with each exchange completed.
fn drain(broker: &Broker) -> Vec<String> {
    let mut receiver = connect(broker, "receiver");
    let mut seen = Vec::new();
    receiver.patience(Duration::from_secs(1));
    loop {
        match receiver.recv() {
            Ok(Packet::Publish(message)) => {
                seen.push(String::from_utf8(message.payload).unwrap());
                receiver.send(&ack(PUBREC, message.pid)).unwrap();
            }
            Ok(Packet::PubRel(pid)) => receiver.send(&ack(PUBCOMP, pid)).unwrap(),
            Ok(other) => panic!("{other:?}"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return seen,
            Err(error) => panic!("{error}"),
        }
    }
}

/// A PUBREL at the beginning of a long step removes the packet id of its own message, not that
/// of a message with the same id from the next connection.
#[test]
fn an_older_connections_pubrel_does_not_remove_the_packet_id_of_a_newer_message() {
    let mut broker = prepared();
    let (mut repeated, mut between) = (0, 0);
    for round in 0..step::ROUNDS {
        let (first, second) = (format!("first {round}"), format!("second {round}"));
        let mut old = connect(&broker, "publisher");
        old.send(&publish(&first, false)).unwrap();
        assert_eq!(old.recv().unwrap(), Packet::PubRec(PID, 0));
        let step = step::begin(&broker, &mut old, &ack(PUBREL, PID));

        let (mut new, is_between) = step.take_over(&broker, 4, "publisher");
        new.send(&ack(PUBREL, PID)).unwrap();
        assert_eq!(new.recv().unwrap(), Packet::PubComp(PID));
        new.send(&publish(&second, false)).unwrap();
        assert_eq!(new.recv().unwrap(), Packet::PubRec(PID, 0));
        step::end(&broker, old);
        broker.kill();
        broker.up();

        // As a client that has not received the PUBREC of the second message.
        let mut again = connect(&broker, "publisher");
        again.send(&publish(&second, true)).unwrap();
        assert_eq!(again.recv().unwrap(), Packet::PubRec(PID, 0));
        again.send(&ack(PUBREL, PID)).unwrap();
        assert_eq!(again.recv().unwrap(), Packet::PubComp(PID));
        let seen = drain(&broker);
        println!("round {round}: CONNECT came in the turn: {is_between}, then {seen:?}");
        repeated += usize::from(seen != [first, second]);
        between += usize::from(is_between);
        if between == step::BETWEEN {
            break;
        }
    }
    assert_eq!(repeated, 0, "rounds in which a QoS 2 message came more than once, or not");
    assert!(between > 0, "no CONNECT came before the older connection's turn was over");
}

/// PUBREL is sent after "received" is on disk, also if the next connection sends it.
#[test]
fn pubrel_after_a_take_over_waits_for_the_commit_of_the_older_connections_pubrec() {
    let mut broker = prepared();
    let mut publisher = connect(&broker, "publisher");
    let (mut repeated, mut between) = (0, 0);
    for round in 0..step::ROUNDS {
        let mut old = connect(&broker, "receiver");
        if round > 0 {
            publisher = connect(&broker, "publisher");
        }
        publisher.send(&publish("once", false)).unwrap();
        assert_eq!(publisher.recv().unwrap(), Packet::PubRec(PID, 0));
        publisher.send(&ack(PUBREL, PID)).unwrap();
        assert_eq!(publisher.recv().unwrap(), Packet::PubComp(PID));
        let Packet::Publish(message) = old.recv().unwrap() else { panic!("no PUBLISH") };
        let step = step::begin(&broker, &mut old, &ack(PUBREC, message.pid));

        let begun = Instant::now();
        let (mut new, is_between) = step.take_over(&broker, 4, "receiver");
        assert_eq!(new.recv().unwrap(), Packet::PubRel(message.pid));
        // On PUBREL the client discards the id [MQTT-4.3.3-13].
        let released = begun.elapsed();
        broker.kill();
        broker.up();
        let seen = drain(&broker);
        println!(
            "round {round}: CONNECT came in the turn: {is_between}, PUBREL {released:.2?} later, \
             then {seen:?}"
        );
        repeated += usize::from(!seen.is_empty());
        between += usize::from(is_between);
        if between == step::BETWEEN {
            break;
        }
    }
    assert_eq!(repeated, 0, "rounds in which PUBLISH came under an id that was released");
    assert!(between > 0, "no CONNECT came before the older connection's turn was over");
}
