//! One history per seed: clients and their actions are drawn at random. Charge and memory are
//! compared in between and at the end; then all clients leave.

use std::ops::AddAssign;

use crate::common::rng::Rng;
use crate::figures::{Figures, allocated};
use crate::game::{Game, on_paused_time};
use crate::step::LAG;

/// Allowed rest of memory after all clients have left for the second time: tables of the
/// broker and the store keep their capacity, and hash tables, whose seeds are random, double
/// at slightly different moments.
const SLACK: i64 = 64 << 10;
/// Allowed rest after the first time, when the tables have grown.
const TABLES: i64 = 4 << 20;

/// The sum of the seeds' results.
#[derive(Debug, Default, Clone, Copy)]
pub struct Summary {
    comparisons: u64,
    /// Charge in percent of the allocated memory.
    least: Option<i64>,
    most: Option<i64>,
    largest: i64,
    lag: i64,
    left: i64,
}

impl AddAssign<&Self> for Summary {
    fn add_assign(&mut self, other: &Self) {
        self.comparisons += other.comparisons;
        self.least = self.least.into_iter().chain(other.least).min();
        self.most = self.most.max(other.most);
        self.largest = self.largest.max(other.largest);
        self.lag = self.lag.max(other.lag);
        self.left = self.left.max(other.left);
    }
}

struct Play {
    game: Game,
    rng: Rng,
    retained: usize,
    filters: usize,
    summary: Summary,
    /// True while the tables have not grown yet.
    first: bool,
    trace: bool,
}

/// # Panics
/// Charge and memory differ, or memory is left over.
pub fn play(seed: u64, trace: bool) -> Summary {
    on_paused_time(|| {
        let mut rng = Rng::from_seed(seed);
        let mut game = Game::begin(*rng.pick(&[1, 20, 1_000]));
        let mut summary = Summary::default();
        let (mut left, history) = (Vec::new(), rng.fork());
        // Three identical passes: what the broker keeps for later appears in the first one.
        for _ in 0..3 {
            let before = allocated();
            let mut play = Play {
                game,
                rng: history.clone(),
                retained: 0,
                filters: 0,
                summary,
                first: left.is_empty(),
                trace,
            };
            play.history();
            Play { game, summary, .. } = play;
            let charged = game.figures().charged;
            assert_eq!(charged, 0, "bytes are charged and nobody is there");
            left.push(allocated() - before);
        }
        summary.left = left[2];
        if trace {
            println!("left each time: {left:?}");
        }
        assert!(left[0] <= TABLES, "{left:?} bytes are left when everybody has gone");
        assert!(left[2] <= SLACK, "{left:?} bytes are left each time that everybody has gone");
        summary
    })
}

impl Play {
    fn history(&mut self) {
        self.everybody_comes();
        self.burst();
        for step in 0..self.rng.between(40, 80) {
            self.act();
            // Without this, the batch would be larger than the capacity of the store's tables.
            self.game.commit();
            self.game.pulse();
            self.say_lag();
            if step % 8 == 7 {
                self.compare(step);
            }
        }
        self.compare(99);
        self.clear_retained();
        self.game.everybody_leaves();
    }

    fn everybody_comes(&mut self) {
        for _ in 0..self.rng.between(12, 30) {
            let (v5, durable) = (self.rng.percent(60), self.rng.percent(60));
            let index = self.game.add(1, v5, durable).start;
            if self.rng.percent(20) {
                let id = format!("{}{}", self.game.clients[index].id, "y".repeat(200));
                self.game.disconnect(index, true);
                self.game.clients[index].id = id;
                self.game.connect(index, None);
            }
            let qos = u8::try_from(self.rng.index(3)).unwrap();
            self.game.subscribe(index, &["all".to_owned(), "q/+".to_owned()], qos);
        }
        // The store's lists of changes keep their capacity, at most for 65,536 changes each.
        // They grow here to the largest batch that follows; both batches of the store get it
        // in turn.
        for qos in [1, 2, 1, 2, 1, 2] {
            self.game.publish(0, "all", qos, 0, 300);
            self.game.commit();
        }
        self.game.mark();
    }

    /// Publishes many small messages to all clients within one step.
    fn burst(&mut self) {
        let publisher = self.online();
        // Streams and connections have grown to this before. All queues double at the same
        // message, from 128 entries to 256.
        let publish = |game: &mut Game| game.publish(publisher, "all", 0, 0, 300);
        publish(&mut self.game);
        let sleepers: Vec<_> = (0..self.game.clients.len()).filter(|it| *it != publisher).collect();
        for &index in &sleepers {
            self.game.clients[index].reads = false;
        }
        self.game.publish(publisher, "all", 0, 1_000, 70);
        let lag = self.game.lag_within(publish);
        for &index in &sleepers {
            self.game.clients[index].reads = true;
        }
        self.game.commit();
        self.game.clients.iter_mut().for_each(|client| client.reads = true);
        self.game.commit();
        self.summary.lag = self.summary.lag.max(lag);
        self.say(|| format!("within a step the charge lags behind by {lag} bytes"));
        assert!(lag <= LAG, "within a step the charge lags behind by {lag} bytes");
    }

