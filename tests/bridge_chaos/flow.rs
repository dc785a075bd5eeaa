//! The publishers of one direction, and the subscribers at the other end.

use std::io::ErrorKind;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::publisher::Publisher;
use crate::common::subscriber::Subscriber;
use crate::receiver::{Receiver, Session};
use crate::tally::Tally;

/// Messages that a publisher has in flight.
const WINDOW: u16 = 50;
/// The longest time that a broker may leave a publisher without a connection.
const PUBLISHED_WITHIN: Duration = Duration::from_mins(1);

/// Name, version and QoS of the publishers.
type Publishers = &'static [(&'static str, u8, u8)];

/// From the edge to the remote broker: what is published there, and how it is received here.
pub const UP: &str = "crash/up/#";
pub const UP_PUBLISHERS: Publishers =
    &[("up/a", 4, 1), ("up/b", 5, 1), ("up/c", 4, 2), ("up/d", 5, 2)];
/// The other way.
pub const DOWN: &str = "crash/down/#";
pub const DOWN_PUBLISHERS: Publishers = &[("down/a", 5, 1), ("down/b", 4, 2)];

pub struct Flow {
    /// The broker at which the publishers are.
    pub port: u16,
    pub publishers: Vec<Publisher>,
    pub online: Receiver,
    /// Connected before the faults and after them: without it, a message that its receiver has
    /// acknowledged would not have to be written at its end.
    pub offline: Option<Receiver>,
}

impl Flow {
    /// Each publisher will publish `each` messages.
    pub fn new(
        (from, to): (u16, u16),
        filter: &'static str,
        publishers: Publishers,
        session: Session,
        each: u64,
    ) -> Self {
        let new =
            |(name, version, qos): &(&str, u8, u8)| Publisher::new(name, *version, *qos, WINDOW);
        let publishers: Vec<_> = publishers.iter().map(new).collect();
        let receiver = |name: &str| {
            let name = format!("{name} {filter}");
            let goals = publishers.iter().map(|publisher| (publisher.topic(), each)).collect();
            let subscriber = Subscriber::new(&name.replace('#', "all"), 5);
            let mut receiver = Receiver { port: to, filter, session, subscriber, goals };
            if session == Session::Durable {
                receiver.subscriber.subscribe(to, filter, 2);
            }
            receiver
        };
        let offline = (session == Session::Durable).then(|| receiver("offline"));
        let online = receiver("online");
        Self { port: from, online, offline, publishers }
    }

    /// What the subscribers have received of what was acknowledged.
    pub fn tally(&self) -> Tally {
        let receivers = self.offline.iter().chain([&self.online]);
        let receivers: Vec<_> = receivers.map(|receiver| &receiver.subscriber).collect();
        Tally::of(&self.publishers, &receivers)
    }
}

/// Publishes until so many messages are acknowledged, over as many connections as needed.
pub fn publish(publisher: &mut Publisher, port: u16, limit: u64) {
    let deadline = Instant::now() + PUBLISHED_WITHIN;
    while let Err(error) = publisher.run(port, limit) {
        let name = &publisher.name;
        assert_ne!(error.kind(), ErrorKind::WouldBlock, "{name}: no answer for a minute");
        assert!(Instant::now() < deadline, "{name}: {error}");
        thread::sleep(Duration::from_millis(10));
    }
}
