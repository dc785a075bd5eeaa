//! The clients of a scenario: publishers that count what was acknowledged, and subscribers,
//! alone or in a group, that count what they received.

use std::io;
use std::thread;

use crate::common::broker::Broker;
use crate::common::publisher::Publisher;
use crate::common::raw::{self, Packet, Publish, Raw};
use crate::common::subscriber::Subscriber;
use crate::tally::Tally;

/// A subscriber and its role.
#[derive(Clone)]
pub struct Member {
    pub subscriber: Subscriber,
    /// A member of a shared subscription, whose members together receive each message once.
    pub shared: bool,
    pub online: bool,
}

#[derive(Clone, Default)]
pub struct Scenario {
    pub publishers: Vec<Publisher>,
    pub members: Vec<Member>,
    /// Number of the last mark; a mark tells a subscriber that its queue is empty.
    mark: u64,
}

impl Scenario {
    #[must_use]
    pub fn publishers(mut self, count: usize, version: u8, qos: u8, window: u16) -> Self {
        for _ in 0..count {
            let name = format!("p{}", self.publishers.len());
            self.publishers.push(Publisher::new(&name, version, qos, window).with_journal());
        }
        self
    }

    #[must_use]
    pub fn retaining(mut self) -> Self {
        self.publishers.iter_mut().for_each(|publisher| publisher.retain = true);
        self
    }

    #[must_use]
    pub fn members(mut self, count: usize, version: u8, online: bool, shared: bool) -> Self {
        for _ in 0..count {
            let name = format!("s{}", self.members.len());
            let subscriber = Subscriber::new(&name, version).with_journal();
            self.members.push(Member { subscriber, shared, online });
        }
        self
    }

    /// Subscribes each member to all published topics and to its marks.
    pub fn subscribe(&mut self, port: u16) {
        for member in &mut self.members {
            let mut client = member.subscriber.connect(port).unwrap();
            let filter = if member.shared { "$share/g/crash/#" } else { "crash/#" };
            client.subscribe(filter, 2).unwrap();
            client.subscribe(&mark_topic(&member.subscriber.name), 1).unwrap();
        }
    }

    /// The state of all clients at that moment.
    #[must_use]
    pub fn as_of(&self, moment: u64) -> Self {
        let publishers = self.publishers.iter().map(|publisher| publisher.as_of(moment));
        let members = self.members.iter().map(|member| {
            let subscriber = member.subscriber.as_of(moment);
            Member { subscriber, shared: member.shared, online: member.online }
        });
        Self { publishers: publishers.collect(), members: members.collect(), mark: self.mark }
    }

    pub fn acknowledged(&self) -> u64 {
        self.publishers.iter().map(|publisher| publisher.acknowledged).sum()
    }

