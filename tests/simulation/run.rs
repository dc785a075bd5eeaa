//! One seed, one history: what happens next is drawn, and the model looks on.

use std::collections::BTreeMap;

use crate::client::Client;
use crate::common::dice::Dice;
use crate::disk::Fault;
use crate::model::Model;
use crate::wire::Link;
use crate::world::{Remains, Shape, Within, World};

/// A day in 2026, in milliseconds since 1970.
const BEGIN: u64 = 1_780_000_000_000;

/// What a history came to.
#[derive(Debug, Default, Clone, Copy)]
pub struct Summary {
    pub acknowledged: u64,
    pub received: u64,
    pub repeated: u64,
    pub kills: u64,
    pub power_cuts: u64,
    pub faults: u64,
}

impl Summary {
    pub fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.received += other.received;
        self.repeated += other.repeated;
        self.kills += other.kills;
        self.power_cuts += other.power_cuts;
        self.faults += other.faults;
    }
}

pub struct Run {
    pub(super) dice: Dice,
    pub(super) shape: Shape,
    pub(super) world: Option<World>,
    pub(super) now: u64,
    pub(super) clients: Vec<Client>,
    pub(super) links: BTreeMap<u64, Link>,
    pub(super) next_link: u64,
    pub(super) model: Model,
    pub(super) summary: Summary,
    pub(super) trace: bool,
}

/// Plays the history of `seed` to its end. Panics if a promise is broken.
pub fn play(seed: u64, trace: bool) -> Summary {
    let mut dice = Dice::from_seed(seed);
    let shape = Shape::of(&mut dice);
    let count = dice.index(5) + 3;
    let clients: Vec<_> = (0..count).map(|index| Client::new(index, &mut dice)).collect();
    let mut run = Run {
        shape,
        world: None,
        now: BEGIN,
        // One more for the observer at the end.
        model: Model::new(count + 1, trace),
        clients,
        links: BTreeMap::new(),
        next_link: 1,
        summary: Summary::default(),
        trace,
        dice,
    };
    run.say(|| format!("{:?}", run.shape));
    for client in &run.clients {
        run.say(|| format!("{client:?}"));
    }
    run.model.has_been_full = run.shape.max_size > 0;
    run.model.short_queues = run.shape.max_queued < 1000;
    run.model.scale = if run.shape.max_size > 0 { 12 } else { 1 };
    run.start(Remains::empty(seed));
    let steps = run.dice.between(150, 700);
    // Some histories are calm: a crash ends what only a long run would show.
    let violence = *run.dice.pick(&[0, 1, 2, 4]);
    for _ in 0..steps {
        run.step(violence);
    }
    run.finish();
    run.summary.acknowledged = run.model.totals.acknowledged;
    run.summary.received = run.model.totals.received;
    run.summary.repeated = run.model.totals.repeated;
    run.summary
}

