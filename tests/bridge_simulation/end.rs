//! The end of a history: no more faults, everybody acts, and everything must come to rest, with
//! empty queues and nothing held.

use crate::link::Cut;
use crate::node::Node;
use crate::run::Run;
use crate::shape::{EDGE, LARGE, REMOTE};

/// Brokers that need more rounds do not come to rest.
const ROUNDS: usize = 3_000;
/// Bytes that the sessions of a broker may take without connections and messages: their tables
/// and empty queues keep some room.
const IDLE: u64 = 96 << 10;

impl Run {
    /// Lets all progress happen until nobody waits for anything.
    pub(super) async fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..ROUNDS {
            self.model.step += 1;
            let busy = self.round();
            self.ends_are_noticed();
            if busy {
                quiet = 0;
                // A client that is refused again and again must not keep time from passing.
                self.time_passes(50).await;
                continue;
            }
            quiet += 1;
            if quiet > 3 && self.waits().is_empty() {
                return;
            }
            // Timers, such as the keep alive of a connection whose other end is gone.
            self.time_passes(1_000).await;
        }
        panic!("NOT AT REST: {}\n{}", self.waits(), self.describe());
    }

    /// True if there was progress.
    fn round(&mut self) -> bool {
        let mut busy = false;
        for index in 0..self.clients.len() {
            if !self.clients[index].has_connection() {
                self.connect(index);
                busy = true;
            }
        }
        for at in [EDGE, REMOTE] {
            if let Some(bridge) = self.bridges[at].as_ref().filter(|bridge| bridge.is_stopped()) {
                bridge.resume();
            }
            busy |= self.dial(at);
        }
        for _ in 0..64 {
            let mut moved = false;
            for at in [EDGE, REMOTE] {
                let node = self.nodes[at].as_mut().expect("a broker");
                for _ in 0..64 {
                    if !node.poll_some(&mut self.rng) {
                        break;
                    }
                    moved = true;
                }
            }
            for bridge in self.bridges.iter_mut().flatten() {
                for link in bridge.links() {
                    moved |= link.carry(usize::MAX);
                    moved |= link.tell(Cut::Reset);
                }
            }
            for index in 0..self.clients.len() {
                moved |= self.exchange(index);
                while self.clients[index].acknowledge() {
                    moved = true;
                }
            }
            busy |= moved;
            if !moved {
                break;
            }
        }
        for at in [EDGE, REMOTE] {
            busy |= !self.node(at).is_idle();
            self.node(at).commit(true);
            self.node(at).background();
        }
        busy
    }

    /// Who waits for what, as text; empty if nobody waits.
    fn waits(&self) -> String {
        let mut all: Vec<String> =
            self.clients.iter().map(crate::client::Client::waits_for).collect();
        for node in self.nodes.iter().flatten() {
            let (queued, in_flight) = (node.broker.queued(), node.broker.in_flight());
            if queued + in_flight > 0 {
                all.push(format!(
                    "{queued} deliveries, {in_flight} in flight, of broker {}",
                    node.at
                ));
            }
            all.push(node.rows());
        }
        for bridge in self.bridges.iter().flatten() {
            if !bridge.is_open() {
                all.push(format!("no connection of the bridge of broker {}", bridge.at));
            }
        }
        all.retain(|line| !line.is_empty());
        all.join("; ")
    }

    /// The state as text, for debugging.
    fn describe(&self) -> String {
        let mut lines = vec![format!("{:?}", self.shape)];
        lines.extend(self.clients.iter().map(crate::client::Client::describe));
        lines.extend(self.nodes.iter().flatten().map(crate::node::Node::describe));
        lines.extend(self.bridges.iter().flatten().map(crate::bridge::Bridge::describe));
        lines.join("\n")
    }

    pub(super) async fn finish(&mut self) {
        self.say(|| "the end begins".into());
        for bridge in self.bridges.iter_mut().flatten() {
            bridge.links().for_each(|link| link.stall(false, false));
        }
        if self.bridges.iter().flatten().any(crate::bridge::Bridge::stops_at_refusals) {
            // Its operator has the remote broker take larger packets.
            self.max_packet = LARGE;
            self.crash(REMOTE);
        }
        self.settle().await;
        self.check_gauges();
        self.check_model();
        // The next messages are not stuck behind anything.
        for index in 0..self.clients.len() {
            if self.clients[index].may_publish() {
                self.probe(index);
            }
        }
        self.settle().await;
        self.check_model();
        self.check_memory();
        // Most histories had crashes, and each start takes time.
        if self.rng.percent(30) {
            self.crash(EDGE);
            self.crash(REMOTE);
            self.settle().await;
            self.check_gauges();
            self.check_model();
        }
        self.summary.dead_letters +=
            self.nodes.iter().flatten().map(|node| node.dead_letters().len() as u64).sum::<u64>();
    }

    fn check_model(&self) {
        let dead: Vec<_> = self.nodes.iter().flatten().flat_map(Node::dead_letters).collect();
        self.model.check_end(&self.shape, &dead);
    }

    /// Gauges that are kept by increments must equal the sums over the sessions.
    fn check_gauges(&self) {
        for node in self.nodes.iter().flatten() {
            let counted = node.broker.metrics.messages.in_flight.get();
            assert_eq!(counted, 0, "GAUGE: messages in flight of broker {}", node.at);
        }
    }

    /// Without connections and messages, little more is charged than what sessions take.
    fn check_memory(&mut self) {
        for index in 0..self.clients.len() {
            self.client_is_cut(index);
        }
        for link in self.bridges.iter_mut().flatten().flat_map(crate::bridge::Bridge::links) {
            link.breaks(&mut self.rng);
            link.tell(Cut::Closed);
        }
        for node in self.nodes.iter_mut().flatten() {
            while node.poll_some(&mut self.rng) || !node.is_idle() {
                node.commit(true);
            }
            let held = node.broker.memory();
            assert!(held <= IDLE, "MEMORY: {held} bytes are charged at broker {}", node.at);
        }
    }
}
