//! Retained messages that are requested repeatedly, or set and deleted.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::attack;
use super::crowd::{Crowd, Source};
use super::stage::{Scene, Stage};
use super::wire;

/// Levels of a deep topic.
const LEVELS: usize = 100;
/// Memory of 20,000 retained messages with their topics, in MiB.
const STORED: u64 = 64;

/// A client that subscribes to all of them repeatedly and reads nothing.
#[test]
fn retained_again() {
    const RETAINED: usize = 20_000;
    let stage = Scene { kept: STORED, ..Scene::new("retained_again") }.start();
    set(&stage, RETAINED);
    let reader = stage.before().client("reader", true).unwrap();
    let outcome = stage.play(|attack| {
        let mut packet = Vec::new();
        wire::subscribe(&mut packet, 1, ["#"]);
        let mut crowd = Crowd::new();
        let again = Source::Again(Arc::from(wire::repeated(&packet, 4096)));
        crowd.add(reader.writer().unwrap(), again, false);
        crowd.run(attack);
        drop(reader);
        attack.note(format!("{} SUBSCRIBEs sent", attack.bytes() / packet.len() as u64));
    });
    outcome.check();
}

fn set(stage: &Stage, count: usize) {
    let mut client = stage.before().client("keeper", true).unwrap();
    let mut out = Vec::new();
    for number in 0..count {
        wire::publish(&mut out, &format!("kept/{number}"), &[b'x'; 100], true);
    }
    client.send(&out).unwrap();
    client.until_ping().unwrap();
    let there = stage.broker().metric("ferrymq_retained_messages");
    assert!((there - count as f64).abs() < 1.0, "{there} retained messages");
}

/// Topics of a hundred levels that share only the first, all set and all deleted in one
/// stream.
#[test]
fn deep_retained_deleted() {
    let topics = attack::many(20_000, 110_000);
    let most = topics.to_string();
    let settings = &[("FERRYMQ_MQTT__MAX_RETAINED_MESSAGES", most.as_str())];
    let stage = Scene { settings, ..Scene::new("deep_retained_deleted") }.start();
    let client = stage.before().client("digger", true).unwrap();
    let outcome = stage.play(|attack| {
        let mut number = 0;
        let make = move |out: &mut Vec<u8>| {
            while out.len() < 64 << 10 {
                let kept = (number / topics).is_multiple_of(2);
                let payload: &[u8] = if kept { b"kept" } else { b"" };
                wire::publish(out, &deep(number % topics), payload, true);
                number += 1;
            }
        };
        let mut crowd = Crowd::new();
        crowd.add(client.writer().unwrap(), Source::Made(Box::new(make)), true);
        crowd.run(attack);
        attack.note(format!("{} MB set or deleted", attack.bytes() / 1_000_000));
        drop((crowd, client));
        // Deletes what is still set at the end.
        let mut out = Vec::new();
        (0..topics).for_each(|topic| wire::publish(&mut out, &deep(topic), b"", true));
        let mut client = attack.client("digger", true).unwrap();
        client.patience(Duration::from_mins(1));
        client.writer().unwrap().set_write_timeout(Some(Duration::from_mins(1))).unwrap();
        if let Err(error) = client.send(&out).and_then(|()| client.until_ping()) {
            attack.note(format!("not all deleted: {error}"));
        }
    });
    outcome.check();
}

fn deep(topic: usize) -> String {
    let mut name = format!("deep/{topic}");
    for level in 0..LEVELS - 2 {
        write!(name, "/{}", level % 10).unwrap();
    }
    name
}
