//! Steps of a history in which several actors run at once: which begins, which continues, and
//! what their clients do meanwhile.

use std::sync::{Arc, LazyLock};

use ferrymq::broker::Broker;
use ferrymq::broker::admin::Announcement;
use ferrymq::protocol::{MessageProperties, QoS};

use crate::client::RETAINED;
use crate::run::Run;
use crate::scheduler::{Job, Outcome, Until, What, drive};

/// Most actors that have begun and not ended.
const MOST: usize = 5;

/// The text with which the broker closes a connection that has lost a message.
const DEPRIVED: &str = "a message for it could not be kept";

/// For the timeouts of an operator's requests. Its clock does not run: an operator who waits
/// is woken, or gives up.
static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
});

impl Run {
    /// Runs a job of the broker: at once and without interruption, or as one of several
    /// actors.
    #[allow(clippy::needless_pass_by_value)] // Callers make it for this call.
    pub(super) fn act(&mut self, what: What, job: Job) {
        if let Some(until) = self.stops.take() {
            let until = if self.atomic { Until::End } else { until };
            let outcome = self.actors.start(what.clone(), job, until);
            self.acted(&what, outcome);
            return;
        }
        let percent = match what {
            // Histories have always let others act during a commit.
            What::Commit => self.habits.interleaving.max(30),
            // It waits for a commit, and so for other actors.
            What::RemoveSession(_) | What::Retained(_) => 100,
            _ => self.habits.interleaving,
        };
        if self.undisturbed || (self.actors.is_empty() && !self.rng.percent(percent)) {
            let outcome = job();
            self.ended(&what, outcome);
            return;
        }
        let until = self.until(&what);
        self.say(|| format!("{what:?} begins, until {until:?}"));
        let outcome = self.actors.start(what.clone(), job, until);
        self.acted(&what, outcome);
    }

    /// How far an actor goes.
    fn until(&mut self, what: &What) -> Until {
        if *what == What::Commit {
            return if self.rng.percent(30) {
                Until::End
            } else {
                Until::Points(self.rng.between(1, 4))
            };
        }
        if self.atomic {
            return Until::End;
        }
        // An actor that begins while others are stopped mostly runs to its end.
        let ends = if self.actors.is_empty() { 10 } else { 60 };
        if self.habits.interleaving == 0 || self.rng.percent(ends) {
            return Until::End;
        }
        match self.rng.between(0, 10) {
            0..=4 => Until::Submit,
            5..=6 => Until::Points(self.rng.between(1, 16)),
            _ => Until::Points(self.rng.between(1, 160)),
        }
    }

    fn acted(&mut self, what: &What, outcome: Option<Outcome>) {
        self.look_for_refusals();
        match outcome {
            Some(outcome) => self.ended(what, outcome),
            None => self.summary.interruptions += 1,
        }
        self.actors.check_deadlock();
    }

    pub(super) fn resume(&mut self, what: &What, until: Until) {
        self.say(|| format!("{what:?} goes on, until {until:?}"));
        let outcome = self.actors.resume(what, until);
        self.acted(what, outcome);
    }

    /// Resumes an actor if it has begun. Returns false if it has not.
    pub(super) fn resume_if_begun(&mut self, what: &What) -> bool {
        let begun = self.actors.all().any(|known| known == what);
        if begun && self.actors.runnable().contains(what) {
            let until = self.until(what);
            self.resume(what, until);
        }
        begun
    }

    pub(super) fn resume_some(&mut self) {
        let runnable = self.actors.runnable();
        if !runnable.is_empty() {
            let what = self.rng.pick(&runnable).clone();
            let until = self.until(&what);
            self.resume(&what, until);
        }
    }

    /// Runs all actors to their end. One that waits for a commit gives up.
    pub(super) fn let_all_end(&mut self) {
        loop {
            let runnable = self.actors.runnable();
            if !runnable.is_empty() {
                let what = self.rng.pick(&runnable).clone();
                self.resume(&what, Until::End);
            } else if let Some((what, outcome)) = self.actors.give_up_waiting() {
                self.acted(&what, outcome);
            } else {
                return;
            }
        }
    }

