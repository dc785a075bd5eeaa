//! Contests: an actor is stopped between its decision and its submission to the store; another
//! actor decides about the same thing and has it committed; then the first one continues. A
//! crash shows which decision the file has kept.

use crate::habits::Theme;
use crate::run::Run;
use crate::scheduler::Until;

impl Run {
    pub(super) fn contest(&mut self, violence: u64) {
        match self.habits.theme {
            Theme::Turns => self.contest_of_turns(),
            Theme::Timers => self.contest_of_timers(),
            Theme::Retained => self.contest_of_retained(),
        }
        if self.rng.percent(30) {
            // The rest follows the schedule.
            return;
        }
        let dies_first = self.rng.percent(20);
        if !(dies_first && violence > 0) {
            self.let_all_end();
            self.model.step += 1;
            if self.rng.percent(80) {
                self.commit();
            }
        }
        if violence > 0 && self.rng.percent(60) {
            self.crash();
        } else if self.rng.percent(50) {
            self.let_all_end();
            self.compare_retained();
        }
    }

    /// Where the first actor is stopped.
    fn stopping(&mut self) -> Until {
        match self.rng.between(0, 4) {
            0 => Until::Points(self.rng.between(1, 120)),
            _ => Until::Submit,
        }
    }

    fn contest_of_turns(&mut self) {
        let connected: Vec<usize> = self
            .clients
            .iter()
            .filter(|c| c.connected && c.is_durable())
            .map(|c| c.index)
            .collect();
        if connected.is_empty() {
            return;
        }
        let index = *self.rng.pick(&connected);
        for _ in 0..self.rng.between(1, 5) {
            self.client_acts(index);
            self.model.step += 1;
        }
        let Some(number) = self.clients[index].link else { return };
        self.stops = Some(self.stopping());
        self.turn(number, self.habits.frames);
        self.stops = None;
        self.take_over(index);
        self.go_on(index);
    }

    fn contest_of_timers(&mut self) {
        // Without DISCONNECT, so that their wills become due.
        for index in 0..self.clients.len() {
            if self.rng.percent(50) && self.clients[index].connected {
                self.cut(index);
                self.turn_of_all(index);
            }
        }
        self.commit();
        self.stops = Some(self.stopping());
        self.time_passes_for(6_000);
        self.stops = None;
        for _ in 0..self.rng.between(1, 4) {
            let index = self.rng.index(self.clients.len());
            self.take_over(index);
            self.go_on(index);
        }
    }

    fn contest_of_retained(&mut self) {
        if self.rng.percent(50) {
            self.now_and_upkeep();
        } else {
            let index = self.rng.index(self.clients.len());
            self.client_acts(index);
            let Some(number) = self.clients[index].link else { return };
            self.stops = Some(self.stopping());
            self.turn(number, self.habits.frames);
            self.stops = None;
        }
        for _ in 0..self.rng.between(1, 4) {
            let index = self.rng.index(self.clients.len());
            self.go_on(index);
        }
    }

    /// Retained messages with an expiry of one or two seconds have expired when the background
    /// task runs.
    fn now_and_upkeep(&mut self) {
        let millis = *self.rng.pick(&[1_000, 2_000]);
        self.time_passes_for(millis);
        self.stops = Some(self.stopping());
        self.background();
        self.stops = None;
    }

    /// The client acts again and is answered.
    fn go_on(&mut self, index: usize) {
        for _ in 0..self.rng.between(0, 4) {
            self.model.step += 1;
            self.client_acts(index);
            self.round_trip(index);
        }
        if self.rng.percent(50) {
            // Its last action gets no answer.
            self.model.step += 1;
            self.client_acts(index);
            if let Some(number) = self.clients[index].link {
                self.turn(number, self.habits.frames);
                self.commit();
            }
        }
    }

    fn turn_of_all(&mut self, index: usize) {
        let of = self.links.values().filter(|link| link.owner == index).map(|link| link.number);
        for number in of.collect::<Vec<_>>() {
            self.turn(number, self.habits.frames);
        }
    }
}
