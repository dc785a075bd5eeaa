//! The end of a history: everything that waits is let through, all clients reconnect, and the
//! model is checked.

use std::collections::HashMap;

use ferrymq::protocol::{
    Packet, PacketId, QoS, ReasonCode, Subscribe, SubscribeFilter, SubscriptionOptions, TopicFilter,
};

use crate::client::Client;
use crate::common::rng::Rng;
use crate::run::Run;
use crate::scheduler::drive;
use crate::wire::{Got, Link};

/// A broker that needs more rounds does not come to rest.
const REST: usize = 5_000;

impl Run {
    /// Runs until nothing happens any more.
    fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..REST {
            self.model.step += 1;
            self.watch();
            if self.world().is_poisoned() {
                self.crash();
            }
            let mut busy = false;
            let queued = self.world().broker.queued();
            for number in self.links.keys().copied().collect::<Vec<_>>() {
                if self.links.get(&number).is_some_and(Link::is_ready) {
                    // A connection that is rung and has nothing to do is at rest: a publisher
                    // that waits for room is rung at every retry.
                    let before = self.stands(number);
                    self.turn(number, 50);
                    busy |= self.stands(number) != before;
                }
            }
            for index in 0..self.clients.len() {
                busy |= self.read(index, 100);
                let client = &mut self.clients[index];
                if let Some(link) = client.link.and_then(|number| self.links.get_mut(&number)) {
                    while client.connected && client.acknowledge(link) {
                        busy = true;
                    }
                }
            }
            let _ = self.world().store.step(true);
            self.look_for_refusals();
            drive(self.world().broker.background_once());
            let _ = self.world().store.step_idle();
            // Many consecutive messages may have expired; they are dropped page by page.
            busy |= self.world().broker.queued() != queued;
            quiet = if busy { 0 } else { quiet + 1 };
            if quiet == 5 {
                let vain = self.links.values().find(|link| link.waits_for_answers());
                assert!(vain.is_none(), "read no further at rest: {:?}", vain.map(Link::describe));
                return;
            }
        }
        for link in self.links.values().filter(|_| self.trace) {
            println!("{}, {} writes wait", link.describe(), self.world().store.pending());
        }
        panic!("the broker does not come to rest");
    }

    /// The progress of a link, as visible from its ends.
    fn stands(&self, number: u64) -> Option<(usize, usize, bool)> {
        let link = self.links.get(&number)?;
        Some((link.to_server.len(), link.to_client.len(), link.closed))
    }

    pub(super) fn finish(&mut self) {
        self.say(|| "the end begins".into());
        self.let_all_end();
        self.undisturbed = true;
        self.world().disk.set_fault(None);
        self.settle();
        self.all_come_back();
        self.check_gauges();
        // Sessions that end with their connection are not checked after the final drain.
        self.model.check_received();
        let before = self.observe();
        self.model.check_retained(&before, self.now);
        self.settle();
        if !self.shape.volatile {
            // Everything was committed, so memory and file hold the same.
            self.crash();
            // Before clients send unacknowledged messages again.
            let on_disk = self.world().retained(self.now);
            self.model.check_retained_on_disk(&before, &on_disk, self.now);
        }
        self.all_come_back();
        let after = self.observe();
        self.model.check_retained(&after, self.now);
        self.probe();
        self.all_come_back();
        if self.trace {
            println!("{}", self.world().queues());
            for link in self.links.values() {
                println!("{}", link.describe());
            }
        }
        self.check_gauges();
        self.model.check_end();
    }

    /// Reconnects clients whose connection was refused or lost in the last crash.
    fn all_come_back(&mut self) {
        self.settle();
        for _ in 0..100 {
            let away: Vec<usize> = (0..self.clients.len())
                .filter(|index| {
                    self.clients[*index].is_durable() && !self.clients[*index].connected
                })
                .collect();
            if away.is_empty() {
                return;
            }
            for index in away {
                self.cut(index);
                self.connect(index);
            }
            self.settle();
        }
        let still_away = self.clients.iter().find(|c| c.is_durable() && !c.connected);
        let broker = &self.world().broker;
        assert!(
            still_away.is_none(),
            "client {:?} cannot connect: {} B in memory, {} deliveries queued",
            still_away.map(|c| c.index),
            broker.memory(),
            broker.queued()
        );
    }

    /// Publishes a message on each topic for all certain subscriptions.
    fn probe(&mut self) {
        for topic in ["t/0", "t/1", "u/a/b", "s/0", "r/0"] {
            let able: Vec<usize> = (0..self.clients.len())
                .filter(|index| self.clients[*index].may_publish())
                .collect();
            if able.is_empty() {
                return;
            }
            let client = &mut self.clients[*self.rng.pick(&able)];
            let link = client.link.and_then(|number| self.links.get_mut(&number));
            client.probe(link.expect("its link"), &mut self.model, topic, self.now);
        }
    }

    /// Gauges that are kept by increments must equal the sums over the sessions.
    pub(super) fn check_gauges(&self) {
        let broker = &self.world().broker;
        let counted = broker.metrics.messages.in_flight.get();
        assert_eq!(counted, i64::try_from(broker.in_flight()).unwrap(), "messages in flight");
    }

    /// When everything is committed, file and memory must hold the same.
    pub(super) fn compare_retained(&mut self) {
        if !self.actors.is_empty() || self.shape.volatile {
            return;
        }
        self.world().disk.set_fault(None);
        let committed = self.world().store.step(true);
        self.look_for_refusals();
        if committed.is_err() {
            return;
        }
        let (memory, on_disk) = (self.retained_in_memory(), self.world().retained(self.now));
        self.model.check_retained_on_disk(&memory, &on_disk, self.now);
    }

    /// The retained messages that the admin API lists.
    fn retained_in_memory(&self) -> HashMap<String, u32> {
        let list = self.world().broker.retained_list("#", None, 1_000);
        let number = |payload: &[u8]| u32::from_be_bytes(payload[..4].try_into().unwrap());
        list.messages.iter().map(|m| (m.topic.to_string(), number(&m.payload))).collect()
    }

    /// The retained messages that a new subscriber receives.
    fn observe(&mut self) -> HashMap<String, u32> {
        if self.model.short_memory {
            // A subscriber may not receive messages larger than its share of memory.
            return self.retained_in_memory();
        }
        let mut rng = Rng::from_seed(1);
        let mut observer = Client::observer(self.clients.len(), self.habits, &mut rng);
        let mut link = observer.connect(0, &mut self.model, &mut rng, self.now);
        link.send(&Packet::Subscribe(Box::new(Subscribe {
            packet_id: PacketId::FIRST,
            subscription_id: None,
            filters: vec![SubscribeFilter {
                filter: TopicFilter::new("#").unwrap(),
                options: SubscriptionOptions {
                    qos: QoS::AtMostOnce,
                    ..SubscriptionOptions::default()
                },
            }],
            user_properties: Vec::new(),
        })));
        let mut retained = HashMap::new();
        for _ in 0..10 {
            let world = self.world.as_ref().expect("a broker runs");
            link.turn(&world.broker, self.now, 10);
            let _ = world.store.step(true);
            for got in link.to_client.drain(..) {
                match got {
                    Got::Publish(received) if received.retain => {
                        retained.insert(received.topic, received.message);
                    }
                    Got::ConnAck { reason, .. } => assert_eq!(reason, ReasonCode::Success),
                    _ => {}
                }
            }
        }
        link.cut = true;
        link.turn(&self.world().broker, self.now, 10);
        retained
    }
}
