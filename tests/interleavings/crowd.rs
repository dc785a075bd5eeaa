//! Thousands of MQTT 5.0 clients with a delayed will, driven by a few threads: everything is
//! sent to all of them before the first answer is awaited.

use std::io;
use std::time::Duration;

use super::common::raw::{self, Connect, Packet, Raw, Will};

const THREADS: usize = 8;
/// The will delay; the protocol counts whole seconds.
pub const WILL_DELAY: Duration = Duration::from_secs(2);

pub fn name(n: usize) -> String {
    format!("client-{n}")
}

/// The topic that client `n` subscribes to at QoS 1.
pub fn topic(n: usize) -> String {
    format!("to/{n}")
}

/// The topics of all wills.
pub const WILLS: &str = "wills/+";

/// The client whose will was published under this topic.
pub fn of_will(topic: &str) -> usize {
    topic.strip_prefix("wills/").unwrap().parse().unwrap()
}

fn connect_packet(n: usize, clean: bool) -> Connect {
    let delay = u32::try_from(WILL_DELAY.as_secs()).unwrap();
    let will = Some(Will { delay, ..Will::new(format!("wills/{n}")) });
    Connect { will, ..Connect::new(5, clean) }
}

/// Connects clients `0..count`, those with `clean(n)` with Clean Start; clients without a
/// session subscribe. Returns all of them, each with its Session Present flag, after CONNACK
/// and SUBACK.
pub fn connect(
    port: u16,
    count: usize,
    clean: impl Fn(usize) -> bool + Sync,
    subscribe: impl Fn(usize) -> bool + Sync,
) -> Vec<Raw> {
    let share = count.div_ceil(THREADS);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (clean, subscribe) = (&clean, &subscribe);
                let numbers = thread * share..count.min((thread + 1) * share);
                scope.spawn(move || connect_some(port, numbers, clean, subscribe).unwrap())
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

fn connect_some(
    port: u16,
    numbers: std::ops::Range<usize>,
    clean: impl Fn(usize) -> bool,
    subscribe: impl Fn(usize) -> bool,
) -> io::Result<Vec<Raw>> {
    let mut clients = Vec::new();
    for n in numbers.clone() {
        let mut client = Raw::begin(port, &name(n), &connect_packet(n, clean(n)))?;
        if subscribe(n) {
            let mut out = Vec::new();
            raw::subscribe(&mut out, 5, 1, &topic(n), 1);
            client.send(&out)?;
        }
        clients.push(client);
    }
    for (n, client) in numbers.zip(&mut clients) {
        client.accepted()?;
        if subscribe(n) {
            assert_eq!(client.recv()?, Packet::SubAck(1));
        }
    }
    Ok(clients)
}

/// Drains each client: everything before PINGRESP, and at least one message, which may have to
/// be read from disk first. Returns the numbers of messages.
pub fn drain(clients: &mut [Raw]) -> Vec<usize> {
    for client in &mut *clients {
        client.patience(Duration::from_secs(10));
        client.send(&[0xC0, 0]).unwrap();
    }
    clients.iter_mut().map(drain_one).collect()
}

fn drain_one(client: &mut Raw) -> usize {
    let (mut messages, mut answered) = (0, false);
    while !answered || messages == 0 {
        match client.recv() {
            Ok(Packet::PingResp) => answered = true,
            Ok(Packet::Publish(message)) => {
                let mut out = Vec::new();
                raw::ack(&mut out, raw::PUBACK, message.pid);
                client.send(&out).unwrap();
                messages += 1;
            }
            // Nothing has arrived within the read timeout.
            Err(_) if answered => break,
            other => panic!("{other:?}"),
        }
    }
    messages
}
