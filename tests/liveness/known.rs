//! Lost wake-ups that were found once, each reproduced in as few steps as possible.

use std::rc::Rc;

use ferrymq::protocol::Version;

use crate::api::{self, Within};
use crate::client::{Acknowledging, Client, Reading};
use crate::common::rng::Rng;
use crate::run::{Run, on_paused_time};
use crate::shape::Shape;
use crate::vfs;

/// Durable MQTT 5.0 clients; `change` changes the first one.
pub(super) fn world(shape: Shape, count: usize, change: impl FnOnce(&mut Client)) -> Run {
    vfs::install();
    let mut rng = Rng::from_seed(1);
    let durable = |index| {
        let mut client = Client::new(index, &mut Rng::from_seed(1));
        client.version = Version::V5;
        client.durable = true;
        client.keep_alive = 0;
        client.max_packet = None;
        client.receive_maximum = None;
        client
    };
    let mut clients: Vec<Client> = (0..count).map(durable).collect();
    change(&mut clients[0]);
    let seed = rng.between(1, 100);
    let trace = std::env::var_os("LIVENESS_TRACE").is_some();
    Run::begin(seed, rng, shape, clients, trace)
}

impl Run {
    pub(super) fn all_connect(&mut self) {
        for index in 0..self.clients.len() {
            self.connect(index);
        }
        self.rest();
        assert!(self.clients.iter().all(|client| client.connected));
    }

    pub(super) fn subscribe(&mut self, index: usize, filter: &str, qos: u8) {
        self.clients[index].subscribe(&mut self.model, filter, qos);
        self.rest();
        self.model.step += 1;
    }

    pub(super) fn publish(&mut self, index: usize, topic: &str, qos: u8, size: usize) {
        self.clients[index].publish(&mut self.model, topic, qos, size);
    }

    pub(super) fn is_over(&mut self) {
        self.rest();
        self.nothing_was_forgotten();
        for client in &self.clients {
            assert_eq!(client.waits_for(), "", "client {} is not answered", client.index);
            assert!(self.model.owed(client.index).is_empty(), "client {} is owed", client.index);
        }
    }
}

#[test]
fn a_client_is_heard_after_a_large_transfer_that_it_was_slow_to_read() {
    on_paused_time(async {
        // More than the broker encodes in advance.
        let shape = Shape { buffer: 300_000, ..Shape::calm() };
        let mut run = world(shape, 2, |reader| reader.version = Version::V311);
        run.all_connect();
        run.subscribe(0, "t/0", 0);
        run.clients[0].reading = Reading::Nothing;
        for _ in 0..8 {
            run.publish(1, "t/0", 0, 200_000);
        }
        run.rest();
        run.clients[0].ping();
        run.rest();
        run.clients[0].reading = Reading::Everything;
        run.is_over();
    });
}

#[test]
fn a_message_behind_one_that_is_too_large_comes_by_itself() {
    on_paused_time(async {
        let mut run = world(Shape::calm(), 2, |receiver| {
            receiver.max_packet = Some(100);
            receiver.receive_maximum = Some(1);
        });
        run.all_connect();
        run.subscribe(0, "t/0", 1);
        run.publish(1, "t/0", 1, 500);
        run.publish(1, "t/0", 1, 10);
        run.is_over();
    });
}

#[test]
fn a_receiver_that_connects_before_the_message_is_submitted_is_woken_at_its_commit() {
    on_paused_time(async {
        let mut run = world(Shape::calm(), 2, |_| {});
        run.all_connect();
        run.subscribe(0, "t/0", 2);
        let wire = run.clients[0].lost(&mut run.model).expect("a connection");
        wire.end.close();
        run.rest();
        // It is reconnecting when the message is published ...
        run.connect(0);
        run.move_bytes(0);
        run.publish(1, "t/0", 2, 10);
        run.move_bytes(1);
        // ... and does everything that it may do before the publisher's step is submitted.
        let others = Rc::clone(&run.engine);
        api::within(Some(Box::new(move |within| {
            for _ in 0..3 {
                if within == Within::Step {
                    others.ready().into_iter().for_each(|number| others.poll(number));
                    others.commit(true);
                }
            }
        })));
        let publisher = run.clients[1].wire.as_ref().expect("a connection").number;
        run.engine.poll(publisher);
        api::within(None);
        run.is_over();
    });
}

