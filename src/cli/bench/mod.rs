//! `ferrymq bench`.

mod text;

use std::time::Duration;

use super::Exit;
use super::interrupt::stop_on_signal;
use super::output::{complain, say};
use super::progress::{Progress, Unit};
use crate::bench::{BenchError, Options, Report, run as measure};
use crate::config::{ByteSize, Config};
use crate::load::Stamp;
use crate::protocol::QoS;
use crate::sandbox::Level;

/// The largest `--payload` in bytes; a broker rarely carries larger messages.
const LARGEST_PAYLOAD: u64 = 16 << 20;

pub(super) const ABOUT: &str = "\
Measures what persistence costs here: the messages a second and the latencies of each
durability, for QoS 0, 1 and 2, with a subscriber that is online and one that is away,
and the disk without a broker. It starts brokers of its own with your configuration
(other than listeners, authentication and limits that would refuse the load), on
loopback ports, in a directory beside persistence.path, which is removed at the end.
A broker that is running is not touched; its load is measured along.

Throughput is taken with full windows. Latencies are taken apart from it, at a fixed
rate that is the same for all durabilities, and count from when a message was due.
With all defaults it takes about a minute.";

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0    measured
  1    it could not be measured, or messages were lost on the way
  2    the configuration or the command line is wrong
  3    the volume cannot be written or has no room
  130  interrupted; nothing is left behind";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Length of each measurement in seconds, 0.1 to 600
    #[arg(long, value_name = "N", default_value = "1", value_parser = seconds)]
    seconds: Duration,
    /// Number of publishers, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    publishers: u32,
    /// Messages that each publisher may have unacknowledged, 1 to 32767
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=32767))]
    window: u16,
    /// Size of each payload, 20B to 16MiB
    #[arg(long, value_name = "SIZE", default_value = "256B", value_parser = payload)]
    payload: ByteSize,
    /// QoS levels to measure
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "0,1,2", value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: Vec<u8>,
    /// Durabilities to measure, of memory (persistence off), async, commit and fsync
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "memory,async,commit,fsync"
    )]
    durability: Vec<Level>,
    /// Print one JSON object: times in seconds, sizes in bytes, shares from 0 to 1
    #[arg(long)]
    json: bool,
}

/// Parses a number of seconds, 0.1 to 600; also for `drill`.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let number: Result<f64, _> = text.parse();
    match number {
        Ok(number) if (0.1..=600.0).contains(&number) => Ok(Duration::from_secs_f64(number)),
        _ => Err("expected 0.1 to 600".to_owned()),
    }
}

fn payload(text: &str) -> Result<ByteSize, String> {
    let range = Stamp::SIZE as u64..=LARGEST_PAYLOAD;
    let size: Option<ByteSize> = text.parse().ok();
    size.filter(|size| range.contains(&size.bytes()))
        .ok_or_else(|| "expected 20B to 16MiB, such as 256B or 4KiB".to_owned())
}

pub(super) fn run(args: &Args, config: &Config) -> Exit {
    let stop = match stop_on_signal() {
        Ok(stop) => stop,
        Err(error) => {
            complain(&format_args!("cannot listen for signals: {error}"));
            return Exit::Failure;
        }
    };
    let mut shown = Progress::new("bench", Unit::Things("measurements"), 0);
    let measured = measure(config, &options(args), &stop, &mut |done, total, what| {
        shown.update(done, total, what);
    });
    drop(shown);
    match measured {
        Ok(report) => print(&report, args.json),
        Err(error) => {
            complain(&error);
            exit_of(&error)
        }
    }
}

/// Removes repeated QoS levels and durabilities and sorts them from weak to strong.
fn options(args: &Args) -> Options {
    let mut levels = args.durability.clone();
    levels.sort_unstable();
    levels.dedup();
    let mut qos: Vec<QoS> = args.qos.iter().filter_map(|&bits| QoS::from_bits(bits)).collect();
    qos.sort_unstable();
    qos.dedup();
    Options {
        time: args.seconds,
        publishers: args.publishers,
        window: args.window,
        payload: args.payload.as_usize(),
        qos,
        levels,
    }
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
    if !report.is_sound() {
        complain(
            &"messages were lost, repeated or out of order on the way: the measurement is invalid; please report this",
        );
        return Exit::Failure;
    }
    Exit::Ok
}

fn exit_of(error: &BenchError) -> Exit {
    match error {
        error if error.is_interruption() => Exit::Interrupted,
        BenchError::Sandbox(error) if error.is_about_the_volume() => Exit::Database,
        _ => Exit::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_refused() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "601", "x", "NaN"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        assert_eq!(payload("4KiB"), Ok(ByteSize(4096)));
        for text in ["19", "17MiB", "", "x"] {
            assert!(payload(text).is_err(), "{text}");
        }
    }
}
