//! One history per seed: each next event is drawn at random, and the model follows it.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::sync::Arc;

use crate::client::Client;
use crate::common::rng::Rng;
use crate::disk::Fault;
use crate::habits::Habits;
use crate::memory::GaveWay;
use crate::model::Model;
use crate::place::Place;
use crate::scheduler::{Outcome, Scheduler, Until, What};
use crate::wire::Link;
use crate::world::{Shape, World};

/// A day in 2026, in milliseconds since 1970.
const BEGIN: u64 = 1_780_000_000_000;

/// The result of a history.
#[derive(Debug, Default, Clone, Copy)]
pub struct Summary {
    pub acknowledged: u64,
    pub received: u64,
    pub repeated: u64,
    pub kills: u64,
    pub power_cuts: u64,
    pub faults: u64,
    /// Number of histories in which the store found no room on disk.
    pub full: u64,
    /// Number of times that an actor stopped at a yield point and others continued.
    pub interruptions: u64,
    pub memory: GaveWay,
}

impl AddAssign<&Self> for Summary {
    fn add_assign(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.received += other.received;
        self.repeated += other.repeated;
        self.kills += other.kills;
        self.power_cuts += other.power_cuts;
        self.faults += other.faults;
        self.full += other.full;
        self.interruptions += other.interruptions;
        self.memory += &other.memory;
    }
}

#[allow(clippy::struct_excessive_bools)] // Each is true or false by itself.
pub struct Run {
    pub(super) rng: Rng,
    pub(super) shape: Shape,
    pub(super) world: Option<World>,
    pub(super) now: u64,
    pub(super) clients: Vec<Client>,
    pub(super) links: BTreeMap<u64, Link>,
    pub(super) next_link: u64,
    pub(super) model: Model,
    pub(super) summary: Summary,
    pub(super) trace: bool,
    pub(super) habits: Habits,
    pub(super) actors: Scheduler,
    /// True if only commits are interrupted: then a failure has nothing to do with
    /// interleaving.
    pub(super) atomic: bool,
    /// Where the next actor stops.
    pub(super) stops: Option<Until>,
    /// True if no actor is stopped at a yield point.
    pub(super) undisturbed: bool,
    /// True if the broker was killed; actors that have begun only run to their end.
    pub(super) dead: bool,
    /// Remaining steps after an interleaving in which a crash is likely.
    tense: u64,
}

