//! Large packets: kept as a will, an alias, a packet id or a queue, or never completed.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use super::attack::Attack;
use super::common::packets::{self, Connect, Message, Will, property};
use super::common::pair;
use super::common::raw::{self, Packet, Publish};
use super::crowd::{Crowd, Source};
use super::outcome::MIB;
use super::stage::Scene;
use super::wire;

/// Nearly the default of `mqtt.max_packet_size`.
const LARGE: usize = 1_000_000;

/// Messages of 64 KiB at QoS 2 with new packet ids and no PUBREL: 768 MiB if they are
/// accepted.
#[test]
fn qos2_never_released() {
    const CONNECTIONS: usize = 8;
    const EACH: u16 = 1536;
    let stage = Scene::new("qos2_never_released").start();
    let outcome = stage.play(|attack| {
        let mut crowd = Crowd::new();
        for number in 0..CONNECTIONS {
            let client = attack.client(&format!("never-{number}"), true).unwrap();
            let mut pid = 0;
            let make = move |out: &mut Vec<u8>| {
                if pid < EACH {
                    pid += 1;
                    raw::publish(out, 4, &message("q2", 2, pid, 64 << 10));
                }
            };
            crowd.add(client.writer().unwrap(), Source::Made(Box::new(make)), true);
        }
        crowd.run(attack);
        attack.note(format!("{} sent, {} answered", crowd.rounds, crowd.read / 4));
        attack.note(format!("{} of {CONNECTIONS} connections are open", crowd.open()));
    });
    outcome.check();
}

fn message(topic: &str, qos: u8, pid: u16, bytes: usize) -> Publish {
    Publish { dup: false, qos, pid, topic: topic.into(), payload: vec![b'x'; bytes] }
}

/// Wills with a megabyte of properties, from clients that send nothing more.
#[test]
fn large_wills() {
    const CONNECTIONS: usize = 300;
    let stage = Scene::new("large_wills").start();
    let outcome = stage.play(|attack| {
        let (payload, properties) = (vec![b'w'; 60_000], property::user(LARGE - 100_000));
        let will = Will { payload, qos: 0, properties, ..Will::new("will") };
        let login = Connect { will: Some(will), ..Connect::passing(5) };
        let (mut held, mut refused) = (Vec::new(), 0);
        for number in 0..CONNECTIONS {
            match attack.log_in(&format!("will-{number}"), &login) {
                Ok((stream, 0)) => held.push(stream),
                _ => refused += 1,
            }
            if attack.over() {
                break;
            }
        }
        attack.note(format!("{} wills taken, {refused} refused", held.len()));
        attack.wait();
    });
    outcome.check();
}

/// CONNECTs of a megabyte without their last byte, from unauthenticated clients.
#[test]
fn unfinished_connects() {
    const CONNECTIONS: usize = 600;
    let stage = Scene::new("unfinished_connects").start();
    let outcome = stage.play(|attack| {
        let login = Connect { properties: property::user(LARGE), ..Connect::passing(5) };
        let mut packet = login.encode("nobody");
        packet.pop();
        let dial = |_| attack.dial();
        unfinished(attack, (0..CONNECTIONS).map(dial), &packet);
    });
    outcome.check();
}

/// The same with a PUBLISH, from connected clients.
#[test]
fn unfinished_publishes() {
    const CONNECTIONS: usize = 300;
    let stage = Scene::new("unfinished_publishes").start();
    let outcome = stage.play(|attack| {
        let mut packet = Vec::new();
        wire::publish(&mut packet, "never", &vec![b'x'; LARGE], false);
        packet.pop();
        let client = |number| attack.client(&format!("never-{number}"), true)?.writer();
        unfinished(attack, (0..CONNECTIONS).map(client), &packet);
    });
    outcome.check();
}

/// Sends the same bytes on all sockets and holds them open.
fn unfinished(
    attack: &Attack,
    sockets: impl Iterator<Item = io::Result<TcpStream>>,
    packet: &[u8],
) {
    let (mut crowd, packet) = (Crowd::new(), Arc::from(packet));
    for socket in sockets.filter_map(Result::ok) {
        crowd.add(socket, Source::Once(Arc::clone(&packet)), true);
    }
    crowd.run(attack);
    attack.note(format!("{} sent to the last byte but one, {} held", crowd.rounds, crowd.open()));
    attack.wait();
}

/// As many topic aliases as a connection may have, with topics of the maximum length.
#[test]
fn topic_aliases() {
    const CONNECTIONS: usize = 200;
    const ALIASES: u16 = 32;
    let stage = Scene::new("topic_aliases").start();
    let outcome = stage.play(|attack| {
        let (mut crowd, end) = (Crowd::new(), "t".repeat(60_000));
        for number in 0..CONNECTIONS {
            let login = attack.log_in(&format!("alias-{number}"), &Connect::passing(5));
            let Ok((stream, 0)) = login else { continue };
            let (mut alias, end) = (0, end.clone());
            let make = move |out: &mut Vec<u8>| {
                if alias < ALIASES {
                    alias += 1;
                    let topic = format!("{number}-{alias}-{end}");
                    let properties = &property::topic_alias(alias);
                    let (qos, pid) = (1, alias);
                    let message =
                        Message { topic: &topic, qos, pid, properties, ..Message::default() };
                    packets::message(out, 5, &message);
                }
            };
            crowd.add(stream, Source::Made(Box::new(make)), true);
        }
        crowd.run(attack);
        attack.note(format!("{} aliases sent, {} B of answers", crowd.rounds, crowd.read));
        attack.note(format!("{} of {CONNECTIONS} connections are open", crowd.open()));
    });
    outcome.check();
}

/// One message of a megabyte for many offline durable sessions: it is stored once, and leaves
/// room for others.
#[test]
fn durable_receivers() {
    const RECEIVERS: usize = 600;
    let neighbours = &[pair::QOS0];
    let stage = Scene { neighbours, ..Scene::new("durable_receivers") }.start();
    for number in 0..RECEIVERS {
        let mut client = stage.before().client(&format!("away-{number}"), false).unwrap();
        client.subscribe("large", 1).unwrap();
    }
    let broker = stage.broker();
    let (mut most, mut stored) = (0.0_f64, false);
    let mut outcome = stage.play(|attack| {
        let mut client = attack.client("publisher", true).unwrap();
        let mut out = Vec::new();
        raw::publish(&mut out, 4, &message("large", 1, 1, LARGE));
        attack.spent(out.len());
        let answer = client.send(&out).and_then(|()| client.recv());
        attack.note(format!("answered with {answer:?}"));
        stored = matches!(answer, Ok(Packet::PubAck(1, 0)));
        while !attack.over() {
            most = most.max(broker.metric("ferrymq_message_memory_bytes"));
            std::thread::sleep(Duration::from_millis(50));
        }
        attack.note(format!("{most} B of messages in memory at most"));
    });
    outcome.expect(stored, || "the message was not taken".into());
    outcome.expect(most < 4.0 * MIB as f64, || format!("counted {most} B"));
    outcome.check();
}
