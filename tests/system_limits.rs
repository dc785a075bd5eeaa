//! Limits of the system: open files, and a log that is not read. A broker at such a limit
//! still serves its connected clients.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // As inside the crate's tests.

mod common;

use std::fs::OpenOptions;

use common::broker::{Broker, binary};
use common::raw::{self, Packet, Publish, Raw};
use rustix::fs::{CWD, Mode, mkfifoat};

/// A broker started by a shell that runs `before` first.
fn started_after(before: &str, settings: &[(&str, &str)]) -> Broker {
    let mut broker = Broker::stopped(binary(), settings);
    broker.wrapper = vec!["sh".into(), "-c".into(), format!("{before}; exec \"$0\" \"$@\"")];
    broker
}

fn is_published(publisher: &mut Raw, pid: u16) {
    let message = Publish { dup: false, qos: 1, pid, topic: "t".into(), payload: vec![1] };
    let mut out = Vec::new();
    raw::publish(&mut out, 4, &message);
    publisher.send(&out).unwrap();
    assert_eq!(publisher.recv().unwrap(), Packet::PubAck(pid, 0));
}

/// Standard error is not read, and far more is logged than its pipe holds.
#[test]
fn nobody_waits_for_a_log_that_is_not_read() {
    const LOG_INS: u32 = 2_000;
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("stderr");
    mkfifoat(CWD, &pipe, Mode::from_raw_mode(0o600)).unwrap();
    let unread = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let into = format!("exec 2>'{}'", pipe.display());
    let mut broker = started_after(&into, &[("FERRYMQ_TELEMETRY__LOG_LIMIT", "0")]);
    broker.up();
    let mut publisher = Raw::connect(broker.port, 4, "publisher", true).unwrap();
    for number in 0..LOG_INS {
        Raw::connect(broker.port, 4, &format!("{number}-{}", "x".repeat(200)), true).unwrap();
    }
    is_published(&mut publisher, 1);
    assert!(broker.get("/healthz").unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(broker.stop(), Some(0), "SIGTERM is heard");
    drop(unread);
}

#[test]
fn what_is_lost_of_a_log_that_is_read_too_slowly_is_counted_and_told() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("stderr");
    mkfifoat(CWD, &pipe, Mode::from_raw_mode(0o600)).unwrap();
    let mut reader = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let into = format!("exec 2>'{}'", pipe.display());
    let settings = [("FERRYMQ_TELEMETRY__LOG_LIMIT", "0"), ("FERRYMQ_TELEMETRY__LEVEL", "debug")];
    let mut broker = started_after(&into, &settings);
    broker.up();
    let mut publisher = Raw::connect(broker.port, 4, "publisher", true).unwrap();
    // Each message logs at least two lines.
    while broker.metric("ferrymq_log_events_lost_total") == 0.0 {
        for pid in 1..=1_000 {
            is_published(&mut publisher, pid);
        }
    }
    let told = std::thread::spawn(move || {
        use std::io::Read as _;
        let (mut seen, mut buffer) = (String::new(), vec![0; 1 << 16]);
        while !seen.contains("lines were lost") {
            let read = reader.read(&mut buffer).unwrap();
            // The line may be split across two reads.
            let from = seen.len().saturating_sub(100);
            seen = format!("{}{}", &seen[from..], String::from_utf8_lossy(&buffer[..read]));
        }
    });
    told.join().unwrap();
    broker.kill();
}

#[test]
fn healthz_answers_when_all_connections_are_taken() {
    const HARD: usize = 400;
    // As in a shell whose soft limit is low.
    let mut broker = started_after("ulimit -Sn 100; ulimit -Hn 400", &[]);
    broker.up();
    let mut accepted = Vec::new();
    for number in 0..HARD {
        accepted.extend(Raw::connect(broker.port, 4, &format!("client-{number}"), true));
    }
    println!("{} of {HARD} are connected", accepted.len());
    assert!(accepted.len() > 200, "the soft limit has been raised: {}", accepted.len());
    assert!(broker.get("/healthz").unwrap().starts_with("HTTP/1.1 200"));
    is_published(&mut accepted[0], 1);
    let log = broker.log();
    assert!(log.contains("limit of open files") && log.contains("limits.max_connections"), "{log}");
}