/// Plays the history of `seed`. Panics if a promise is broken.
pub fn play(seed: u64, trace: bool) -> Summary {
    let mut rng = Rng::from_seed(seed);
    // Not drawn at random, so that older histories stay as they were.
    let shape = Shape { store_wills: seed % 3 == 2, ..Shape::of(&mut rng) }.with_memory_of(seed);
    // Not drawn either; none of these seeds is a kept one.
    let resumes_briefly = matches!(seed % 20, 3 | 8 | 9);
    let habits = Habits { resumes_briefly, ..Habits::of(&mut rng) };
    let count = rng.index(5) + 3;
    let clients: Vec<_> = (0..count).map(|index| Client::new(index, habits, &mut rng)).collect();
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
        rng,
        habits,
        actors: Scheduler::default(),
        atomic: std::env::var_os("SIMULATION_ATOMIC").is_some(),
        stops: None,
        undisturbed: false,
        dead: false,
        tense: 0,
    };
    run.say(|| format!("{:?} {:?}", run.shape, run.habits));
    for client in &run.clients {
        run.say(|| format!("{client:?}"));
    }
    run.model.store_wills = run.shape.store_wills;
    run.model.short_queues = run.shape.max_queued < 1000;
    run.model.short_memory = run.shape.max_memory.is_some();
    run.model.volatile = run.shape.volatile;
    run.model.small_disk = run.shape.max_size > 0;
    let is_small = run.model.small_disk || run.model.short_memory;
    run.model.scale = if is_small { 12 } else { 1 };
    run.start(Place::empty(seed));
    let steps = run.rng.between(200, 1200);
    // Some histories have no crashes, which would hide faults that need a long run.
    let violence = *run.rng.pick(&[0, 1, 2, 4]);
    // Without persistence there is nothing to check after a crash.
    let violence = if run.shape.volatile { 0 } else { violence };
    for _ in 0..steps {
        run.step(violence);
    }
    run.finish();
    run.count_who_gave_way();
    run.summary.memory += &run.model.gave_way;
    run.summary.memory.end();
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

    /// `SIMULATION_WATCH=N`: prints at each step where message N is on disk, and what is
    /// retained on its topic.
    pub(super) fn watch(&self) {
        if self.trace
            && let Ok(message) = std::env::var("SIMULATION_WATCH")
        {
            let wanted = format!("message Some({message}) ");
            let message = message.parse().ok().and_then(|id: usize| self.model.messages.get(id));
            let topic = message.map_or("", |message| &message.topic);
            let retained = format!("retained on {topic}:");
            let queues = self.world().queues();
            let is_wanted = |line: &&str| line.contains(&wanted) || line.contains(&retained);
            let found = queues.lines().filter(is_wanted);
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
        if self.model.short_memory && self.rng.percent(20) {
            self.balance();
        }
        if self.actors.is_empty() {
            self.step_alone(violence);
        } else {
            self.step_between(violence);
            self.tense = if self.actors.is_empty() { 12 } else { 0 };
        }
        if self.actors.is_empty() {
            self.check_gauges();
        }
        if self.world().is_poisoned() {
            self.say(|| "the store is poisoned".into());
            self.crash();
        }
    }

    fn step_alone(&mut self, violence: u64) {
        if self.tense > 0 {
            self.tense -= 1;
            if self.tense == 0 && self.rng.percent(15) {
                self.compare_retained();
            }
            if violence > 0 && self.rng.between(0, 1000) < 12 {
                if self.rng.percent(60) {
                    self.commit();
                }
                self.crash();
                return;
            }
        }
        if self.rng.between(0, 1000) < self.habits.contests {
            return self.contest(violence);
        }
        match self.rng.between(0, 1000) {
            0..=249 if self.habits.interleaving > 0 => self.converse(),
            0..=419 => {
                let index = self.rng.index(self.clients.len());
                self.client_acts(index);
            }
            420..=609 => self.turn_of_some_link(),
            610..=769 => self.client_reads(),
            770..=869 => self.commit(),
            870..=909 => self.time_passes(),
            910..=934 => self.background(),
            935..=944 => self.operator_acts(),
            945..=954 => {
                let _ = self.world().store.step_idle();
            }
            955..=979 => self.line_is_cut(),
            980.. if !self.rng.percent(violence * 25) => {}
            980..=985 => self.disk_misbehaves(),
            986..=992 => self.crash(),
            993..=994 => self.shut_down(),
            _ => self.die_within_a_commit(),
        }
    }

    // Clients.

    #[allow(clippy::collapsible_match)] // A client that may not subscribe does nothing.
    pub(super) fn client_acts(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let Some(number) = client.link else {
            if client.is_durable() && self.rng.percent(self.habits.clean_starts) {
                client.wants_new_session(&mut self.model);
                self.say(|| format!("client {index} wants a new session"));
            }
            if self.rng.percent(40) {
                self.connect(index);
            }
            return;
        };
        let link = self.links.get_mut(&number).expect("its link");
        if !client.connected {
            return;
        }
        let (rng, model) = (&mut self.rng, &mut self.model);
        match rng.between(0, 100) {
            drawn if drawn < self.habits.subscribes => {
                if client.may_publish() {
                    client.subscribe(link, model, rng);
                }
            }
            drawn if drawn < self.habits.subscribes + self.habits.unsubscribes => {
                if client.may_publish() {
                    client.unsubscribe(link, model, rng);
                }
            }
            0..=68 => {
                for _ in 0..rng.between(1, self.habits.burst) {
                    if client.may_publish() {
                        client.publish(link, model, rng, self.now);
                    }
                }
            }
            69..=94 => {
                for _ in 0..rng.between(1, 10) {
                    client.acknowledge(link);
                }
            }
            95 => {
                client.disconnect(link, rng, self.now);
                self.say(|| format!("client {index} disconnects"));
            }
            _ => {}
        }
    }

    pub(super) fn connect(&mut self, index: usize) {
        let number = self.next_link;
        self.next_link += 1;
        let client = &mut self.clients[index];
        let link = client.connect(number, &mut self.model, &mut self.rng, self.now);
        self.links.insert(number, link);
        self.say(|| format!("client {index} connects, link {number}"));
    }

    fn some_link(&mut self) -> Option<u64> {
        let numbers: Vec<u64> = self.links.keys().copied().collect();
        (!numbers.is_empty()).then(|| *self.rng.pick(&numbers))
    }

    fn turn_of_some_link(&mut self) {
        if let Some(number) = self.some_link() {
            let frames = self.rng.index(self.habits.frames);
            self.turn(number, frames);
        }
    }

    pub(super) fn turn(&mut self, number: u64, frames: usize) {
        if self.resume_if_begun(&What::Step(number))
            || self.resume_if_begun(&What::Handshake(number))
        {
            return;
        }
        let broker = Arc::clone(&self.world().broker);
        let Some(link) = self.links.get_mut(&number) else { return };
        let what = if link.accepted { What::Step(number) } else { What::Handshake(number) };
        let Some(turning) = link.begin_turn(frames) else {
            self.bury(number);
            return;
        };
        link.since = self.now;
        self.model.read(&link.reading, self.now);
        self.act(what, Box::new(move || Outcome::Step(Box::new(turning.run(&broker)))));
    }

    /// Removes a link that is no longer used.
    pub(super) fn bury(&mut self, number: u64) {
        let Some(link) = self.links.get(&number) else { return };
        let used = self.clients.iter().any(|client| client.link == Some(number));
        if link.closed && !used {
            self.links.remove(&number);
        }
    }

    fn client_reads(&mut self) {
        let index = self.rng.index(self.clients.len());
        let count = self.rng.index(8) + 1;
        self.read(index, count);
    }

    /// True if there was anything to read.
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
        let index = self.rng.index(self.clients.len());
        self.cut(index);
    }

    pub(super) fn cut(&mut self, index: usize) {
        let Some(number) = self.clients[index].link else { return };
        let link = self.links.get_mut(&number).expect("its link");
        // A new CONNECT must not overtake one that the broker already handles.
        if link.accepted || !link.is_busy() || self.dead {
            self.cut_link(index, number);
        }
    }

    fn cut_link(&mut self, index: usize, number: u64) {
        let client = &mut self.clients[index];
        let link = self.links.get_mut(&number).expect("its link");
        let since = link.closed_at.min(self.now);
        link.cut = true;
        link.to_client.clear();
        // A part of what was in transit still arrives, but no CONNECT after a later one.
        let arrives = if link.accepted { self.rng.index(link.to_server.len() + 1) } else { 0 };
        link.to_server.truncate(arrives);
        client.lost(&mut self.model, since);
        self.say(|| format!("the line of client {index}, link {number}, is cut"));
        self.bury(number);
    }

    pub(super) fn time_passes(&mut self) {
        let all = [1, 5, 20, 100, 1_000, 6_000, 40_000, 3_600_000];
        // A step does not take an hour.
        let millis = *self.rng.pick(if self.actors.is_empty() { &all[..] } else { &all[..6] });
        self.time_passes_for(millis);
    }

    pub(super) fn time_passes_for(&mut self, millis: u64) {
        self.now += millis;
        self.world().advance(millis);
        for link in self.links.values() {
            self.model.read(&link.reading, self.now);
        }
        self.timers();
    }

    // Faults.

    fn disk_misbehaves(&mut self) {
        let after = self.rng.between(0, 20);
        let fault = match self.rng.between(0, 6) {
            0 | 1 => None,
            2 => Some(Fault::Sync(after)),
            3 => Some(Fault::Write(after)),
            4 => Some(Fault::Read(after)),
            _ => Some(Fault::Full),
        };
        self.summary.faults += u64::from(fault.is_some());
        self.say(|| format!("the disk: {fault:?}"));
        self.world().disk.set_fault(fault);
    }

    pub(super) fn die_within_a_commit(&mut self) {
        let after = self.rng.between(0, 12);
        self.world().disk.set_fault(Some(Fault::Death(after)));
        self.commit();
        self.say(|| format!("death after {after} more changes"));
        self.crash();
    }

    pub(super) fn crash(&mut self) {
        self.dead = true;
        self.world().disk.set_dead(true);
        self.end_links();
        self.let_all_end();
        self.dead = false;
        self.look_for_refusals();
        self.count_who_gave_way();
        let world = self.world.take().expect("a broker runs");
        let remains = world.kill();
        let remains = if self.rng.percent(50) {
            self.summary.power_cuts += 1;
            self.say(|| "the power is cut".into());
            remains.without_power(&mut self.rng)
        } else {
            self.summary.kills += 1;
            self.say(|| "the broker is killed".into());
            remains
        };
        self.start(remains);
    }

    /// Tells the model if the store has found no room on disk since the last call.
    pub(super) fn look_for_refusals(&mut self) {
        if self.world.as_mut().is_some_and(World::has_found_full) {
            self.found_full();
        }
    }

    /// Called before the broker ends, and its counters with it.
    fn count_who_gave_way(&mut self) {
        self.summary.memory.count(&self.world.as_ref().expect("a broker runs").broker);
    }

    fn found_full(&mut self) {
        self.summary.full += u64::from(self.model.found_full.is_none());
        self.model.found_full();
    }

    /// What the broker has sent may still arrive; then every link is dead.
    fn end_links(&mut self) {
        for index in 0..self.clients.len() {
            let count = self.rng.index(20);
            self.read(index, count);
            self.cut(index);
        }
        // Steps that have begun may have read everything that they had.
        for link in self.links.values() {
            self.model.read(&link.reading, self.now);
        }
        self.links.clear();
    }

    fn shut_down(&mut self) {
        self.let_all_end();
        self.undisturbed = true;
        self.say(|| "the broker is stopped".into());
        self.world().broker.shut_down();
        for number in self.links.keys().copied().collect::<Vec<_>>() {
            self.turn(number, 3);
        }
        self.end_links();
        self.count_who_gave_way();
        let world = self.world.take().expect("a broker runs");
        let (remains, full) = world.shut_down();
        if full {
            self.found_full();
        }
        self.undisturbed = false;
        self.start(remains);
    }

    fn start(&mut self, remains: Place) {
        self.now += self.rng.between(0, 5_000);
        let unlucky = self.rng.percent(5) && !self.shape.volatile;
        if unlucky {
            let after = self.rng.between(0, 30);
            let fault = *self.rng.pick(&[
                Fault::Sync(after),
                Fault::Write(after),
                Fault::Read(after),
                Fault::Death(after),
            ]);
            self.say(|| format!("a start with {fault:?}"));
            remains.disk.set_fault(Some(fault));
        }
        match remains.start(&self.shape, self.now) {
            Ok(world) => {
                self.world = Some(world);
                self.model.started = self.model.step;
                // Faults that have not occurred by now are removed.
                self.world().disk.set_fault(None);
                self.say(|| format!("started with\n{}", self.world().queues()));
                if self.world().disk.is_dead() || self.world().is_poisoned() {
                    self.crash();
                }
            }
            Err((remains, why)) => {
                assert!(unlucky, "the broker does not start: {why}");
                let cut = self.rng.percent(50);
                let remains = if cut { remains.without_power(&mut self.rng) } else { remains };
                self.start(remains);
            }
        }
    }
}
