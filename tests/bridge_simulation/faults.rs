//! What goes wrong: links that break or stall, and brokers that crash.

use crate::bridge::Bridge;
use crate::link::{Cut, Link};
use crate::node::Node;
use crate::place::Place;
use crate::run::Run;
use crate::shape::{EDGE, REMOTE};

impl Run {
    pub(super) fn link_fails(&mut self) {
        let cut = *self.rng.pick(&[Cut::Closed, Cut::Reset]);
        let what = self.rng.index(7);
        let stalls = (self.rng.percent(50), self.rng.percent(50));
        let Some(bridge) = &mut self.bridges[if self.rng.percent(70) { EDGE } else { REMOTE }]
        else {
            return;
        };
        let at = bridge.at;
        let count = bridge.links().count();
        if count == 0 {
            return;
        }
        let link = bridge.links().nth(self.rng.index(count)).expect("counted");
        match what {
            0 => link.stall(stalls.0, stalls.1),
            1 => link.stall(false, false),
            _ => {
                link.breaks(&mut self.rng);
                self.model.cuts += 1;
                // Each end learns of it now or later.
                if what != 2 {
                    link.cut_near(cut);
                }
                if what != 3 {
                    link.cut_far(cut);
                }
            }
        }
        self.say(|| format!("a link of broker {at}: {what} {cut:?} {stalls:?}"));
    }

    pub(super) fn dies(&mut self, at: usize) {
        if self.rng.percent(30) {
            let changes = self.rng.between(0, 12);
            self.node(at).dies_after(changes);
            self.node(at).commit(true);
            self.say(|| format!("broker {at} dies after {changes} more changes"));
        }
        self.crash(at);
    }

    /// Kills a broker, or cuts its power, and starts it again.
    pub(super) fn crash(&mut self, at: usize) {
        self.model.crashes += 1;
        let power = self.rng.percent(40);
        self.say(|| format!("broker {at} crashes, with the power: {power}"));
        for index in 0..self.clients.len() {
            if self.clients[index].at == at {
                // What was sent before may still arrive.
                if self.rng.percent(50) {
                    self.exchange(index);
                }
                self.client_is_cut(index);
            }
        }
        let old = match self.bridges[at].take() {
            Some(bridge) => bridge.kill(&mut self.rng),
            None => Vec::new(),
        };
        if let Some(other) = &mut self.bridges[1 - at] {
            for link in other.links() {
                link.loses(false, &mut self.rng);
                if self.rng.percent(50) {
                    link.cut_near(Cut::Reset);
                }
            }
        }
        let place = self.nodes[at].take().expect("a broker").kill();
        let place = if power { place.without_power(&mut self.rng) } else { place };
        self.now += self.rng.between(0, 2_000);
        self.start(at, place, old);
    }

    pub(super) fn start(&mut self, at: usize, place: Place, old: Vec<Link>) {
        let node = Node::start(at, place, &self.shape, self.max_packet, self.now);
        self.bridges[at] =
            self.shape.bridge(at).map(|configuration| Bridge::start(&node, configuration, old));
        self.nodes[at] = Some(node);
    }
}
