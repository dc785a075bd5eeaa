//! Delayed wills become due while their clients reconnect.

use std::collections::BTreeSet;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::common::broker::Broker;
use super::common::files;
use super::common::raw::{self, Packet, Publish, Raw};
use super::{crowd, step};

const CLIENTS: usize = 3000;
/// Offline sessions that receive each will.
const WATCHERS: usize = 500;

#[test]
fn sessions_of_clients_that_reconnect_while_their_wills_fall_due_are_kept() {
    files::raise_limit();
    let mut broker = Broker::start();
    for n in 0..WATCHERS {
        let mut watcher = Raw::connect(broker.port, 4, &format!("watcher-{n}"), false).unwrap();
        watcher.subscribe(crowd::WILLS, 0).unwrap();
    }
    let clients = crowd::connect(broker.port, CLIENTS, |_| true, |_| true);
    let (mut sessions, mut messages, mut clients) = (0, 0, Some(clients));
    // Clients whose sessions stay: those that reconnected after their wills were due, and
    // those that reconnected before.
    let (mut late, mut early) = (0, 0);
    for round in 0..3 {
        let seen = watch(&broker);
        let away = leave(&broker, clients.take().unwrap());
        let is_clean = |n: usize| (n + round).is_multiple_of(2);
        let back = crowd::connect(broker.port, CLIENTS, is_clean, is_clean);
        let present = back.iter().filter(|client| client.session_present).count();
        assert_eq!(present, CLIENTS / 2);
        publish_to_all(&broker);
        step::fence(&broker);
        broker.kill();
        drop(back);
        let seen = seen.join().unwrap();
        let due = seen.iter().filter(|n| !is_clean(**n)).count();
        (late, early) = (late + due, early + present - due);
        broker.up();

        let mut again = crowd::connect(broker.port, CLIENTS, |_| false, |_| false);
        let gone = again.iter().filter(|client| !client.session_present).count();
        let lost = crowd::drain(&mut again).iter().filter(|&&count| count == 0).count();
        println!(
            "round {round}: {CLIENTS} clients gone within {away:.2?}, the wills of {due} of {present} \
             fell due before they were back; after kill -9 {gone} sessions were gone and {lost} \
             acknowledged messages"
        );
        (sessions, messages) = (sessions + gone, messages + lost);
        if lost > 0 {
            break;
        }
        clients = Some(again);
    }
    assert_eq!((sessions, messages), (0, 0), "sessions, and acknowledged messages, that are gone");
    // No will was due when they began to reconnect.
    assert!(late > 0, "no will fell due while the clients came back");
    assert!(early > 0, "no will was left when the clients came back");
}

/// Collects the clients whose wills are published until the broker is killed.
fn watch(broker: &Broker) -> JoinHandle<BTreeSet<usize>> {
    let mut watcher = Raw::connect(broker.port, 4, "online", true).unwrap();
    watcher.subscribe(crowd::WILLS, 0).unwrap();
    std::thread::spawn(move || {
        let mut seen = BTreeSet::new();
        while let Ok(packet) = watcher.recv() {
            let Packet::Publish(will) = packet else { panic!("{packet:?}") };
            seen.insert(crowd::of_will(&will.topic));
        }
        seen
    })
}

/// Drops all connections. Returns how long that took, shortly before the first will is due, so
/// that some clients reconnect early and some late.
fn leave(broker: &Broker, clients: Vec<Raw>) -> Duration {
    let gone = Instant::now();
    drop(clients);
    // All but the watching client.
    while broker.metric("ferrymq_connections") > 1.0 {
        assert!(gone.elapsed() < crowd::WILL_DELAY, "they take long to go");
        std::thread::sleep(Duration::from_millis(5));
    }
    let away = gone.elapsed();
    std::thread::sleep(crowd::WILL_DELAY.saturating_sub(away / 2 + gone.elapsed()));
    away
}

/// Publishes one message to each client; the publisher gets its PUBACK, the receiver sends
/// none.
fn publish_to_all(broker: &Broker) {
    let mut publisher = Raw::connect(broker.port, 4, "publisher", true).unwrap();
    let mut out = Vec::new();
    for n in 0..CLIENTS {
        let pid = u16::try_from(n + 1).unwrap();
        let message = Publish { dup: false, qos: 1, pid, topic: crowd::topic(n), payload: vec![1] };
        raw::publish(&mut out, 4, &message);
    }
    publisher.send(&out).unwrap();
    for n in 0..CLIENTS {
        assert_eq!(publisher.recv().unwrap(), Packet::PubAck(u16::try_from(n + 1).unwrap(), 0));
    }
}
