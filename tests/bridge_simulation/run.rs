//! One history per seed: each next event is drawn at random, and the model follows it.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::bridge::Bridge;
use crate::client::Client;
use crate::common::rng::Rng;
use crate::model::Model;
use crate::node::Node;
use crate::place::Place;
use crate::shape::{EDGE, NEAR, REMOTE, Shape};
use crate::stream::pair;
use crate::summary::Summary;

/// A day in 2026, in milliseconds since 1970.
const BEGIN: u64 = 1_780_000_000_000;

pub struct Run {
    pub(super) rng: Rng,
    pub(super) shape: Shape,
    /// `None` only within a crash.
    pub(super) nodes: [Option<Node>; 2],
    pub(super) bridges: [Option<Bridge>; 2],
    pub(super) clients: Vec<Client>,
    pub(super) model: Model,
    pub(super) summary: Summary,
    /// The largest packet that the remote broker takes.
    pub(super) max_packet: u32,
    pub(super) now: u64,
    trace: bool,
}

/// Plays the history of `seed`. Panics if a promise is broken.
pub fn play(seed: u64, trace: bool) -> Summary {
    // The runtime's clock stops at the same moment as the brokers'.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let mut history = pin!(history(seed, trace));
    loop {
        if let Poll::Ready(result) = history.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        {
            return result;
        }
        // It waits for time that has been advanced: timers fire here.
        runtime.block_on(tokio::task::yield_now());
    }
}

async fn history(seed: u64, trace: bool) -> Summary {
    let mut rng = Rng::from_seed(seed);
    let shape = Shape::of(&mut rng);
    let mut clients = Vec::new();
    for at in [EDGE, REMOTE] {
        clients.push(Client::new(clients.len(), at, true, &mut rng));
        for _ in 0..rng.between(1, 3) {
            clients.push(Client::new(clients.len(), at, false, &mut rng));
        }
    }
    let mut run = Run {
        max_packet: shape.max_packet,
        shape,
        nodes: [None, None],
        bridges: [None, None],
        clients,
        model: Model::default(),
        summary: Summary::default(),
        now: BEGIN,
        trace,
        rng,
    };
    run.say(|| format!("{:?}", run.shape));
    for client in &run.clients {
        run.say(|| client.describe());
    }
    for at in [EDGE, REMOTE] {
        run.start(at, Place::empty(seed), Vec::new());
    }
    // Everybody is subscribed before the first message.
    run.settle().await;
    for _ in 0..run.rng.between(150, 500) {
        run.step().await;
    }
    run.finish().await;
    Summary {
        acknowledged: run.model.acknowledged,
        received: run.model.received,
        repeated: run.model.repeated,
        refused: run.model.refused,
        crashes: run.model.crashes,
        cuts: run.model.cuts,
        ..run.summary
    }
}