    /// Runs publishers and online members at full rate until the connections break; meanwhile
    /// `fault` causes that.
    pub fn run_until(&mut self, broker: &mut Broker, fault: impl FnOnce(&mut Broker)) {
        let port = broker.port;
        let online: Vec<_> = self
            .members
            .iter_mut()
            .filter(|member| member.online)
            .map(|member| (member.subscriber.connect(port).unwrap(), &mut member.subscriber))
            .collect();
        thread::scope(|scope| {
            for publisher in &mut self.publishers {
                scope.spawn(|| {
                    let error = publisher.run(port, u64::MAX).unwrap_err();
                    assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "no answer for a minute");
                });
            }
            for (mut client, subscriber) in online {
                scope.spawn(move || subscriber.run(&mut client, |_| false).unwrap_err());
            }
            fault(broker);
        });
    }

    /// The publishers publish until each has `count` messages acknowledged.
    pub fn publish(&mut self, port: u16, count: u64) {
        thread::scope(|scope| {
            for publisher in &mut self.publishers {
                scope.spawn(move || publisher.run(port, count).unwrap());
            }
        });
    }

    /// As [`Scenario::publish`], with online members receiving, and over as many connections
    /// as needed; `meanwhile` runs in parallel.
    pub fn insist(&mut self, port: u16, count: u64, meanwhile: impl FnOnce()) {
        let topics: Vec<_> = self.publishers.iter().map(Publisher::topic).collect();
        let online = self.members.iter_mut().filter(|member| member.online && !member.shared);
        let online: Vec<_> = online.map(|member| &mut member.subscriber).collect();
        thread::scope(|scope| {
            for publisher in &mut self.publishers {
                scope.spawn(move || while publisher.run(port, count).is_err() {});
            }
            for subscriber in online {
                let has_all = |it: &Subscriber| topics.iter().all(|topic| it.has(topic, count));
                scope.spawn(move || {
                    let mut attempt = || {
                        let mut client = subscriber.connect(port)?;
                        subscriber.run(&mut client, has_all)
                    };
                    while attempt().is_err() {}
                });
            }
            meanwhile();
        });
    }

    /// After the fault: checks the sessions, lets the publishers resume until everything is
    /// acknowledged, and drains the subscribers. Counts what they received.
    pub fn drain_and_count(&mut self, port: u16) -> Tally {
        let acknowledged = self.acknowledged();
        let (gone, lost) = self.gone(port);
        if gone > 0 {
            return Tally { acknowledged, lost, gone, ..Tally::default() };
        }
        let stale = self.stale(port);
        self.finish(port);
        self.drain(port);
        Tally { acknowledged, stale, ..self.count() }
    }

    /// Counts missing sessions, and messages acknowledged for them.
    fn gone(&self, port: u16) -> (u64, u64) {
        let missing = |name: &str, version: u8| {
            !Raw::connect(port, version, name, false).unwrap().session_present
        };
        let members = self.members.iter().map(|member| &member.subscriber);
        let members = members.filter(|who| missing(&who.name, who.version)).count() as u64;
        let started = self.publishers.iter().filter(|publisher| publisher.next > 0);
        let publishers = started.filter(|who| missing(&who.name, who.version)).count() as u64;
        (members + publishers, members * self.acknowledged())
    }

    /// The publishers resume their sessions; each sends one more message.
    pub fn finish(&mut self, port: u16) {
        thread::scope(|scope| {
            for publisher in &mut self.publishers {
                scope.spawn(move || publisher.run(port, publisher.next + 1).unwrap());
            }
        });
    }

    /// Drains each member in turn until it has its mark, which was queued last.
    pub fn drain(&mut self, port: u16) {
        self.mark += 1;
        for member in &mut self.members {
            let topic = mark_topic(&member.subscriber.name);
            send_mark(port, &topic, self.mark);
            let mut client = member.subscriber.connect(port).unwrap();
            let count = self.mark + 1;
            member.subscriber.run(&mut client, |subscriber| subscriber.has(&topic, count)).unwrap();
        }
    }

    /// Drains each member in turn until it has everything that was published, and for a moment
    /// longer. For a disk without room for a mark.
    pub fn drain_without_marks(&mut self, port: u16) {
        let ends: Vec<_> = self.publishers.iter().map(|it| (it.topic(), it.next)).collect();
        for member in &mut self.members {
            let mut client = member.subscriber.connect(port).unwrap();
            let done = |it: &Subscriber| ends.iter().all(|(topic, count)| it.has(topic, *count));
            member.subscriber.run(&mut client, done).unwrap();
            // What arrives after the last message.
            client.patience(std::time::Duration::from_secs(1));
            member.subscriber.run(&mut client, |_| false).unwrap_err();
        }
    }

    /// Compares what the receivers have with what was published.
    pub fn count(&self) -> Tally {
        let mut tally = Tally { acknowledged: self.acknowledged(), ..Tally::default() };
        for publisher in &self.publishers {
            for member in self.members.iter().filter(|member| !member.shared) {
                count(publisher, &[member], &mut tally);
            }
            let group: Vec<_> = self.members.iter().filter(|member| member.shared).collect();
            if !group.is_empty() {
                count(publisher, &group, &mut tally);
            }
        }
        tally
    }

    /// Topics whose retained message is older than an acknowledged one.
    fn stale(&self, port: u16) -> u64 {
        let behind = |publisher: &&Publisher| {
            let retained = retained(port, &publisher.topic());
            publisher.retain && retained < publisher.highest
        };
        self.publishers.iter().filter(behind).count() as u64
    }
}

fn mark_topic(name: &str) -> String {
    format!("mark/{name}")
}

fn send_mark(port: u16, topic: &str, number: u64) {
    let mut marker = Raw::connect(port, 4, "marker", true).unwrap();
    let payload = number.to_be_bytes().to_vec();
    let mut out = Vec::new();
    let mark = Publish { dup: false, qos: 1, pid: 1, topic: topic.into(), payload };
    raw::publish(&mut out, 4, &mark);
    marker.send(&out).unwrap();
    assert_eq!(marker.recv().unwrap(), Packet::PubAck(1, 0));
}

/// The sequence number in the retained message of a topic.
fn retained(port: u16, topic: &str) -> Option<u64> {
    let mut client = Raw::connect(port, 4, "observer", true).unwrap();
    client.subscribe(topic, 0).unwrap();
    let first = client.until_ping().unwrap().into_iter().next();
    first.map(|packet| match packet {
        Packet::Publish(message) => u64::from_be_bytes(message.payload[..8].try_into().unwrap()),
        other => panic!("unexpected {other:?}"),
    })
}

/// Counts what a receiver, one member or a whole group, has of a publisher.
fn count(publisher: &Publisher, receiver: &[&Member], tally: &mut Tally) {
    let accounts: Vec<_> = receiver
        .iter()
        .filter_map(|member| member.subscriber.accounts.get(&publisher.topic()))
        .collect();
    for sequence in 0..usize::try_from(publisher.next).unwrap() {
        let times = accounts.iter().filter_map(|account| account.times.get(sequence)).sum::<u32>();
        tally.lost += u64::from(times == 0);
        let more = u64::from(times.saturating_sub(1));
        if publisher.qos == 2 {
            tally.twice += more;
        } else {
            tally.repeated += more;
        }
    }
    // At QoS 1, a repeat may go to another member of the group.
    if publisher.qos == 1 && receiver.len() > 1 {
        return;
    }
    tally.disordered +=
        accounts.iter().map(|account| account.out_of_order.len() as u64).sum::<u64>();
}
