//! The configuration of each broker.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::certificate::Certificate;
use crate::args::{AclFor, Args, BrokerKind, Transport, name};
use crate::load::ALL_TOPICS;
use crate::setup::Setup;

/// Where a broker listens and keeps its files.
pub struct Place<'a> {
    pub mqtt: SocketAddr,
    pub http: SocketAddr,
    pub dir: &'a Path,
    /// With TLS.
    pub certificate: Option<&'a Certificate>,
}

/// The command for a broker.
pub fn command(args: &Args, setup: Setup, place: &Place<'_>) -> io::Result<Command> {
    match setup.broker {
        BrokerKind::Mosquitto => {
            let file = place.dir.join("mosquitto.conf");
            fs::write(&file, mosquitto(place))?;
            let mut command = Command::new(&args.mosquitto);
            command.arg("-c").arg(file);
            Ok(command)
        }
        BrokerKind::Ferrymq | BrokerKind::FerrymqMemory | BrokerKind::FerrymqWatched => {
            let mut command = Command::new(&args.ferrymq);
            command
                .env("FERRYMQ_LISTENERS__TCP__BIND", place.mqtt.to_string())
                .env("FERRYMQ_HTTP__BIND", place.http.to_string())
                .env("FERRYMQ_PERSISTENCE__PATH", place.dir.join("ferrymq.db"));
            // As for Mosquitto, no limit refuses load. Variables that are already set have
            // priority.
            for (key, value) in UNLIMITED {
                if std::env::var_os(key).is_none() {
                    command.env(key, value);
                }
            }
            if setup.broker == BrokerKind::FerrymqMemory {
                command.env("FERRYMQ_PERSISTENCE__ENABLED", "false");
            }
            if setup.transport != Transport::Tcp || setup.acl_lines > 0 {
                let file = place.dir.join("ferrymq.toml");
                fs::write(&file, ferrymq(setup, place.certificate))?;
                command.arg("--config").arg(file);
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

/// Transport and access rules.
///
/// The last rule decides. Those before it are for the topics of the load and for users that never
/// log in, so that a search by topic alone would find them all; or for everyone and for topics
/// that nobody uses.
fn ferrymq(setup: Setup, certificate: Option<&Certificate>) -> String {
    let protocol = match setup.transport {
        Transport::Tcp => "mqtt".to_owned(),
        other => name(&other),
    };
    let mut text = format!("[listeners.tcp]\nprotocol = \"{protocol}\"\n");
    if let Some(Certificate { file, key }) = certificate {
        let (file, key) = (file.display(), key.display());
        let _ =
            write!(text, "[listeners.tcp.tls]\ncertificate_file = '{file}'\nkey_file = '{key}'\n");
    }
    for number in 1..setup.acl_lines {
        let _ = match setup.acl_for {
            AclFor::Others => write!(
                text,
                "[[acl.rules]]\neffect = \"deny\"\ntopics = [\"{ALL_TOPICS}\"]\n\
                 users = [\"user-{number}\"]\n"
            ),
            AclFor::Everyone => {
                write!(text, "[[acl.rules]]\neffect = \"deny\"\ntopics = [\"unused/{number}/#\"]\n")
            }
        };
    }
    if setup.acl_lines > 0 {
        let _ = write!(text, "[[acl.rules]]\neffect = \"allow\"\ntopics = [\"{ALL_TOPICS}\"]\n");
    }
    text
}

/// Everything is in memory, and no limit drops or delays messages: with its default of 1,000
/// queued messages Mosquitto would lose nearly all of `offline`, and with that of 20 in flight
/// `many` would be very slow. Nagle's algorithm stays on, its default: without it, draining is
/// slower. No logs, no $SYS. Started by root it would change to a user without access to the
/// directory, so it is told to stay root.
fn mosquitto(place: &Place<'_>) -> String {
    let (address, port) = (place.mqtt.ip(), place.mqtt.port());
    let tls = place.certificate.map_or_else(String::new, |Certificate { file, key }| {
        format!("certfile {}\nkeyfile {}\n", file.display(), key.display())
    });
    format!(
        "listener {port} {address}\n\
         {tls}\
         allow_anonymous true\n\
         persistence false\n\
         max_inflight_messages 0\n\
         max_queued_messages 0\n\
         max_queued_bytes 0\n\
         sys_interval 0\n\
         log_dest none\n\
         user root\n"
    )
}
