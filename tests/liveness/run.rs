//! One history per seed: each next event is drawn at random.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::carrier::Carriers;
use crate::client::{Acknowledging, Client, Reading};
use crate::common::rng::Rng;
use crate::engine::Engine;
use crate::model::Model;
use crate::shape::Shape;
use crate::stream::{ClientEnd, pair};
use crate::wire::Wire;

/// The result of a history.
#[derive(Debug, Default, Clone, Copy)]
pub struct Summary {
    pub accepted: u64,
    pub received: u64,
    pub connections: u64,
    pub rests: u64,
}

impl AddAssign<&Self> for Summary {
    fn add_assign(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.received += other.received;
        self.connections += other.connections;
        self.rests += other.rests;
    }
}

pub struct Run {
    pub(super) rng: Rng,
    pub(super) shape: Shape,
    pub(super) engine: Rc<Engine>,
    carriers: Carriers,
    pub(super) clients: Vec<Client>,
    /// Connections that their clients have abandoned, whose bytes may still arrive.
    pub(super) left: Vec<Wire>,
    /// The client's end of every connection that the broker serves, with its client's index.
    pub(super) ends: BTreeMap<u64, (usize, ClientEnd)>,
    pub(super) next_number: u64,
    pub(super) now: u64,
    pub(super) model: Model,
    pub(super) rests: u64,
    pub(super) trace: bool,
}

const TOPICS: &[&str] = &["t/0", "t/0", "t/1", "u/0", "nobody"];
const FILTERS: &[&str] = &["t/0", "t/+", "t/#", "u/#", "#", "$share/g/u/0"];

/// Plays the history of `seed`. Panics if a promise is broken.
pub fn play(seed: u64, trace: bool) -> Summary {
    on_paused_time(history(seed, trace))
}

/// Runs a history that advances time by hand.
pub fn on_paused_time<T>(history: impl Future<Output = T>) -> T {
    // The runtime's clock stops at the same moment as the broker's.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    // Not within `block_on`, where a task that is to be polled after others would be woken only
    // when the history waits.
    let _entered = runtime.enter();
    let mut history = pin!(history);
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
    let count = rng.index(6) + 3;
    let mut clients: Vec<_> = (0..count).map(|index| Client::new(index, &mut rng)).collect();
    for client in &mut clients {
        if rng.percent(20) {
            client.becomes_server(&mut rng);
        }
    }
    let mut run = Run::begin(seed, rng, shape, clients, trace);
    for _ in 0..run.rng.between(100, 500) {
        run.step().await;
    }
    run.finish().await;
    Summary {
        accepted: run.model.accepted,
        received: run.model.received,
        connections: run.next_number - 1,
        rests: run.rests,
    }
}

impl Run {
    /// A broker, and clients without connections.
    pub fn begin(seed: u64, mut rng: Rng, shape: Shape, clients: Vec<Client>, trace: bool) -> Self {
        let engine = Engine::start(seed, &shape, rng.fork());
        let mut model = Model::default();
        model.trace = trace;
        for client in &clients {
            model.add_receiver(client.max_packet);
        }
        let run = Self {
            rng,
            carriers: Carriers::new(shape.carrier),
            shape,
            engine,
            clients,
            left: Vec::new(),
            ends: BTreeMap::new(),
            next_number: 1,
            now: 0,
            model,
            rests: 0,
            trace,
        };
        run.say(|| format!("{:?}", run.shape));
        for client in &run.clients {
            run.say(|| format!("{client:?}"));
        }
        run
    }