    fn ended(&mut self, what: &What, outcome: Outcome) {
        self.look_for_refusals();
        if let What::Retained(message) = what {
            self.model.read(&[*message], self.now);
        }
        match (what, outcome) {
            (What::Step(number) | What::Handshake(number), Outcome::Step(turned)) => {
                let Some(link) = self.links.get_mut(number) else { return };
                self.model.read(&link.reading, self.now);
                link.end_turn(*turned, link.since);
                if link.closed {
                    let (owner, why) = (link.owner, link.why.clone());
                    self.model.gave_way.deprived += u64::from(why.contains(DEPRIVED));
                    self.say(|| {
                        format!("the broker has closed link {number} of client {owner}: {why}")
                    });
                }
                self.bury(*number);
            }
            (What::RemoveSession(index), _) => {
                self.clients[*index].is_removed(true, &mut self.model);
            }
            (What::Retained(message), Outcome::Operator(true)) if !self.dead => {
                self.model.acknowledged(*message);
            }
            _ => {}
        }
    }

    // Steps while an actor is stopped.

    /// One step while an actor has begun and not ended.
    pub(super) fn step_between(&mut self, violence: u64) {
        if self.actors.len() >= MOST {
            return self.resume_some();
        }
        let index = self.focus();
        match self.rng.between(0, 1000) {
            0..=129 => self.resume_some(),
            130..=239 => self.take_over(index),
            240..=449 => self.client_acts(index),
            450..=549 => self.turn_of(index),
            550..=649 => {
                self.read(index, 10);
            }
            650..=829 => self.round_trip(index),
            830..=889 => self.commit(),
            890..=909 => self.background(),
            910..=929 => self.time_passes(),
            930..=949 => self.operator_acts(),
            950..=989 => self.let_all_end(),
            _ if violence == 0 => {}
            990..=993 => self.die_within_a_commit(),
            _ => self.crash(),
        }
    }

    /// Chooses the client that acts: most often one whose connection is stopped in a step, or
    /// one that a timer concerns.
    fn focus(&mut self) -> usize {
        let any = self.rng.index(self.clients.len());
        if !self.rng.percent(65) {
            return any;
        }
        let mut found: Vec<usize> = Vec::new();
        for what in self.actors.all() {
            match what {
                What::Step(number) | What::Handshake(number) => {
                    found.extend(self.links.get(number).map(|link| link.owner));
                }
                What::Timers | What::Background => {
                    let away = self.clients.iter().filter(|client| client.link.is_none());
                    found.extend(away.map(|client| client.index));
                }
                What::RemoveSession(index) => found.push(*index),
                What::Commit | What::Balance | What::Retained(_) => {}
            }
        }
        if found.is_empty() { any } else { *self.rng.pick(&found) }
    }

    /// The client connects again, whatever the state of its old connection.
    pub(super) fn take_over(&mut self, index: usize) {
        if self.clients[index].link.is_some() {
            self.cut(index);
        }
        let client = &mut self.clients[index];
        if client.link.is_some() {
            return;
        }
        if client.is_durable() && self.rng.percent(self.habits.clean_starts) {
            client.wants_new_session(&mut self.model);
        }
        self.connect(index);
        self.round_trip(index);
        // It repeats on the new connection what it did on the old one.
        if self.rng.percent(50) {
            self.client_acts(index);
            self.round_trip(index);
        }
    }

    fn turn_of(&mut self, index: usize) {
        let of: Vec<u64> =
            self.links.values().filter(|l| l.owner == index).map(|l| l.number).collect();
        if !of.is_empty() {
            let number = *self.rng.pick(&of);
            let frames = self.rng.index(self.habits.frames);
            self.turn(number, frames);
        }
    }