#[test]
fn a_message_behind_one_that_the_disk_had_no_room_for_comes_by_itself() {
    on_paused_time(async {
        let mut run = world(Shape::calm(), 3, |receiver| receiver.durable = false);
        run.all_connect();
        run.subscribe(0, "t/0", 2);
        run.engine.world.set_disk_full(true);
        // This finds no room either, so nothing of the batch is committed.
        run.clients[2].subscribe(&mut run.model, "w/0", 1);
        // From a durable publisher at QoS 2: no receiver may get it before it is on disk.
        run.publish(1, "t/0", 2, 10);
        run.publish(1, "t/0", 1, 10);
        run.rest();
        run.nothing_was_forgotten();
    });
}

#[test]
fn a_receiver_that_connects_while_a_message_waits_for_room_is_woken_when_there_is_room() {
    on_paused_time(async {
        let shape = Shape { back_pressure: true, ..Shape::calm() };
        let mut run = world(shape, 2, |_| {});
        run.clients[1].version = Version::V311;
        run.all_connect();
        run.subscribe(0, "t/0", 2);
        let wire = run.clients[0].lost(&mut run.model).expect("a connection");
        wire.end.close();
        run.rest();
        run.engine.world.set_disk_full(true);
        run.publish(1, "t/0", 2, 10);
        run.rest();
        assert_ne!(run.clients[1].waits_for(), "", "its message is parked");
        run.connect(0);
        run.rest();
        run.engine.world.set_disk_full(false);
        run.is_over();
    });
}

/// Client 0 publishes messages of `size` bytes to client 1, which acknowledges none, until one
/// waits for room.
fn publisher_that_waits(size: usize) -> Run {
    let shape = Shape { back_pressure: true, max_queued: 3, inflight_window: 1, ..Shape::calm() };
    let mut run = world(shape, 2, |publisher| publisher.version = Version::V311);
    run.all_connect();
    run.subscribe(1, "t/0", 1);
    run.clients[1].acknowledging = Acknowledging::Never;
    while run.clients[0].waits_for().is_empty() {
        run.publish(0, "t/0", 1, size);
        run.rest();
    }
    run
}

#[test]
fn a_publisher_that_waits_for_a_queue_goes_on_when_its_owner_has_unsubscribed() {
    on_paused_time(async {
        let mut run = publisher_that_waits(10);
        run.clients[1].unsubscribe(&mut run.model, "t/0");
        run.rest();
        run.nothing_was_forgotten();
        assert_eq!(run.clients[0].waits_for(), "");
    });
}

#[test]
fn the_end_of_a_client_is_seen_behind_a_large_message_that_has_to_wait() {
    on_paused_time(async {
        // More than one read returns.
        let mut run = publisher_that_waits(150_000);
        let wire = run.clients[0].lost(&mut run.model).expect("a connection");
        wire.end.close();
        run.rest();
        assert!(wire.end.is_dropped(), "the connection goes on");
    });
}

/// A take-over revokes the old connection in the middle of a step: what its client has sent by
/// then still counts, although the step has already read.
#[test]
fn what_arrives_in_a_step_that_is_revoked_is_read_before_the_session_goes_on() {
    on_paused_time(async {
        let mut run = world(Shape::calm(), 2, |_| {});
        run.all_connect();
        run.subscribe(0, "t/0", 1);
        run.clients[0].acknowledging = Acknowledging::Never;
        run.publish(1, "t/0", 1, 10);
        run.rest();
        assert_eq!(run.model.received, 1);
        // The old connection has something to do ...
        run.publish(1, "t/0", 1, 10);
        run.move_bytes(1);
        let publisher = run.clients[1].wire.as_ref().expect("a connection").number;
        run.engine.poll(publisher);
        run.engine.commit(true);
        // ... while its client acknowledges and opens a new connection.
        let mut old = run.clients[0].wire.take().expect("a connection");
        old.send(&ferrymq::protocol::Packet::PubAck(crate::client::ack(1)));
        run.connect(0);
        run.move_bytes(0);
        let newcomer = run.clients[0].wire.as_ref().expect("a connection").number;
        let (number, others) = (old.number, Rc::clone(&run.engine));
        let old = Rc::new(std::cell::RefCell::new(old));
        let arrives = Rc::clone(&old);
        api::within(Some(Box::new(move |within| {
            if within == Within::Step && arrives.borrow_mut().push() {
                others.poll(newcomer);
            }
        })));
        run.engine.poll(number);
        api::within(None);
        run.rest();
        // The first message is acknowledged; the second one arrives on the new connection.
        assert_eq!(run.model.received, 2, "what was acknowledged came again");
        drop(old);
    });
}
