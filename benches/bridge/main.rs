//! Measures bridges: `cargo bench --bench bridge -- --help`.
//!
//! - [`outage`]: messages wait for the link, and it comes back.
//! - [`speed`]: a bridge that keeps up, beside Mosquitto's.
//! - [`delay`]: a link that takes time.
//! - [`ends`]: the brokers at both ends; [`arrivals`]: what a subscriber has received, and when.
//!
//! The load of `speed` is that of the bench of this name.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench may stop where it stands"
)]
#![allow(
    missing_docs,
    dead_code,
    unused_imports,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people; parts of the other bench are not used here"
)]

mod arrivals;
mod delay;
mod ends;
mod outage;
mod speed;

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../speed/load/mod.rs"]
mod load;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser as _, ValueEnum};

/// Measures bridges from one broker to another.
#[derive(clap::Parser)]
#[command(name = "bridge", bin_name = "cargo bench --bench bridge --")]
struct Args {
    /// Scenarios to run.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "outage,speed,delay")]
    scenarios: Vec<Scenario>,
    /// Messages that wait for the link in `outage`.
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
    /// Messages through the bridge before, in `outage`: the rate without a backlog.
    #[arg(long, default_value_t = 200_000)]
    before: u64,
    /// Messages a second that are published while the backlog drains.
    #[arg(long, default_value_t = 500)]
    live: u32,
    /// Rounds of `speed`, in which the brokers alternate.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds that are measured in each round of `speed`, and before the drain of `outage`.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Messages in flight over the bridge, in `speed` and `delay`.
    #[arg(long, default_value_t = 1024)]
    window: u16,
    /// Milliseconds of a round trip over the link of `delay`.
    #[arg(long, default_value_t = 100)]
    round_trip: u64,
    /// In `outage`, run the remote broker and its subscriber at the lowest priority (nice 19) while
    /// the backlog drains, as if they were on another machine.
    #[arg(long)]
    remote_elsewhere: bool,
    /// Write the figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Set by cargo bench and not by cargo test: this is not a test.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Messages wait for the link; it comes back, with live traffic behind them.
    Outage,
    /// QoS 1 over a bridge, between two brokers of each kind.
    Speed,
    /// QoS 1 over a link that takes time.
    Delay,
}

/// How long a subscriber waits for the next message.
const PATIENCE: Duration = Duration::from_secs(30);

/// The figures, printed as they come.
#[derive(Default)]
struct Figures(serde_json::Map<String, serde_json::Value>);

impl Figures {
    fn note(&mut self, what: &str, unit: &str, value: f64) {
        println!("{what}: {value:.2} {unit}");
        self.0.insert(format!("{what} ({unit})"), value.into());
    }
}

impl Args {
    fn measured(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

fn main() {
    let args = Args::parse();
    if !args.bench {
        println!("nothing to test here; run it with: cargo bench --bench bridge");
        return;
    }
    let mut figures = Figures::default();
    for scenario in &args.scenarios {
        match scenario {
            Scenario::Outage => outage::run(&args, &mut figures),
            Scenario::Speed => speed::run(&args, &mut figures),
            Scenario::Delay => delay::run(&args, &mut figures),
        }
    }
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_vec_pretty(&figures.0).unwrap()).unwrap();
    }
}