    /// Helps to find memory that is not charged.
    fn say_lag(&mut self) {
        if self.trace {
            println!("      the charge lags behind by {}", self.game.growth().lag());
        }
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{}", what());
        }
    }

    fn compare(&mut self, step: u64) {
        self.game.commit();
        self.game.pulse();
        let growth = self.game.growth();
        if !growth.count() {
            self.say(|| format!("{step:3} {growth:?}"));
            return;
        }
        let Figures { charged, live } = growth;
        let percent = charged * 100 / live.max(1);
        if self.first {
            return;
        }
        self.summary.comparisons += 1;
        self.summary.least = self.summary.least.into_iter().chain([percent]).min();
        self.summary.most = self.summary.most.max(Some(percent));
        self.summary.largest = self.summary.largest.max(live);
        self.say(|| format!("{step:3} charged {charged}, allocated {live}: {percent}%"));
        assert!(
            (85..=115).contains(&percent),
            "step {step}: charged {charged} bytes, allocated {live}: {percent}%"
        );
    }

    fn some(&mut self) -> usize {
        self.rng.index(self.game.clients.len())
    }

    /// A client that is connected and can send a packet.
    fn online(&mut self) -> usize {
        loop {
            let index = self.some();
            if !self.game.clients[index].is_connected() {
                self.game.connect(index, None);
            }
            if !self.game.clients[index].is_in_packet {
                return index;
            }
        }
    }

    fn in_packet(&self) -> impl Iterator<Item = usize> {
        let clients = self.game.clients.iter().enumerate();
        clients.filter(|(_, client)| client.is_in_packet).map(|(index, _)| index)
    }

    fn size(&mut self) -> usize {
        let most = *self.rng.pick(&[1, 50, 1_000, 20_000, 200_000]);
        self.rng.index(most)
    }

    fn act(&mut self) {
        let index = self.online();
        let what = self.rng.index(14);
        self.say(|| format!("    action {what} of client {index}"));
        match what {
            0..=3 => {
                let (topic, qos) = (self.rng.index(5), self.rng.index(3));
                let topic = format!("q/{topic}");
                let topic = if self.rng.percent(30) { "all" } else { &topic };
                let size = self.size();
                let count = (400_000 / (size + 400)).clamp(1, 300);
                self.game.publish(index, topic, u8::try_from(qos).unwrap(), size, count);
            }
            4 | 5 => self.subscribe(index),
            6 => {
                let client = &mut self.game.clients[index];
                client.reads = self.rng.percent(40);
                client.acknowledges = self.rng.percent(60);
                client.releases = self.rng.percent(50);
            }
            7 => {
                self.game.clients[index].releases = false;
                let count = self.rng.index(30);
                self.game.publish(index, "nobody", 2, 100, count);
            }
            8 => {
                let (size, delay) = (self.size().min(65_000), self.rng.index(2) * 100_000);
                let delay = u32::try_from(delay).unwrap();
                self.game.leave_a_will(index, "q/1", size, delay);
            }
            9 if self.in_packet().count() < 4 => {
                let size = self.size().max(100);
                self.game.begin_publish(index, "q/2", size);
            }
            9 | 10 => {
                let begun = self.in_packet().next();
                if let Some(index) = begun {
                    self.game.end_publish(index);
                }
            }
            11 => {
                for _ in 0..self.rng.between(1, 30) {
                    let size = self.size().max(1);
                    self.game.retain(index, &format!("r{}", self.retained), size);
                    self.retained += 1;
                }
            }
            12 if self.game.clients[index].durable => {
                let politely = self.rng.percent(50);
                self.game.disconnect(index, politely);
                self.game.background();
            }
            12 => self.game.connect(index, None),
            _ if self.game.clients[index].v5 => {
                let length = self.rng.index(1_000);
                let topic = |number| format!("{number}{}", "a".repeat(length));
                self.game.alias(index, (0..32).map(topic));
            }
            _ => self.game.background(),
        }
    }

    fn subscribe(&mut self, index: usize) {
        let (count, depth) = (self.rng.index(40), self.rng.index(20));
        let length = *self.rng.pick(&[1, 10, 100, 500]);
        let shared = self.game.clients[index].v5 && self.rng.percent(30);
        let common = self.rng.percent(30);
        let filters: Vec<_> = (0..count)
            .map(|number| {
                let number = self.filters + number;
                let own = format!("{number}{}", "x".repeat(length));
                let levels = "/level".repeat(depth);
                let filter =
                    if common { format!("f{levels}/{own}") } else { format!("{own}{levels}") };
                if shared { format!("$share/g{number}/{filter}") } else { filter }
            })
            .collect();
        self.filters += count;
        self.game.subscribe(index, &filters, 1);
        if self.rng.percent(30) {
            self.game.unsubscribe(index, &filters);
        }
    }

    fn clear_retained(&mut self) {
        let index = self.online();
        for number in 0..self.retained {
            self.game.retain(index, &format!("r{number}"), 0);
            if number % 500 == 499 {
                self.game.commit();
            }
        }
        self.game.commit();
    }
}