    pub(super) fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:5} {:>7} ms  {}", self.model.step, self.now, what());
        }
    }

    async fn step(&mut self) {
        self.model.step += 1;
        match self.rng.between(0, 1000) {
            0..=349 => self.client_acts(),
            350..=549 => self.bytes_move(),
            550..=759 => {
                self.engine.poll_some();
            }
            760..=839 => {
                let with_held = self.rng.percent(50);
                self.engine.commit(with_held);
            }
            840..=869 => self.habits_change(),
            870..=899 => {
                let millis = *self.rng.pick(&[1, 20, 300, 1_000, 2_000, 6_000]);
                self.time_passes(millis).await;
            }
            900..=914 => self.engine.world.background(),
            915..=944 => self.connection_ends(),
            945..=954 if self.shape.disk_fills => {
                let full = self.rng.percent(50);
                self.say(|| format!("the disk is full: {full}"));
                self.engine.world.set_disk_full(full);
            }
            955..=974 => {
                self.rest();
                self.nothing_was_forgotten();
            }
            975..=979 => self.service(false).await,
            980..=999 => {
                self.everybody_comes_and_publishes();
                self.rest();
                self.nothing_was_forgotten();
            }
            _ => {}
        }
        self.bury();
    }

    /// As after a network fault: some clients connect while others publish to them.
    fn everybody_comes_and_publishes(&mut self) {
        for index in 0..self.clients.len() {
            let publishes = self.rng.percent(40) && self.clients[index].may_ask();
            if publishes {
                let topic = *self.rng.pick(TOPICS);
                let qos = u8::try_from(*self.rng.pick(&[1, 2, 2])).unwrap();
                self.clients[index].publish(&mut self.model, topic, qos, 10);
            } else if self.rng.percent(50) {
                self.connect(index);
            }
            self.move_bytes(index);
        }
    }

    fn some_client(&mut self) -> usize {
        self.rng.index(self.clients.len())
    }

    fn client_acts(&mut self) {
        let index = self.some_client();
        if self.clients[index].wire.is_none() {
            if self.rng.percent(50) {
                self.connect(index);
            }
            return;
        }
        let (client, rng, model) = (&mut self.clients[index], &mut self.rng, &mut self.model);
        if !client.connected {
            return;
        }
        match rng.between(0, 100) {
            0..=49 if client.may_ask() => {
                for _ in 0..rng.between(1, 6) {
                    let qos = u8::try_from(*rng.pick(&[0, 1, 1, 2, 2])).unwrap();
                    let topic = *rng.pick(TOPICS);
                    let size = self.shape.payload_size(rng);
                    client.publish(model, topic, qos, size);
                }
            }
            50..=64 if client.may_ask() && !client.is_server() => {
                let qos = u8::try_from(*rng.pick(&[0, 1, 1, 2, 2])).unwrap();
                client.subscribe(model, filter(client, rng), qos);
            }
            65..=67 if client.may_ask() && !client.is_server() => {
                client.unsubscribe(model, filter(client, rng));
            }
            68..=77 if !client.is_server() => client.ping(),
            78..=94 => {
                for _ in 0..rng.between(1, 10) {
                    client.acknowledge();
                }
            }
            _ => {}
        }
    }

    /// Opens a new connection of a client, which takes over the session of an old one.
    pub(super) fn connect(&mut self, index: usize) {
        let number = self.next_number;
        self.next_number += 1;
        let nature = self.shape.nature(&mut self.rng);
        let (ours, theirs) = pair(nature, self.rng.fork());
        let client = &mut self.clients[index];
        let mut wire = Wire::new(number, ours.clone(), client.version, client.max_packet);
        wire = if client.is_server() {
            wire.dialled(client.max_packet)
        } else {
            wire.within(self.carriers.client(&mut self.rng))
        };
        if client.wire.is_some() {
            let left = client.lost(&mut self.model);
            self.left.extend(left);
        }
        let client = &mut self.clients[index];
        let job = match client.dialled() {
            None => self.carriers.serve(&self.engine.world, theirs),
            Some(dialled) => self.engine.world.dial(theirs, client.connect_packet(), dialled),
        };
        client.connect(wire);
        self.ends.insert(number, (index, ours));
        self.engine.spawn(number, job);
        self.say(|| format!("client {index} connects by connection {number}"));
    }

    fn bytes_move(&mut self) {
        let index = self.some_client();
        self.move_bytes(index);
        if !self.left.is_empty() {
            let left = self.rng.index(self.left.len());
            self.left[left].push();
        }
    }

    /// Lets one client write and read. True if there was progress.
    pub(super) fn move_bytes(&mut self, index: usize) -> bool {
        let client = &mut self.clients[index];
        let Some(wire) = &mut client.wire else { return false };
        let mut any = wire.push();
        any |= client.take_arrived(&mut self.model, &self.shape);
        let over = client.wire.as_ref().is_some_and(|wire| wire.end.is_finished());
        if over && let Some(wire) = client.lost(&mut self.model) {
            wire.end.close();
            self.say(|| format!("the broker has closed connection {}", wire.number));
            any = true;
        }
        any
    }

    fn habits_change(&mut self) {
        let index = self.some_client();
        let client = &mut self.clients[index];
        let slowly = Reading::Slowly(*self.rng.pick(&[10, 1_000, 50_000]));
        client.reading = *self.rng.pick(&[Reading::Everything, slowly, Reading::Nothing]);
        let habits = [Acknowledging::AtOnce, Acknowledging::Late, Acknowledging::Never];
        client.acknowledging = *self.rng.pick(&habits);
    }

    pub(super) async fn time_passes(&mut self, millis: u64) {
        self.now += millis;
        self.engine.world.advance(millis).await;
    }

    fn connection_ends(&mut self) {
        let index = self.some_client();
        if self.clients[index].wire.is_none() {
            return;
        }
        match self.rng.between(0, 7) {
            // It sends everything and continues to read.
            0 | 1 => {
                let client = &mut self.clients[index];
                if client.connected && client.may_disconnect() && self.rng.percent(70) {
                    client.disconnect();
                }
                client.wire.as_mut().expect("just seen").closes = true;
                self.say(|| format!("client {index} closes its half"));
            }
            2 => {
                self.say(|| format!("client {index} resets its connection"));
                if let Some(wire) = self.clients[index].lost(&mut self.model) {
                    wire.end.reset();
                }
            }
            3 => {
                self.say(|| format!("client {index} closes its connection"));
                if let Some(wire) = self.clients[index].lost(&mut self.model) {
                    wire.end.close();
                }
            }
            // The broker is not told.
            4 => {
                self.say(|| format!("the line of client {index} is dead"));
                self.clients[index].lost(&mut self.model);
            }
            _ => self.connect(index),
        }
    }

    /// Removes connections that the broker has dropped.
    pub(super) fn bury(&mut self) {
        self.ends.retain(|_, (_, end)| !end.is_dropped());
        self.left.retain(|wire| !wire.end.is_dropped());
    }
}

fn filter(client: &Client, rng: &mut Rng) -> &'static str {
    let shared = usize::from(client.version == ferrymq::protocol::Version::V5);
    FILTERS[rng.index(FILTERS.len() - 1 + shared)]
}
