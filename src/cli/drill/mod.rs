//! `ferrymq drill`.

mod text;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Exit;
use super::bench::seconds;
use super::interrupt::stop_on_signal;
use super::output::{complain, say};
use super::progress::{Progress, Unit};
use crate::config::Config;
use crate::drill::{DrillError, Options, Report, run as carry_out};
use crate::sandbox::Level;

pub(super) const ABOUT: &str = "\
The recovery drill: shows on this machine, on this volume and with this configuration
that nothing acknowledged is lost when the broker is killed. It starts a broker of its
own in a directory beside persistence.path, with publishers and subscribers of QoS 1
and 2, MQTT 3.1.1 and 5.0, online, away, shared and retained; cuts clients off at
random; kills the broker with SIGKILL in the middle of the traffic and starts it
again; at the end it holds what was acknowledged against what arrived. A broker that
is running is not touched. The directory is removed at the end.

A killed process is no power cut: what the kernel has accepted survives it. The drill
cannot tell \"fsync\" from \"commit\". It can tell both from \"async\", which does what
other brokers do: with --durability async it has to report lost messages.";

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0    every promise held
  1    the drill could not be carried out
  2    the configuration or the command line is wrong
  3    the volume cannot be written or has no room
  6    a promise was broken: messages lost, QoS 2 messages repeated, order, sessions
       or retained messages lost
  130  interrupted; nothing is left behind";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Number of times the broker is killed, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Longest time of traffic before each kill, 0.1 to 600; at least half of it
    #[arg(long, value_name = "N", default_value = "2", value_parser = seconds)]
    seconds: Duration,
    /// Messages a second of all publishers together, 1 to 100000
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Seed for the same moments and victims as in an earlier drill; each drill prints its
    /// seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// fsync, commit or async, instead of persistence.durability
    #[arg(long, value_name = "NAME")]
    durability: Option<Level>,
    /// Print one JSON object: times in seconds, sizes in bytes
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, config: &Config) -> Exit {
    let stop = match stop_on_signal() {
        Ok(stop) => stop,
        Err(error) => {
            complain(&format_args!("cannot listen for signals: {error}"));
            return Exit::Failure;
        }
    };
    let options = Options {
        rounds: args.rounds,
        time: args.seconds,
        rate: f64::from(args.rate),
        seed: args.seed.unwrap_or_else(chance),
        level: args.durability.unwrap_or_else(|| Level::of(config)),
    };
    let mut shown = Progress::new("drill", Unit::Things("rounds"), args.rounds.into());
    let done = carry_out(config, &options, &stop, &mut |round, what| {
        shown.update(round.into(), args.rounds.into(), what);
    });
    drop(shown);
    match done {
        Ok(report) => print(&report, args.json),
        Err(error) => {
            if error.is_about_the_course() {
                complain(&format_args!("with --seed {}: {error}", options.seed));
            } else {
                complain(&error);
            }
            exit_of(&error)
        }
    }
}

/// A random seed below 1,000,000, short enough to type.
fn chance() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) % 1_000_000
}

fn print(report: &Report, json: bool) -> Exit {
    if json {
        match serde_json::to_string_pretty(report) {
            Ok(text) => say(text),
            Err(error) => {
                complain(&error);
                return Exit::Failure;
            }
        }
    } else {
        for line in text::lines(report) {
            say(line);
        }
    }
    if report.held { Exit::Ok } else { Exit::Broken }
}

fn exit_of(error: &DrillError) -> Exit {
    match error {
        error if error.is_interruption() => Exit::Interrupted,
        DrillError::Memory => Exit::Usage,
        DrillError::Sandbox(error) if error.is_about_the_volume() => Exit::Database,
        _ => Exit::Failure,
    }
}
