//! Wills with a delay fall due while their clients come back.

use std::time::{Duration, Instant};

use super::common::broker::Broker;
use super::common::raw::{self, Packet, Publish, Raw};
use super::{crowd, turn};

const CLIENTS: usize = 3000;
/// Receivers of the wills, to which each of them goes: they are away, and take none.
const WATCHERS: usize = 500;

#[test]
fn sessions_of_clients_that_reconnect_while_their_wills_fall_due_are_kept() {
    crowd::raise_file_limit();
    let mut broker = Broker::start();
    for n in 0..WATCHERS {
        let mut watcher = Raw::connect(broker.port, 4, &format!("watcher-{n}"), false).unwrap();
        watcher.subscribe("wills", 0).unwrap();
    }
    let clients = crowd::connect(broker.port, CLIENTS, |_| true, |_| true);
    let gone = Instant::now();
    drop(clients);
    while broker.metric("ferrymq_connections") > 0.0 {
        assert!(gone.elapsed() < crowd::WILL_DELAY, "they take long to go");
        std::thread::sleep(Duration::from_millis(5));
    }
    let away = gone.elapsed();
    // Half of the wills are due by now.
    std::thread::sleep((crowd::WILL_DELAY + away / 2).saturating_sub(gone.elapsed()));
    let is_clean = |n: usize| n.is_multiple_of(2);
    let clients = crowd::connect(broker.port, CLIENTS, is_clean, is_clean);
    let present = clients.iter().filter(|client| client.session_present).count();
    assert_eq!(present, CLIENTS / 2);
    publish_to_all(&broker);
    turn::fence(&broker);
    broker.kill();
    drop(clients);
    broker.up();

    let mut clients = crowd::connect(broker.port, CLIENTS, |_| false, |_| false);
    let sessions = clients.iter().filter(|client| !client.session_present).count();
    let messages = crowd::waiting(&mut clients).iter().filter(|&&count| count == 0).count();
    println!(
        "{CLIENTS} clients gone within {away:.2?}: after kill -9 {sessions} sessions were gone \
         and {messages} acknowledged messages"
    );
    assert_eq!((sessions, messages), (0, 0), "sessions, and acknowledged messages, that are gone");
}

/// One message to each, acknowledged to its publisher and not by its receiver.
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
