//! Liveness: the broker comes to rest without lost wake-ups, and answers every client whose
//! network works.

use crate::client::{Acknowledging, Client, Reading};
use crate::run::Run;

/// A broker that needs more rounds in which it sends nothing does not come to rest.
const ROUNDS: usize = 20_000;
/// Nor does one that sends for ever. Streams may take a few bytes in a poll, and queues of a
/// client that publishes slowly hold megabytes: 16 polls of 4 bytes for 32 MB.
const MOST_ROUNDS: usize = 25 * ROUNDS;
/// Attempts of a client whose connection is refused or ended before it gets an answer.
const ATTEMPTS: usize = 40;
/// Milliseconds: longer than the broker keeps a refused MQTT 3 client, or waits to send its
/// last packet.
const PATIENCE: u64 = 11_000;

impl Run {
    /// Lets all progress happen until there is none. Clients keep their habits, and time does
    /// not pass.
    pub(super) fn rest(&mut self) {
        self.rests += 1;
        let (mut retries, mut left, mut sent) = (0, ROUNDS, self.bytes_sent());
        for _ in 0..MOST_ROUNDS {
            let before = std::mem::replace(&mut sent, self.bytes_sent());
            left -= usize::from(before == sent);
            if left == 0 {
                break;
            }
            let mut busy = false;
            // Several polls for each commit, as on a real machine.
            for _ in 0..16 {
                let mut moved = false;
                for number in self.shuffled(self.engine.ready()) {
                    self.engine.poll(number);
                    moved = true;
                }
                for index in 0..self.clients.len() {
                    moved |= self.move_bytes_in_rest(index);
                }
                for wire in &mut self.left {
                    moved |= wire.push();
                }
                self.bury();
                busy |= moved;
                if !moved {
                    break;
                }
            }
            if self.engine.world.has_work() {
                self.engine.commit(true);
            } else if !busy {
                // What would happen as time passes.
                self.engine.world.background();
                if self.engine.world.tries_again() {
                    self.engine.commit(true);
                }
                retries += 1;
                let quiet = self.engine.ready().is_empty() && !self.engine.world.has_work();
                if quiet || retries > 5 {
                    return;
                }
            }
        }
        panic!("the broker does not come to rest\n{}", self.describe());
    }

    /// What the broker has written to all streams that are open.
    fn bytes_sent(&self) -> u64 {
        self.ends.values().map(|(_, end)| end.moved().written).sum()
    }

    /// Habits stay, but a slow reader reads in the end.
    fn move_bytes_in_rest(&mut self, index: usize) -> bool {
        let client = &mut self.clients[index];
        let reading = client.reading;
        if matches!(reading, Reading::Slowly(_)) {
            client.reading = Reading::Everything;
        }
        let mut moved = self.move_bytes(index);
        let client = &mut self.clients[index];
        client.reading = reading;
        if client.connected && client.acknowledging == Acknowledging::Late {
            while client.acknowledge() {
                moved = true;
            }
        }
        moved
    }

    fn shuffled(&mut self, mut numbers: Vec<u64>) -> Vec<u64> {
        for index in (1..numbers.len()).rev() {
            let other = self.rng.index(index + 1);
            numbers.swap(index, other);
        }
        numbers
    }

    /// Call this at rest: rings all wake-ups and polls every task. Any progress is a lost
    /// wake-up.
    pub(super) fn nothing_was_forgotten(&mut self) {
        self.engine.nest(0);
        // While the disk is full, those who wait for it are woken again and again.
        if self.engine.ready().is_empty() {
            let turns = self.engine.world.broker.turns_in_use();
            assert_eq!(turns, 0, "a turn is held while nobody runs\n{}", self.describe());
        }
        let before: Vec<_> = self
            .ends
            .iter()
            .map(|(number, (owner, end))| (*number, *owner, end.moved(), end.describe()))
            .collect();
        self.engine.world.notify_everybody();
        for number in self.engine.all() {
            self.engine.poll(number);
        }
        for _ in 0..ROUNDS {
            if self.engine.poll_some() {
                continue;
            }
            // A packet may have been handled whose answer waits for a commit.
            if !self.engine.world.has_work() {
                break;
            }
            self.engine.commit(true);
        }
        let mut forgotten = Vec::new();
        for (number, owner, moved, at_rest) in before {
            let now = self.ends[&number].1.moved();
            if now != moved {
                let (read, written) = (now.read - moved.read, now.written - moved.written);
                let client = describe(&self.clients[owner]);
                forgotten.push(format!(
                    "\n  connection {number} of {client}: rung for no reason, it read {read} \
                     bytes and wrote {written}, closed {} -> {}; at rest: {at_rest}",
                    moved.closed, now.closed
                ));
            }
        }
        if self.trace && !forgotten.is_empty() {
            println!("what had been forgotten:");
            for index in 0..self.clients.len() {
                self.clients[index].reading = Reading::Everything;
                self.move_bytes(index);
            }
        }
        assert!(forgotten.is_empty(), "LOST WAKE-UP{}\n{}", forgotten.concat(), self.describe());
        self.engine.nest(self.shape.nested);
    }

