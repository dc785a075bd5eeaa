//! The brokers at both ends of a bridge.

use std::net::SocketAddr;
use std::process::Command;

use crate::common::broker::{Broker, binary};
use crate::common::mosquitto::Mosquitto;
use crate::load::Endpoint;

/// FerryMQ with its defaults, without limits that the load could reach.
const UNLIMITED: [(&str, &str); 5] = [
    ("FERRYMQ_SESSION__MAX_QUEUED_MESSAGES", "100000000"),
    ("FERRYMQ_SESSION__MAX_QUEUED_BYTES", "100GiB"),
    ("FERRYMQ_PERSISTENCE__MAX_SIZE", "50GiB"),
    ("FERRYMQ_BRIDGES__UP__MAX_QUEUED_MESSAGES", "100000000"),
    ("FERRYMQ_BRIDGES__UP__MAX_QUEUED_BYTES", "100GiB"),
];

/// A FerryMQ that is dialled.
pub fn ferrymq() -> Broker {
    let mut broker = Broker::stopped(binary(), &UNLIMITED[..3]);
    broker.up();
    broker
}

/// A FerryMQ that is dialled, as if on another machine: it takes only the processor time that the
/// broker with the bridge and the clients leave.
pub fn ferrymq_elsewhere() -> Broker {
    let mut broker = Broker::stopped(binary(), &UNLIMITED[..3]);
    broker.wrapper = ["nice", "-n", "19"].map(str::to_owned).to_vec();
    broker.up();
    broker
}

/// The same for a client at the other end.
pub fn lower_priority_of_this_thread() {
    let thread = std::fs::read_link("/proc/thread-self").unwrap();
    let id = thread.file_name().unwrap();
    let lowered = Command::new("renice").args(["-n", "19", "-p"]).arg(id).output().unwrap();
    assert!(lowered.status.success(), "{lowered:?}");
}

/// A FerryMQ whose bridge `up` dials this port and forwards these topics.
pub fn ferrymq_with_bridge(port: u16, filter: &str, window: u16) -> Broker {
    let mut broker = Broker::stopped(binary(), &UNLIMITED);
    for (key, value) in [
        ("ADDRESSES", format!("[\"mqtt://127.0.0.1:{port}\"]")),
        ("FORWARD", format!("[{{ filter = \"{filter}\" }}]")),
        ("RECEIVE_MAXIMUM", window.to_string()),
        ("MAX_BACKOFF", "1s".into()),
    ] {
        broker.set(&format!("FERRYMQ_BRIDGES__UP__{key}"), &value);
    }
    broker.up();
    broker
}

/// A Mosquitto in memory that is dialled. `max_inflight_messages` is its Receive Maximum too.
pub fn mosquitto(window: u16) -> Mosquitto {
    Mosquitto::start(&[&format!("max_inflight_messages {window}"), "log_type none"])
}

/// A Mosquitto in memory with a bridge like the other one.
pub fn mosquitto_with_bridge(port: u16, filter: &str, window: u16) -> Mosquitto {
    Mosquitto::start(&[
        &format!("max_inflight_messages {window}"),
        "log_type none",
        "connection up",
        &format!("address 127.0.0.1:{port}"),
        &format!("topic {filter} out 1"),
        "bridge_protocol_version mqttv50",
        "cleansession false",
        "notifications false",
    ])
}

pub fn endpoint(port: u16) -> Endpoint {
    Endpoint::tcp(SocketAddr::from(([127, 0, 0, 1], port)))
}
