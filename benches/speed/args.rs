//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use serde::Serialize;

/// Runs brokers in turn under the same load and prints their figures and ratios.
#[derive(Parser)]
#[command(name = "speed", bin_name = "cargo bench --bench speed --")]
pub struct Args {
    /// Scenarios to run.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "online,offline,many")]
    pub scenarios: Vec<Scenario>,
    /// Brokers to run. Ratios compare the first broker, with the first transport and number of
    /// access rules, with each of the others.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "ferrymq,mosquitto,ferrymq-memory"
    )]
    pub brokers: Vec<BrokerKind>,
    /// Transports to run each broker with.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "tcp")]
    pub transport: Vec<Transport>,
    /// Numbers of access rules to run each broker with, of which the last one decides.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "0")]
    pub acl_lines: Vec<u32>,
    /// Whom the other access rules are for.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "others")]
    pub acl_for: Vec<AclFor>,
    /// Topics that each publisher takes in turn: with one, brokers may remember what they have
    /// found for it.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub topics: u32,
    /// Number of runs of each broker.
    #[arg(long, default_value_t = 3)]
    pub rounds: u32,
    /// Seconds measured in each run.
    #[arg(long, default_value = "5", value_parser = seconds)]
    pub seconds: Duration,
    /// Seconds of load before the measurement.
    #[arg(long, default_value = "1", value_parser = seconds)]
    pub warm_up: Duration,
    /// Directory for the brokers' files: use a real disk, or durability is not measured.
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"), hide_default_value = true)]
    pub dir: PathBuf,
    /// The ferrymq binary [default: the one that cargo has just built].
    #[arg(long, default_value = env!("CARGO_BIN_EXE_ferrymq"), hide_default_value = true)]
    pub ferrymq: PathBuf,
    /// The mosquitto binary.
    #[arg(long, default_value = "mosquitto")]
    pub mosquitto: PathBuf,
    /// Write the figures of all runs to this file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Measure the load generator alone, against a sink.
    #[arg(long)]
    pub capacity: bool,
    /// Set by cargo bench and not by cargo test: this is not a test.
    #[arg(long, hide = true)]
    pub bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// 10 publishers, window 50, QoS 1, one durable subscriber online.
    Online,
    /// The same publishers, the durable subscriber offline; then it drains.
    Offline,
    /// 1,000 publishers, window 1, QoS 1, one durable subscriber online.
    Many,
    /// `online` with QoS 0, as fast as the sockets accept it.
    Qos0,
    /// `online` with QoS 2.
    Qos2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum BrokerKind {
    /// FerryMQ with its defaults: durable, with fsync.
    Ferrymq,
    /// FerryMQ with `persistence.enabled = false`.
    FerrymqMemory,
    /// `ferrymq`, scraped every second, and pushing metrics and logs every five.
    FerrymqWatched,
    /// Mosquitto in memory, without limits.
    Mosquitto,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// MQTT over TCP.
    Tcp,
    /// Over TLS 1.3.
    Mqtts,
    /// Over WebSocket.
    Ws,
    /// Over WebSocket over TLS 1.3.
    Wss,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum AclFor {
    /// Users that never log in, and the topics of the load.
    Others,
    /// All clients, and other topics than those of the load.
    Everyone,
}

impl Transport {
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Mqtts | Self::Wss)
    }

    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

/// The name on the command line and in the tables.
pub fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
