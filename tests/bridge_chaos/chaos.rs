//! One run: publishers, two brokers with a bridge between them, subscribers, and faults while
//! messages are under way. Then all faults end, and everything has to arrive.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::broker::Broker;
use crate::common::rng::Rng;
use crate::fault::{Counts, Fault};
use crate::flow::{DOWN, DOWN_PUBLISHERS, Flow, UP, UP_PUBLISHERS, publish};
use crate::link::{Link, Way};
use crate::receiver::{End, Progress, Session};
use crate::remote::Remote;
use crate::tally::Tally;

/// How long a fault waits for messages on the link, so that it does not strike an idle one.
const FLOW: Duration = Duration::from_secs(3);
/// How long nothing may arrive at the end before what is missing counts as lost.
const PATIENCE: Duration = Duration::from_secs(12);
/// Two looks at what has arrived are so far apart.
const LOOK: Duration = Duration::from_millis(250);
/// Bytes of a message on the link, at least.
const MESSAGE: u64 = 80;

pub struct Chaos {
    pub edge: Broker,
    pub remote: Remote,
    link: Link,
    rng: Rng,
    counts: Counts,
    progress: Progress,
    /// Bytes that each step sends to the remote broker.
    portion: u64,
}

/// What has arrived, and what was done meanwhile.
pub struct Outcome {
    /// From the edge to the remote broker.
    pub up: Tally,
    /// The other way.
    pub down: Tally,
    pub dead_letters: f64,
    pub seconds: f64,
    pub counts: Counts,
}

impl Chaos {
    /// Starts the edge broker, with a bridge to the remote broker.
    pub fn begin(mut edge: Broker, remote: Remote, rng: Rng) -> Self {
        let link = Link::to(remote.port());
        for (key, value) in [
            ("ADDRESSES", format!("[\"mqtt://127.0.0.1:{}\"]", link.port)),
            ("FORWARD", format!("[{{ filter = \"{UP}\" }}]")),
            ("SUBSCRIBE", format!("[{{ filter = \"{DOWN}\" }}]")),
            ("MAX_BACKOFF", "1s".into()),
            ("KEEP_ALIVE", "1s".into()),
            ("ACK_TIMEOUT", "1s".into()),
        ] {
            edge.set(&format!("FERRYMQ_BRIDGES__UP__{key}"), &value);
        }
        edge.up();
        let (counts, progress) = (Counts::default(), Progress::default());
        Self { edge, remote, link, rng, counts, progress, portion: 0 }
    }

    /// Publishes as many messages while these faults occur one after the other. Messages go
    /// back as well if the remote broker is a FerryMQ.
    pub fn run(mut self, messages: u64, faults: &[Fault]) -> Outcome {
        let started = Instant::now();
        let ends = (self.edge.port, self.remote.port());
        let session = self.remote.session();
        let is_two_way = session == Session::Durable;
        let publishers = UP_PUBLISHERS.len() + if is_two_way { DOWN_PUBLISHERS.len() } else { 0 };
        let each = messages.div_ceil(publishers as u64);
        let steps = faults.len() as u64;
        self.portion = (each * UP_PUBLISHERS.len() as u64 * MESSAGE / steps).max(2);
        let mut flows = vec![Flow::new(ends, UP, UP_PUBLISHERS, session, each)];
        if is_two_way {
            let ends = (ends.1, ends.0);
            flows.push(Flow::new(ends, DOWN, DOWN_PUBLISHERS, session, each));
        }
        self.remote.await_bridge();
        let progress = std::mem::take(&mut self.progress);
        thread::scope(|scope| {
            let _end = End(&progress);
            let mut sides = Vec::new();
            for Flow { port, publishers, online, .. } in &mut flows {
                let progress = &progress;
                scope.spawn(move || online.run(progress));
                sides.push((*port, publishers));
            }
            self.await_subscribed(&progress, 0);
            for (step, fault) in (1..).zip(faults) {
                let limit = each * step / steps;
                thread::scope(|scope| {
                    for (port, publishers) in &mut sides {
                        let port = *port;
                        for publisher in publishers.iter_mut() {
                            scope.spawn(move || publish(publisher, port, limit));
                        }
                    }
                    self.strike(*fault, &progress);
                });
            }
            self.settle(&progress, sides.len() as u64);
        });
        for receiver in flows.iter_mut().filter_map(|flow| flow.offline.as_mut()) {
            receiver.drain(PATIENCE);
        }
        Outcome {
            up: flows[0].tally(),
            down: flows.get(1).map_or_else(Tally::default, Flow::tally),
            dead_letters: self.edge.metric("ferrymq_bridge_dead_letters_total"),
            seconds: started.elapsed().as_secs_f64(),
            counts: self.counts,
        }
    }

    /// Lets a fault occur while messages are on the link, and ends it.
    fn strike(&mut self, fault: Fault, progress: &Progress) {
        let after = self.rng.between(1, self.portion);
        self.counts.add(fault);
        if fault == Fault::Cut {
            return self.link.cut_after(after, FLOW);
        }
        self.link.await_passed(after, FLOW);
        match fault {
            Fault::Cut => {}
            Fault::Stall => {
                self.link.stall(true);
                self.meanwhile(1000);
                self.link.stall(false);
            }
            // They last until both ends have given up the connection.
            Fault::SilentToRemote => self.link.silence(Way::ToRemote),
            Fault::SilentToBridge => self.link.silence(Way::ToBridge),
            Fault::Throttle => {
                self.link.throttle(Some(self.rng.between(2_000, 100_000)));
                self.meanwhile(1000);
                self.link.throttle(None);
            }
            Fault::KillEdge => self.kill_edge(),
            Fault::KillRemote => self.remote.kill(),
            Fault::RestartRemote => {
                // At QoS 0 nothing waits for a subscriber that is slower than the bridge.
                let before = progress.subscribed.load(Ordering::SeqCst);
                self.link.refuse(self.remote.session() == Session::New);
                self.remote.restart();
                self.await_subscribed(progress, before);
                self.link.refuse(false);
            }
        }
    }

    /// Time passes while a fault lasts; sometimes the edge broker is killed meanwhile.
    fn meanwhile(&mut self, most: u64) {
        thread::sleep(Duration::from_millis(self.rng.between(50, most)));
        if self.rng.percent(30) {
            self.counts.add(Fault::KillEdge);
            self.kill_edge();
        }
    }

    fn kill_edge(&mut self) {
        self.edge.kill();
        self.edge.up();
    }

    fn await_subscribed(&self, progress: &Progress, before: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.remote.session() == Session::New
            && progress.subscribed.load(Ordering::SeqCst) == before
        {
            assert!(Instant::now() < deadline, "the subscriber does not come back");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until everything has arrived and the bridge has nothing left, or nothing moves.
    fn settle(&self, progress: &Progress, receivers: u64) {
        let (mut last, mut deadline) = (0, Instant::now() + PATIENCE);
        let mut looks_alike = 0;
        while looks_alike < 2 && Instant::now() < deadline {
            thread::sleep(LOOK);
            let received = progress.received.load(Ordering::SeqCst);
            let is_done = progress.complete.load(Ordering::SeqCst) == receivers
                && self.edge.metric("ferrymq_bridge_queued_messages") == 0.0;
            if received != last {
                (last, deadline) = (received, Instant::now() + PATIENCE);
                looks_alike = 0;
            } else if is_done {
                looks_alike += 1;
            }
        }
    }
}
