//! The configuration of each broker.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::args::{Args, BrokerKind};

/// The command for a broker that listens on `mqtt` and keeps its files in `dir`.
pub fn command(
    args: &Args,
    kind: BrokerKind,
    mqtt: SocketAddr,
    http: SocketAddr,
    dir: &Path,
) -> io::Result<Command> {
    match kind {
        BrokerKind::Mosquitto => {
            let file = dir.join("mosquitto.conf");
            std::fs::write(&file, mosquitto(mqtt))?;
            let mut command = Command::new(&args.mosquitto);
            command.arg("-c").arg(file);
            Ok(command)
        }
        BrokerKind::Ferrymq | BrokerKind::FerrymqMemory | BrokerKind::FerrymqWatched => {
            let mut command = Command::new(&args.ferrymq);
            command
                .env("FERRYMQ_LISTENERS__TCP__BIND", mqtt.to_string())
                .env("FERRYMQ_HTTP__BIND", http.to_string())
                .env("FERRYMQ_PERSISTENCE__PATH", dir.join("ferrymq.db"));
            // As for Mosquitto, no limit refuses load. Variables that are already set have
            // priority.
            for (key, value) in UNLIMITED {
                if std::env::var_os(key).is_none() {
                    command.env(key, value);
                }
            }
            if kind == BrokerKind::FerrymqMemory {
                command.env("FERRYMQ_PERSISTENCE__ENABLED", "false");
            }
            Ok(command)
        }
    }
}

const UNLIMITED: [(&str, &str); 3] = [
    ("FERRYMQ_SESSION__MAX_QUEUED_MESSAGES", "100000000"),
    ("FERRYMQ_SESSION__MAX_QUEUED_BYTES", "100GiB"),
    ("FERRYMQ_PERSISTENCE__MAX_SIZE", "50GiB"),
];

/// Everything is in memory, and no limit drops or delays messages: with its default of 1,000
/// queued messages Mosquitto would lose nearly all of `offline`, and with that of 20 in flight
/// `many` would be very slow. Nagle's algorithm stays on, its default: without it, draining is
/// slower. No logs, no $SYS. Started by root it would change to a user without access to the
/// directory, so it is told to stay root.
fn mosquitto(listen: SocketAddr) -> String {
    format!(
        "listener {} {}\n\
         allow_anonymous true\n\
         persistence false\n\
         max_inflight_messages 0\n\
         max_queued_messages 0\n\
         max_queued_bytes 0\n\
         sys_interval 0\n\
         log_dest none\n\
         user root\n",
        listen.port(),
        listen.ip()
    )
}
