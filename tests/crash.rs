//! Promises 1, 2 and 3 under `kill -9` while publishing at full rate: no acknowledged message
//! is missing, QoS 2 arrives exactly once, order per publisher holds; for an offline and an
//! online subscriber.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // As inside the crate's tests.

mod common;

use std::thread;
use std::time::Duration;

use common::broker::Broker;
use common::publisher::Publisher;
use common::rng::Rng;
use common::subscriber::Subscriber;

const ROUNDS: usize = 20;
const PUBLISHERS: usize = 4;
const WINDOW: u16 = 100;

/// Which subscribers there are. An online subscriber makes writes unnecessary (write elision),
/// so the offline one alone is a harder test of the store.
#[derive(Clone, Copy, PartialEq)]
enum Subscribers {
    Offline,
    Both,
}

#[test]
fn kill_9_qos_1_v311_with_an_offline_subscriber() {
    crash(4, 1, Subscribers::Offline, &[]);
}

#[test]
fn kill_9_qos_1_v311_with_an_offline_and_an_online_subscriber() {
    crash(4, 1, Subscribers::Both, &[]);
}

#[test]
fn kill_9_qos_2_v311_with_an_offline_subscriber() {
    crash(4, 2, Subscribers::Offline, &[]);
}

#[test]
fn kill_9_qos_2_v311_with_an_offline_and_an_online_subscriber() {
    crash(4, 2, Subscribers::Both, &[]);
}

#[test]
fn kill_9_qos_1_v5_with_an_offline_and_an_online_subscriber() {
    crash(5, 1, Subscribers::Both, &[]);
}

#[test]
fn kill_9_qos_2_v5_with_an_offline_and_an_online_subscriber() {
    crash(5, 2, Subscribers::Both, &[]);
}

#[test]
fn kill_9_loses_nothing_with_durability_commit() {
    crash(4, 1, Subscribers::Both, &[("FERRYMQ_PERSISTENCE__DURABILITY", "commit")]);
}

fn crash(version: u8, qos: u8, subscribers: Subscribers, settings: &[(&str, &str)]) {
    let mut rng = Rng::new();
    let mut broker = Broker::with(settings);
    let mut offline = Subscriber::new("offline", version);
    offline.subscribe(broker.port, "crash/#", qos);
    let mut online = Subscriber::new("online", version);
    if subscribers == Subscribers::Both {
        online.subscribe(broker.port, "crash/#", qos);
    }
    let mut publishers: Vec<_> =
        (0..PUBLISHERS).map(|n| Publisher::new(&format!("p{n}"), version, qos, WINDOW)).collect();

    for round in 1..=ROUNDS {
        let pause = Duration::from_millis(rng.between(20, 400));
        let at_kill =
            full_rate_until_killed(&mut broker, &mut publishers, &mut online, subscribers, pause);
        let ready = broker.up();
        finish(&broker, &mut publishers);
        let mut all = vec![&mut offline];
        if subscribers == Subscribers::Both {
            all.push(&mut online);
        }
        for subscriber in all {
            drain(&broker, &publishers, subscriber);
            println!(
                "round {round:2}: killed after {pause:?} with {at_kill} acknowledged, ready in {ready:?}, \
                 {} received {}, repeated {}",
                subscriber.name,
                subscriber.received(),
                subscriber.repeated()
            );
            check(subscriber, &publishers);
        }
    }
}

/// Runs publishers and the online subscriber at full rate, on their own threads, until the
/// broker is killed. Returns how many messages had been acknowledged by then.
fn full_rate_until_killed(
    broker: &mut Broker,
    publishers: &mut [Publisher],
    online: &mut Subscriber,
    subscribers: Subscribers,
    pause: Duration,
) -> u64 {
    let port = broker.port;
    let connected = (subscribers == Subscribers::Both).then(|| online.connect(port).unwrap());
    thread::scope(|scope| {
        for publisher in publishers.iter_mut() {
            scope.spawn(move || publisher.run(port, u64::MAX).unwrap_err());
        }
        if let Some(mut client) = connected {
            scope.spawn(move || online.run(&mut client, |_| false).unwrap_err());
        }
        thread::sleep(pause);
        broker.kill();
    });
    publishers.iter().map(|publisher| publisher.acknowledged).sum()
}

/// The publishers resume their sessions until all messages are acknowledged.
fn finish(broker: &Broker, publishers: &mut [Publisher]) {
    let port = broker.port;
    thread::scope(|scope| {
        for publisher in publishers.iter_mut() {
            scope.spawn(move || {
                // The additional message marks the end for the subscribers.
                let limit = publisher.next + 1;
                publisher.run(port, limit).unwrap();
            });
        }
    });
}

fn drain(broker: &Broker, publishers: &[Publisher], subscriber: &mut Subscriber) {
    let mut client = subscriber.connect(broker.port).unwrap();
    let ends: Vec<_> = publishers.iter().map(|p| (p.topic(), p.next)).collect();
    let drained =
        subscriber.run(&mut client, |s| ends.iter().all(|(topic, count)| s.has(topic, *count)));
    assert!(drained.is_ok(), "{}: {drained:?}", subscriber.name);
}

fn check(subscriber: &Subscriber, publishers: &[Publisher]) {
    for publisher in publishers {
        let account = subscriber.accounts.get(&publisher.topic()).unwrap();
        let missing = account.missing(publisher.next);
        assert!(
            missing.is_empty(),
            "{}: {} acknowledged messages of {} are missing, the first is {:?}",
            subscriber.name,
            missing.len(),
            publisher.name,
            missing.first()
        );
        assert!(
            account.out_of_order.is_empty(),
            "{}: out of order from {}: {:?}",
            subscriber.name,
            publisher.name,
            account.out_of_order
        );
        if publisher.qos == 2 {
            assert_eq!(account.repeated(), 0, "{}: QoS 2 more than once", subscriber.name);
        }
    }
}