    /// A client acts and is answered.
    pub(super) fn converse(&mut self) {
        let index = self.rng.index(self.clients.len());
        if self.clients[index].link.is_none() {
            self.connect(index);
        } else {
            self.client_acts(index);
        }
        self.round_trip(index);
    }

    /// The broker answers what a client has sent, and the answer arrives.
    pub(super) fn round_trip(&mut self, index: usize) {
        let Some(number) = self.clients[index].link else { return };
        self.turn(number, self.habits.frames);
        self.model.step += 1;
        self.commit();
        self.model.step += 1;
        self.turn(number, self.habits.frames);
        self.read(index, 30);
    }

    // Actors that are not clients.

    pub(super) fn background(&mut self) {
        let task = [What::Background, What::Timers];
        self.run_background(What::Background, &task, |broker| drive(broker.background_once()));
    }

    pub(super) fn timers(&mut self) {
        let task = [What::Background, What::Timers];
        self.run_background(What::Timers, &task, |broker| drive(broker.run_due()));
    }

    /// Runs a periodic task of the broker, or resumes one of the same `task` that has begun.
    pub(super) fn run_background(
        &mut self,
        what: What,
        task: &[What],
        work: impl FnOnce(&Arc<Broker>) -> Option<()> + Send + 'static,
    ) {
        if task.iter().any(|known| self.resume_if_begun(known)) {
            return;
        }
        let broker = Arc::clone(&self.world().broker);
        let job = move || {
            work(&broker);
            Outcome::Done
        };
        self.act(what, Box::new(job));
    }

    /// Commits what was submitted, or resumes a commit.
    pub(super) fn commit(&mut self) {
        if self.resume_if_begun(&What::Commit) {
            return;
        }
        let (store, held) = (self.world().store.clone(), self.rng.percent(50));
        let job = move || {
            // An error poisons the store, which the schedule checks.
            let _ = store.step(held);
            Outcome::Done
        };
        self.act(What::Commit, Box::new(job));
    }

    pub(super) fn operator_acts(&mut self) {
        if !self.rng.percent(self.habits.operator) || self.undisturbed {
            return;
        }
        let broker = Arc::clone(&self.world().broker);
        match self.rng.between(0, 4) {
            0 => self.operator_removes_session(),
            1 => {
                let topic = *self.rng.pick(&RETAINED);
                let id = self.model.operator_retains(topic, 1, true, self.now);
                let job = move || {
                    let _entered = RUNTIME.enter();
                    let removed = drive(broker.remove_retained(topic));
                    Outcome::Operator(removed.is_some_and(|removed| removed.is_ok()))
                };
                self.act(What::Retained(id), Box::new(job));
            }
            _ => {
                let topic = *self.rng.pick(&RETAINED);
                let id = self.model.operator_retains(topic, 1, false, self.now);
                let announcement = Announcement {
                    topic: topic.to_owned(),
                    payload: id.to_be_bytes().to_vec(),
                    qos: QoS::AtLeastOnce,
                    retain: true,
                    expiry: None,
                    properties: MessageProperties::default(),
                };
                let job = move || {
                    let _entered = RUNTIME.enter();
                    let announced = drive(broker.announce(&announcement));
                    Outcome::Operator(announced.is_some_and(|announced| announced.is_ok()))
                };
                self.act(What::Retained(id), Box::new(job));
            }
        }
    }

    fn operator_removes_session(&mut self) {
        let index = self.rng.index(self.clients.len());
        let what = What::RemoveSession(index);
        let client = &mut self.clients[index];
        if !client.is_removable() || self.actors.all().any(|known| *known == what) {
            return;
        }
        client.is_removed(false, &mut self.model);
        let broker = Arc::clone(&self.world().broker);
        let id = format!("client{index}");
        let without_will = self.rng.percent(50);
        let job = move || {
            let _entered = RUNTIME.enter();
            let removed = drive(broker.remove_session(&id, without_will));
            Outcome::Operator(removed.is_some())
        };
        self.say(|| format!("an operator removes the session of client {index}"));
        self.act(what, Box::new(job));
    }
}
