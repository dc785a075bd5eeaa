//! Promises 6 and 8: a million messages are queued for an offline session. Memory stays
//! bounded while they arrive, wait and drain; after `kill -9` the broker is ready within 2 s,
//! with all of them in order.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // As inside the crate's tests.

mod common;

use std::time::{Duration, Instant};

use common::broker::Broker;
use common::publisher::Publisher;
use common::subscriber::Subscriber;

const MESSAGES: u64 = 1_000_000;
const PAYLOAD: usize = 256;
const MEMORY_KIB: u64 = 100 * 1024;
const READY: Duration = Duration::from_secs(2);

#[test]
fn a_million_waiting_messages_fit_in_100_mib_and_are_back_within_2_s() {
    let mut broker = Broker::start();
    let mut subscriber = Subscriber::new("away", 4);
    subscriber.subscribe(broker.port, "crash/#", 1);

    let started = Instant::now();
    let mut publisher = Publisher::new("p", 4, 1, 2000).with_payload(PAYLOAD);
    publisher.run(broker.port, MESSAGES).unwrap();
    println!("{MESSAGES} x {PAYLOAD} B acknowledged in {:?}", started.elapsed());
    check_memory(&broker, "with all of them waiting");

    broker.kill();
    let ready = broker.up();
    println!("ready {ready:?} after kill -9");
    check_memory(&broker, "after the restart");
    assert!(ready <= READY, "ready after {ready:?}");

    let started = Instant::now();
    let mut client = subscriber.connect(broker.port).unwrap();
    assert!(client.session_present);
    subscriber.run(&mut client, |s| s.has("crash/p", MESSAGES)).unwrap();
    println!("received in {:?}", started.elapsed());
    check_memory(&broker, "after handing them out");

    let account = &subscriber.accounts["crash/p"];
    assert_eq!(account.missing(MESSAGES), [0; 0]);
    assert_eq!(account.out_of_order, [0; 0]);
    assert_eq!(account.received(), MESSAGES, "each of them once");
}

fn check_memory(broker: &Broker, when: &str) {
    let (now, peak) = (broker.memory("VmRSS"), broker.memory("VmHWM"));
    println!("memory {when}: {} MiB, at most {} MiB", now / 1024, peak / 1024);
    assert!(peak < MEMORY_KIB, "{peak} KiB {when}");
}
