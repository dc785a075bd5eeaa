//! A broker and its clients on one thread, and their memory.

use crate::api::World;
use crate::client::Client;
use crate::common::packets::{self, Connect, Message, Will, property};
use crate::common::rng::Rng;
use crate::executor::Executor;
use crate::figures::{Figures, allocated, signed};
use crate::shape::Shape;
use crate::stream::{ClientEnd, Nature, pair};

/// Small buffers, so that little is in transit and what is charged is in the broker.
const NATURE: Nature = Nature {
    to_server: 1 << 14,
    to_client: 1 << 10,
    at_once: 1 << 20,
    partial: 0,
    out_of_budget: 0,
    staged: 0,
};

/// Most runs of the background task that remove what sessions left; far more than needed.
const PATIENCE: usize = 2_000;

pub struct Game {
    pub world: World,
    executor: Executor,
    pub clients: Vec<Client>,
    next_number: u64,
    /// The figures when the comparison began.
    base: Figures,
    connected: i64,
    /// Memory of an idle connection.
    connection: i64,
}

/// Runs `game` in a runtime whose time is advanced by hand.
pub fn on_paused_time<T>(game: impl FnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    // Not within `block_on`, where a task that is to be polled after others would not be woken.
    let _entered = runtime.enter();
    game()
}

impl Game {
    pub fn begin(memory_window: usize) -> Self {
        let shape = Shape { memory_window, max_unanswered: 60_000, ..Shape::calm() };
        Self {
            world: World::start(1, &shape),
            executor: Executor::default(),
            clients: Vec::with_capacity(256),
            next_number: 0,
            base: Figures::default(),
            connected: 0,
            connection: 0,
        }
    }

    /// Adds clients and connects them.
    pub fn add(&mut self, count: usize, v5: bool, durable: bool) -> std::ops::Range<usize> {
        let from = self.clients.len();
        for index in from..from + count {
            self.clients.push(Client::new(format!("client{index}"), v5, durable));
            self.connect(index, None);
        }
        from..from + count
    }

    pub fn connect(&mut self, index: usize, will: Option<Will>) {
        let clean = !self.clients[index].durable;
        self.connect_as(index, clean, will);
    }

    /// Opens a connection, which takes over the session of an existing one.
    pub fn connect_as(&mut self, index: usize, clean: bool, will: Option<Will>) {
        self.next_number += 1;
        let (ours, theirs) = pair(NATURE, Rng::from_seed(self.next_number));
        let job = self.world.serve(theirs);
        self.executor.spawn(self.next_number, job);
        let client = &mut self.clients[index];
        let old = client.lost();
        client.end = Some(ours);
        let expiry = if clean { 0 } else { 1_000_000 };
        let properties = property::topic_alias_maximum(100);
        let connect = Connect { expiry, properties, will, ..Connect::new(client.version(), clean) };
        let packet = connect.encode(&client.id);
        self.send(index, &packet);
        self.commit();
        if let Some(old) = old {
            old.close();
            self.run();
        }
    }

    /// Closes the connection, with DISCONNECT only if `politely`.
    pub fn disconnect(&mut self, index: usize, politely: bool) {
        if politely {
            self.send(index, &[0xE0, 0]);
        }
        if let Some(end) = self.clients[index].lost() {
            end.close();
        }
        self.run();
    }

    /// Sends all bytes, as fast as the broker reads them.
    pub fn send(&mut self, index: usize, bytes: &[u8]) {
        let mut rest = bytes;
        let mut stuck = 0;
        let was_in_packet = self.clients[index].is_in_packet;
        while !rest.is_empty() {
            let end = self.end(index);
            let sent = end.send(rest);
            rest = &rest[sent..];
            // Answers are sent only between packets.
            self.clients[index].is_in_packet = was_in_packet || !rest.is_empty();
            self.run();
            if sent == 0 {
                self.commit();
                stuck += 1;
                assert!(stuck < 100, "{} cannot send: {}", self.clients[index].id, end.describe());
            }
        }
    }

    fn end(&self, index: usize) -> ClientEnd {
        let client = &self.clients[index];
        let end = client.end.clone().expect("a connection");
        assert!(!end.is_dropped(), "{} has lost its connection", client.id);
        end
    }

