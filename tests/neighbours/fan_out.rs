//! Fan-out: few bytes that become many, and messages for subscribers that never read.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::attack::{self, Attack};
use super::common::pair;
use super::crowd::{Crowd, Source};
use super::stage::Scene;
use super::wire;

/// Repeated writes of 64 KiB of empty publishes, to many subscribers that read.
#[test]
fn fan_out_qos0() {
    fan_out("fan_out_qos0", 1, 1000);
}

#[test]
fn fan_out_qos0_wide() {
    fan_out("fan_out_qos0_wide", 2, 3000);
}

fn fan_out(name: &'static str, publishers: usize, subscribers: usize) {
    let stage = Scene::new(name).start();
    let sockets = subscribed(stage.before(), subscribers);
    let mut packet = Vec::new();
    wire::publish(&mut packet, "f", b"", false);
    let length = packet.len() as u64;
    let burst = wire::repeated(&packet, 64 << 10);
    let (came, least) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut outcome = stage.play(|attack| {
        let mut readers = Crowd::new();
        for socket in sockets {
            readers.add(socket, Source::Nothing, true);
        }
        std::thread::scope(|scope| {
            scope.spawn(|| publish(attack, publishers, &burst));
            readers.run(attack);
        });
        came.store(readers.read / length, Relaxed);
        least.store(readers.least_read() / length, Relaxed);
        let (open, came, least) = (readers.open(), came.load(Relaxed), least.load(Relaxed));
        attack.note(format!(
            "{came} messages came to {open} of {subscribers} subscribers, {least} at least to each"
        ));
    });
    // The flood is their own subscription: it is sent to them in turns, and none is forgotten.
    // Ten times as many were seen; a build in which receivers starved had a fifth of this.
    let (came, least, took) = (came.into_inner(), least.into_inner(), outcome.took[0]);
    outcome.expect(came as f64 >= took && least > 0, || {
        format!("subscribers starve: {came} messages came, {least} at least to each")
    });
    outcome.check();
}

fn subscribed(attack: &Attack, count: usize) -> Vec<TcpStream> {
    let one = |number| attack.subscriber(&format!("subscriber-{number}"), "f").unwrap();
    (0..count).map(one).collect()
}

/// Publishers that send the same bytes whenever there is room.
fn publish(attack: &Attack, publishers: usize, bytes: &[u8]) {
    attack::make_way();
    let (mut crowd, bytes) = (Crowd::new(), Arc::from(bytes));
    for number in 0..publishers {
        let client = attack.client(&format!("publisher-{number}"), true).unwrap();
        crowd.add(client.writer().unwrap(), Source::Again(Arc::clone(&bytes)), true);
    }
    crowd.run(attack);
    attack.note(format!("{} bursts sent by {publishers} publishers", crowd.rounds));
}

/// One large message, repeated, for many subscribers that never read.
#[test]
fn unread_large() {
    const SUBSCRIBERS: usize = 300;
    let stage = Scene::new("unread_large").start();
    let sockets = subscribed(stage.before(), SUBSCRIBERS);
    let mut packet = Vec::new();
    wire::publish(&mut packet, "f", &vec![b'x'; 1_000_000], false);
    let outcome = stage.play(|attack| {
        publish(attack, 1, &packet);
        drop(sockets);
    });
    outcome.check();
}

/// A subscriber that never reads a topic at full rate. Messages of others must not be dropped
/// for it.
#[test]
fn slow_subscriber_qos0() {
    let neighbours = &[pair::QOS0, pair::CLEAN];
    let stage = Scene { neighbours, ..Scene::new("slow_subscriber_qos0") }.start();
    let sockets = subscribed(stage.before(), 1);
    let mut packet = Vec::new();
    wire::publish(&mut packet, "f", &[b'x'; 1024], false);
    let burst = wire::repeated(&packet, 64 << 10);
    let outcome = stage.play(|attack| {
        publish(attack, 1, &burst);
        drop(sockets);
    });
    outcome.check();
}