    /// Each connected client, or each client, sends requests and must be answered. The disk
    /// has room, and all clients read and acknowledge.
    pub(super) async fn service(&mut self, everybody: bool) {
        self.say(|| "everybody is to be served".into());
        self.engine.world.set_disk_full(false);
        // A publisher may wait for room in the queue of a client that is offline.
        let everybody = everybody || self.shape.max_queued < 1_000;
        let served: Vec<usize> = (0..self.clients.len())
            .filter(|index| everybody || self.clients[*index].wire.is_some())
            .collect();
        for index in &served {
            self.clients[*index].reading = Reading::Everything;
            self.clients[*index].acknowledging = Acknowledging::AtOnce;
        }
        let mut unserved = served.clone();
        for attempt in 0..ATTEMPTS {
            self.come_back(&served);
            let mut asked = Vec::new();
            for index in &unserved {
                if self.clients[*index].connected {
                    asked.push((*index, self.clients[*index].wire.as_ref().map(|w| w.number)));
                    self.ask(*index);
                    // Together they may fill short queues again each time.
                    if attempt > ATTEMPTS / 2 {
                        break;
                    }
                }
            }
            self.rest();
            self.nothing_was_forgotten();
            self.rates_allow().await;
            // A publisher may wait for room in the queue of a client without a connection.
            let all_here = self.clients.iter().all(|client| client.connected || !client.durable);
            let may_wait = !all_here && self.shape.max_queued < 1_000;
            unserved.retain(|index| {
                let client = &self.clients[*index];
                let may_wait = may_wait && (self.shape.back_pressure || client.is_server());
                let number = client.wire.as_ref().map(|wire| wire.number);
                let waits = client.waits_for();
                let satisfied = client.connected && waits.is_empty();
                let closes = client.wire.as_ref().is_some_and(|wire| wire.closes);
                assert!(
                    client.wire.is_none() || closes || may_wait || satisfied,
                    "NOT SERVED: {} waits for {waits}\n{}",
                    describe(client),
                    self.describe()
                );
                !(satisfied && asked.contains(&(*index, number)))
            });
            if unserved.is_empty() {
                return;
            }
            self.time_passes(PATIENCE).await;
        }
        let who: Vec<_> = unserved.iter().map(|index| describe(&self.clients[*index])).collect();
        panic!("NOT SERVED in {ATTEMPTS} connections: {}\n{}", who.join(", "), self.describe());
    }

    /// Lets the time pass that clients wait for, who publish faster than they may. Their timers
    /// must wake them.
    async fn rates_allow(&mut self) {
        for _ in 0..ROUNDS {
            if !self.engine.world.throttles() {
                return;
            }
            self.time_passes(1_000).await;
            self.rest();
            self.nothing_was_forgotten();
        }
        panic!("NOT SERVED: a client waits for its publish rate\n{}", self.describe());
    }

    /// Connects the offline clients, which drain their queues.
    fn come_back(&mut self, who: &[usize]) {
        for index in who {
            if self.clients[*index].wire.is_none() {
                self.connect(*index);
            }
        }
        self.rest();
        self.nothing_was_forgotten();
    }

    fn ask(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if !client.is_server() {
            client.ping();
            client.subscribe(&mut self.model, "t/1", 1);
        }
        // A client whose messages are refused must not get more and more of them.
        if !client.has_unanswered_publishes() {
            client.publish(&mut self.model, "u/0", 1, 10);
            client.publish(&mut self.model, "t/1", 2, 10);
        }
    }

    pub(super) async fn finish(&mut self) {
        self.say(|| "the end begins".into());
        self.service(true).await;
        // Clients whose keep alive passed meanwhile must reconnect.
        let everybody: Vec<usize> = (0..self.clients.len()).collect();
        for _ in 0..ATTEMPTS {
            self.come_back(&everybody);
            if self.clients.iter().all(|client| client.connected) {
                break;
            }
            self.time_passes(PATIENCE).await;
        }
        for index in everybody {
            let owed = self.model.owed(index);
            assert!(
                owed.is_empty(),
                "NOT DELIVERED: {} is owed {owed:?}\n{}",
                describe(&self.clients[index]),
                self.describe()
            );
        }
        for _ in 0..3 {
            self.time_passes(3_000).await;
            self.rest();
            self.nothing_was_forgotten();
        }
    }

    /// The state as text, for debugging.
    fn describe(&self) -> String {
        let mut lines = vec![format!("{:?}", self.shape)];
        lines.extend(self.clients.iter().map(describe));
        for (number, (owner, end)) in &self.ends {
            lines.push(format!("connection {number} of client {owner}: {}", end.describe()));
        }
        lines.join("\n")
    }
}

fn describe(client: &Client) -> String {
    let connection = client.wire.as_ref().map_or("no connection".to_owned(), |wire| {
        format!("connection {}, {} bytes to send", wire.number, wire.unsent())
    });
    format!(
        "client {} ({:?}, durable {}, {connection}, connected {}, reads {:?}, acknowledges {:?})",
        client.index,
        client.version,
        client.durable,
        client.connected,
        client.reading,
        client.acknowledging
    )
}