impl Run {
    pub(super) fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:5} {:>9} ms  {}", self.model.step, self.now - BEGIN, what());
        }
    }

    /// `SIMULATION_WATCH=N`: where message N stands on the disk, step by step.
    pub(super) fn watch(&self) {
        if self.trace
            && let Ok(message) = std::env::var("SIMULATION_WATCH")
        {
            let wanted = format!("message Some({message}) ");
            let queues = self.world().queues();
            let found = queues.lines().filter(|line| line.contains(&wanted));
            self.say(|| {
                format!("on disk: {:?} {:?}", self.world().store.state(), found.collect::<Vec<_>>())
            });
        }
    }

    pub(super) fn world(&self) -> &World {
        self.world.as_ref().expect("a broker runs")
    }

    fn step(&mut self, violence: u64) {
        self.model.step += 1;
        self.watch();
        match self.dice.between(0, 1000) {
            0..=419 => self.client_acts(),
            420..=609 => self.turn_of_some_link(),
            610..=769 => self.client_reads(),
            770..=879 => self.commit(),
            880..=919 => self.time_passes(),
            920..=939 => self.world().broker.upkeep_once(),
            940..=954 => {
                let _ = self.world().store.step_idle();
            }
            955..=979 => self.line_is_cut(),
            980.. if !self.dice.percent(violence * 25) => {}
            980..=985 => self.disk_misbehaves(),
            986..=992 => self.crash(),
            993..=994 => self.shut_down(),
            _ => self.die_within_a_commit(),
        }
        self.check_gauges();
        if self.world().is_poisoned() {
            self.say(|| "the store is poisoned".into());
            self.crash();
        }
    }

    // Clients.

    fn client_acts(&mut self) {
        let index = self.dice.index(self.clients.len());
        let client = &mut self.clients[index];
        let Some(number) = client.link else {
            if client.is_durable() && self.dice.percent(4) {
                client.wants_new_session(&mut self.model);
                self.say(|| format!("client {index} wants a new session"));
            }
            if self.dice.percent(40) {
                self.connect(index);
            }
            return;
        };
        let link = self.links.get_mut(&number).expect("its link");
        if !client.connected {
            return;
        }
        let (dice, model) = (&mut self.dice, &mut self.model);
        match dice.between(0, 100) {
            0..=54 if client.may_publish() => {
                for _ in 0..dice.between(1, 5) {
                    client.publish(link, model, dice, self.now);
                }
            }
            55..=66 if client.may_publish() => client.subscribe(link, model, dice),
            67..=68 if client.may_publish() => client.unsubscribe(link, model, dice),
            69..=94 => {
                for _ in 0..dice.between(1, 10) {
                    client.acknowledge(link);
                }
            }
            95 => {
                client.disconnect(link, dice, self.now);
                self.say(|| format!("client {index} disconnects"));
            }
            _ => {}
        }
    }

    pub(super) fn connect(&mut self, index: usize) {
        let number = self.next_link;
        self.next_link += 1;
        let client = &mut self.clients[index];
        let link = client.connect(number, &mut self.model, &mut self.dice, self.now);
        self.links.insert(number, link);
        self.say(|| format!("client {index} connects, link {number}"));
    }

    fn some_link(&mut self) -> Option<u64> {
        let numbers: Vec<u64> = self.links.keys().copied().collect();
        (!numbers.is_empty()).then(|| *self.dice.pick(&numbers))
    }

    fn turn_of_some_link(&mut self) {
        if let Some(number) = self.some_link() {
            let frames = self.dice.index(12);
            self.turn(number, frames);
        }
    }

    pub(super) fn turn(&mut self, number: u64, frames: usize) {
        let world = self.world.as_ref().expect("a broker runs");
        let Some(link) = self.links.get_mut(&number) else { return };
        link.turn(&world.broker, self.now, frames);
        for message in link.read.drain(..) {
            self.model.message_mut(message).read_at = self.now;
        }
        if link.closed {
            let owner = link.owner;
            let why = link.why.clone();
            self.say(|| format!("the broker has closed link {number} of client {owner}: {why}"));
        }
        self.bury(number);
    }

    /// A link that nobody uses any more.
    fn bury(&mut self, number: u64) {
        let Some(link) = self.links.get(&number) else { return };
        let used = self.clients.iter().any(|client| client.link == Some(number));
        if link.closed && !used {
            self.links.remove(&number);
        }
    }

    fn client_reads(&mut self) {
        let index = self.dice.index(self.clients.len());
        let count = self.dice.index(8) + 1;
        self.read(index, count);
    }

    /// True if something was there.
    pub(super) fn read(&mut self, index: usize, count: usize) -> bool {
        let client = &mut self.clients[index];
        let Some(number) = client.link else { return false };
        let link = self.links.get_mut(&number).expect("its link");
        let mut any = false;
        for _ in 0..count {
            let Some(got) = link.to_client.pop_front() else { break };
            if self.trace {
                println!("{:5} client {index} got {got:?}", self.model.step);
            }
            client.on(&got, link, &mut self.model, self.now);
            any = true;
        }
        if link.closed && link.to_client.is_empty() {
            let since = link.closed_at.min(self.now);
            client.lost(&mut self.model, since);
            self.links.remove(&number);
            any = true;
        }
        any
    }

    fn line_is_cut(&mut self) {
        let index = self.dice.index(self.clients.len());
        self.cut(index);
    }

    pub(super) fn cut(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let Some(number) = client.link else { return };
        let link = self.links.get_mut(&number).expect("its link");
        let since = link.closed_at.min(self.now);
        link.cut = true;
        link.to_client.clear();
        // Some of what was under way still arrives; not a CONNECT behind one that was sent
        // later.
        let unknown = link.server.is_none();
        let arrives = if unknown { 0 } else { self.dice.index(link.to_server.len() + 1) };
        link.to_server.truncate(arrives);
        client.lost(&mut self.model, since);
        self.say(|| format!("the line of client {index}, link {number}, is cut"));
        self.bury(number);
    }

    // The broker.

    fn commit(&mut self) {
        let held = self.dice.percent(50);
        if self.dice.percent(70) {
            self.world().step(held);
            return;
        }
        // Others act while the batch is being written.
        let told = self.world().step_with_witness(held);
        while let Ok(Within::Reached(go_on)) = told.recv() {
            for _ in 0..self.dice.between(0, 6) {
                match self.dice.between(0, 3) {
                    0 => self.client_acts(),
                    1 => self.turn_of_some_link(),
                    _ => self.client_reads(),
                }
            }
            let _ = go_on.send(());
        }
    }

    fn time_passes(&mut self) {
        let millis = *self.dice.pick(&[1, 5, 20, 100, 1_000, 6_000, 40_000, 3_600_000]);
        self.now += millis;
        self.world().advance(millis);
    }

    // Misfortune.

    fn disk_misbehaves(&mut self) {
        let after = self.dice.between(0, 20);
        let fault = match self.dice.between(0, 6) {
            0 | 1 => None,
            2 => Some(Fault::Sync(after)),
            3 => Some(Fault::Write(after)),
            4 => Some(Fault::Read(after)),
            _ => Some(Fault::Full),
        };
        self.summary.faults += u64::from(fault.is_some());
        self.say(|| format!("the disk: {fault:?}"));
        self.model.has_been_full |= fault == Some(Fault::Full);
        self.world().disk.set_fault(fault);
    }

    fn die_within_a_commit(&mut self) {
        let after = self.dice.between(0, 12);
        self.world().disk.set_fault(Some(Fault::Death(after)));
        let held = self.dice.percent(50);
        self.world().step(held);
        self.say(|| format!("death after {after} more changes"));
        self.crash();
    }

    pub(super) fn crash(&mut self) {
        self.end_links();
        let world = self.world.take().expect("a broker runs");
        let remains = world.kill();
        let remains = if self.dice.percent(50) {
            self.summary.power_cuts += 1;
            self.say(|| "the power is cut".into());
            remains.without_power(&mut self.dice)
        } else {
            self.summary.kills += 1;
            self.say(|| "the broker is killed".into());
            remains
        };
        self.start(remains);
    }

    /// What has left the broker may still arrive; then every line is dead.
    fn end_links(&mut self) {
        for index in 0..self.clients.len() {
            let count = self.dice.index(20);
            self.read(index, count);
            self.cut(index);
        }
        self.links.clear();
    }

    fn shut_down(&mut self) {
        self.say(|| "the broker is stopped".into());
        self.world().broker.shut_down();
        for number in self.links.keys().copied().collect::<Vec<_>>() {
            self.turn(number, 3);
        }
        self.end_links();
        let world = self.world.take().expect("a broker runs");
        let remains = world.shut_down();
        self.start(remains);
    }

    fn start(&mut self, remains: Remains) {
        self.now += self.dice.between(0, 5_000);
        let unlucky = self.dice.percent(5);
        if unlucky {
            let after = self.dice.between(0, 30);
            let fault = *self.dice.pick(&[
                Fault::Sync(after),
                Fault::Write(after),
                Fault::Read(after),
                Fault::Death(after),
            ]);
            self.say(|| format!("a start with {fault:?}"));
            remains.disk().set_fault(Some(fault));
        }
        match remains.start(&self.shape, self.now) {
            Ok(world) => {
                self.world = Some(world);
                self.say(|| format!("started with\n{}", self.world().queues()));
                // Whatever did not strike by now is over.
                self.world().disk.set_fault(None);
                if self.world().disk.is_dead() || self.world().is_poisoned() {
                    self.crash();
                }
            }
            Err((remains, why)) => {
                assert!(unlucky, "the broker does not start: {why}");
                let cut = self.dice.percent(50);
                let remains = if cut { remains.without_power(&mut self.dice) } else { remains };
                self.start(remains);
            }
        }
    }
}