    /// Runs until no task and no client has anything to do.
    pub fn run(&mut self) {
        loop {
            let ready = self.executor.ready();
            let mut any = !ready.is_empty();
            for number in ready {
                let Some(taken) = self.executor.take(number) else { continue };
                match taken.poll() {
                    Some(taken) => self.executor.put_back(taken),
                    None => self.executor.remove(number),
                }
            }
            for client in &mut self.clients {
                any |= client.moves();
            }
            if !any {
                return;
            }
        }
    }

    /// Commits until nothing is left to be committed.
    pub fn commit(&mut self) {
        self.run();
        while self.world.has_work() {
            self.world.commit(true);
            self.run();
        }
    }

    /// Commits large batches: from then on the store's tables for the numbers of three
    /// generations of changes have room for 1,024.
    fn exercise_store(&mut self) {
        let durable = |client: &Client| client.durable && client.is_connected();
        let Some(index) = self.clients.iter().position(durable) else { return };
        for _ in 0..6 {
            self.publish(index, "nobody", 2, 0, 1_000);
            self.commit();
        }
    }

    /// Makes several small commits, after which the store forgets the changes of earlier
    /// batches; it must know them until no older change can arrive.
    pub fn pulse(&mut self) {
        let durable = |client: &Client| {
            client.durable && client.is_connected() && !client.is_in_packet && client.reads
        };
        let Some(index) = self.clients.iter().position(durable) else { return };
        for _ in 0..4 {
            self.subscribe(index, &["pulse".to_owned()], 0);
        }
    }

    /// Runs the background task, which frees what need not be in memory.
    pub fn background(&mut self) {
        self.world.background();
        self.commit();
    }

    pub fn figures(&self) -> Figures {
        let messages = &self.world.broker.metrics.messages;
        let clients: i64 = self.clients.iter().map(Client::memory).sum();
        Figures {
            charged: messages.memory.get() + messages.retained_bytes.get(),
            live: allocated() - clients,
        }
    }

    fn count_connected(&self) -> i64 {
        signed(self.clients.iter().filter(|client| client.is_connected()).count())
    }

    /// Begins the comparison: all clients are connected and have sent something.
    pub fn mark(&mut self) {
        for index in 0..self.clients.len() {
            let mut bytes = Vec::new();
            let message = Message { topic: "nobody", payload: &[b'x'; 10], ..Message::default() };
            packets::message(&mut bytes, self.clients[index].version(), &message);
            self.send(index, &bytes);
        }
        self.exercise_store();
        self.background();
        self.connection = self.measure_connection();
        self.pulse();
        self.base = self.figures();
        self.connected = self.count_connected();
    }

    /// Measures the memory of an idle connection, so that reconnects do not count.
    fn measure_connection(&mut self) -> i64 {
        let durable: Vec<_> =
            (0..self.clients.len()).filter(|&index| self.clients[index].durable).collect();
        for &index in &durable {
            self.disconnect(index, true);
        }
        self.background();
        let before = self.figures().lag();
        for &index in &durable {
            self.connect(index, None);
        }
        self.background();
        (self.figures().lag() - before) / signed(durable.len().max(1))
    }

    /// The growth since `mark`.
    pub fn growth(&self) -> Figures {
        let connections = (self.count_connected() - self.connected) * self.connection;
        let mut growth = self.figures().since(self.base);
        growth.live -= connections;
        growth
    }

    /// Disconnects all clients and ends their sessions.
    pub fn everybody_leaves(&mut self) {
        for index in 0..self.clients.len() {
            if self.clients[index].is_connected() {
                self.clients[index].reads = true;
                self.disconnect(index, false);
            }
        }
        for index in 0..self.clients.len() {
            if self.clients[index].durable {
                self.connect_as(index, true, None);
                self.disconnect(index, true);
            }
        }
        self.clients.clear();
        let mut quiet = 0;
        for _ in 0..PATIENCE {
            self.background();
            quiet = if self.figures().charged == 0 { quiet + 1 } else { 0 };
            if quiet > 8 {
                return;
            }
        }
    }
}
