//! A client that reconnects to a long queue and drains it, with the time of each step.

use std::time::{Duration, Instant};

use super::raw::{self, Packet, Raw};

/// Receives and acknowledges messages `0..count` of one publisher, which must arrive in order.
/// Returns the messages per second of each `step` messages.
pub fn in_order(client: &mut Raw, count: u64, step: u64) -> Vec<f64> {
    let (mut rates, mut out) = (Vec::new(), Vec::new());
    let mut mark = Instant::now();
    for expected in 0..count {
        let Packet::Publish(message) = client.recv().unwrap() else { panic!("no PUBLISH") };
        let sequence = u64::from_be_bytes(message.payload[..8].try_into().unwrap());
        assert_eq!(sequence, expected, "in order, none missing, none twice");
        raw::ack(&mut out, raw::PUBACK, message.pid);
        if !client.has_packet() {
            client.send(&out).unwrap();
            out.clear();
        }
        if (expected + 1) % step == 0 {
            rates.push(step as f64 / mark.elapsed().as_secs_f64());
            mark = Instant::now();
        }
    }
    client.send(&out).unwrap();
    // PINGRESP arrives after the broker has handled everything sent before.
    assert_eq!(client.until_ping().unwrap(), []);
    rates
}

/// Minimum, median, maximum.
pub fn spread(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    [0, sorted.len() / 2, sorted.len() - 1].map(|at| sorted[at])
}

/// Waits until `done` and returns how long that took.
pub fn until(what: &str, most: Duration, mut done: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < most, "still not {what} after {most:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    started.elapsed()
}
