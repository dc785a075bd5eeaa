//! The broker that the bridge dials.

use std::time::Duration;

use crate::common::broker::{Broker, binary};
use crate::common::drain::until;
use crate::common::mosquitto::Mosquitto;
use crate::receiver::Session;

pub enum Remote {
    FerryMq(Broker),
    Mosquitto(Mosquitto),
}

/// A FerryMQ without limits that messages could reach.
pub fn ferrymq() -> Broker {
    without_limits(binary())
}

/// The same of this binary.
pub fn without_limits(binary: std::path::PathBuf) -> Broker {
    let settings = [
        ("FERRYMQ_SESSION__MAX_QUEUED_MESSAGES", "100000000"),
        ("FERRYMQ_SESSION__MAX_QUEUED_BYTES", "100GiB"),
    ];
    Broker::stopped(binary, &settings)
}

impl Remote {
    pub fn port(&self) -> u16 {
        match self {
            Self::FerryMq(broker) => broker.port,
            Self::Mosquitto(mosquitto) => mosquitto.port,
        }
    }

    /// How subscribers there are connected.
    pub fn session(&self) -> Session {
        match self {
            Self::FerryMq(_) => Session::Durable,
            Self::Mosquitto(_) => Session::New,
        }
    }

    /// Waits until a bridge has subscribed there: what is published before does not come back.
    pub fn await_bridge(&self) {
        let Self::FerryMq(broker) = self else { return };
        // Two subscribers have subscribed as well.
        until("subscribed", Duration::from_secs(20), || {
            let page = broker.get("/metrics").unwrap_or_default();
            let line = page.lines().find(|line| {
                line.starts_with("ferrymq_packets_received_total") && line.contains("\"subscribe\"")
            });
            line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()) >= Some(3.0)
        });
    }

    /// SIGKILL, and a new start.
    pub fn kill(&mut self) {
        match self {
            Self::FerryMq(broker) => {
                broker.kill();
                broker.up();
            }
            Self::Mosquitto(_) => unreachable!("its sessions would be lost"),
        }
    }

    /// SIGTERM, and a new start.
    pub fn restart(&mut self) {
        match self {
            Self::FerryMq(broker) => {
                assert_eq!(broker.stop(), Some(0));
                broker.up();
            }
            Self::Mosquitto(mosquitto) => {
                mosquitto.stop();
                mosquitto.up();
            }
        }
    }
}