impl Run {
    pub(super) fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:5} {:>7} ms  {}", self.model.step, self.now - BEGIN, what());
        }
    }

    pub(super) fn node(&mut self, at: usize) -> &mut Node {
        self.nodes[at].as_mut().expect("a broker")
    }

    fn some_broker(&mut self) -> usize {
        *self.rng.pick(&[EDGE, REMOTE])
    }

    async fn step(&mut self) {
        self.model.step += 1;
        let at = self.some_broker();
        match self.rng.between(0, 1000) {
            0..=299 => self.client_acts(),
            300..=499 => self.tasks_run(at),
            500..=719 => self.links_carry(),
            720..=829 => {
                let with_held = self.rng.percent(60);
                self.node(at).commit(with_held);
            }
            830..=859 => {
                let millis = *self.rng.pick(&[1, 20, 300, 1_000, 6_000, 40_000]);
                self.time_passes(millis).await;
            }
            860..=879 => self.node(at).background(),
            880..=939 => self.bridges_act(),
            940..=954 => {
                let index = self.rng.index(self.clients.len());
                self.client_is_cut(index);
            }
            _ => {
                if self.rng.between(0, 1000) < 20 * self.shape.cuts {
                    self.link_fails();
                }
            }
        }
        if self.rng.between(0, 1000) < self.shape.crashes {
            self.dies(at);
        }
        self.ends_are_noticed();
    }

    // Clients.

    pub(super) fn connect(&mut self, index: usize) {
        let (ours, theirs) = pair(NEAR, self.rng.fork());
        let client = &mut self.clients[index];
        client.connect(ours);
        let at = client.at;
        self.node(at).serve(theirs);
    }

    fn client_acts(&mut self) {
        let index = self.rng.index(self.clients.len());
        if !self.clients[index].has_connection() {
            if self.rng.percent(60) {
                self.connect(index);
            }
            return;
        }
        if self.clients[index].may_publish() && self.rng.percent(80) {
            for _ in 0..self.rng.between(1, 5) {
                self.publishes(index);
            }
        }
        for _ in 0..self.rng.between(0, 8) {
            self.clients[index].acknowledge();
        }
        self.exchange(index);
    }

    /// Publishes a message at QoS 1 on each topic.
    pub(super) fn probe(&mut self, index: usize) {
        for topic in topics(self.clients[index].at) {
            self.clients[index].publish(&mut self.model, topic, 1, 10);
        }
    }

    fn publishes(&mut self, index: usize) {
        let at = self.clients[index].at;
        let topic = *self.rng.pick(topics(at));
        let qos = u8::try_from(*self.rng.pick(&[0, 1, 1, 2, 2])).unwrap();
        let most = if at == EDGE && self.rng.percent(15) { 600 } else { 60 };
        let size = self.rng.index(most).max(4);
        let client = &mut self.clients[index];
        let id = client.publish(&mut self.model, topic, qos, size);
        self.say(|| format!("client {index} publishes {id}: {:?}", self.model.message(id)));
    }

    /// True if there was progress.
    pub(super) fn exchange(&mut self, index: usize) -> bool {
        let client = &mut self.clients[index];
        let mut any = client.exchange(&mut self.model, &self.shape, self.trace);
        if client.is_closed() {
            any = true;
            self.client_is_cut(index);
        }
        any
    }

    pub(super) fn client_is_cut(&mut self, index: usize) {
        if let Some(end) = self.clients[index].lost() {
            end.close();
            self.say(|| format!("the connection of client {index} ends"));
        }
    }

    // Bridges.

    fn tasks_run(&mut self, at: usize) {
        for _ in 0..self.rng.between(1, 8) {
            let node = self.nodes[at].as_mut().expect("a broker");
            node.poll_some(&mut self.rng);
        }
    }

    fn links_carry(&mut self) {
        let most = *self.rng.pick(&[1, 3, 50, 1_000, usize::MAX]);
        for bridge in self.bridges.iter_mut().flatten() {
            for link in bridge.links() {
                link.carry(most);
            }
        }
    }

    fn bridges_act(&mut self) {
        let at = self.rng.index(2);
        let percent = self.rng.between(0, 100);
        match &mut self.bridges[at] {
            Some(bridge) if bridge.is_stopped() && percent < 30 => {
                bridge.resume();
                self.say(|| format!("an operator resumes the bridge of broker {at}"));
            }
            Some(_) if percent < 70 => {
                self.dial(at);
            }
            _ => {}
        }
    }

    pub(super) fn dial(&mut self, at: usize) -> bool {
        let Some(bridge) = &mut self.bridges[at] else { return false };
        let [edge, remote] = &mut self.nodes;
        let (edge, remote) = (edge.as_mut().expect("it runs"), remote.as_mut().expect("it runs"));
        let nodes = if at == EDGE { (edge, remote) } else { (remote, edge) };
        let dials = bridge.dial(nodes, &self.shape, &mut self.rng);
        if dials {
            self.summary.dials += 1;
            self.say(|| format!("broker {at} dials"));
        }
        dials
    }

    pub(super) fn ends_are_noticed(&mut self) {
        for at in [EDGE, REMOTE] {
            let Some(bridge) = &mut self.bridges[at] else { continue };
            let end = bridge.notices_end();
            let stopped = bridge.is_stopped();
            bridge.old.retain(|link| !link.is_over());
            if let Some(end) = end {
                self.summary.stops += u64::from(stopped);
                self.say(|| format!("the connection of broker {at}'s bridge has ended: {end}"));
            }
        }
        for at in [EDGE, REMOTE] {
            if self.node(at).is_poisoned() {
                self.crash(at);
            }
        }
    }

    // Time.

    pub(super) async fn time_passes(&mut self, millis: u64) {
        self.now += millis;
        tokio::time::advance(Duration::from_millis(millis)).await;
        for node in self.nodes.iter().flatten() {
            node.advance(millis);
        }
    }
}

/// What is published at a broker.
fn topics(at: usize) -> &'static [&'static str] {
    match at {
        EDGE => &["s/0", "s/0", "s/1", "t/0", "x/0", "c/0"],
        _ => &["edge/c/0", "c/0", "c/0", "d/0", "s/0"],
    }
}
