//! What is compared: a broker, the transport of its clients, and its access rules.

use std::fmt;
use std::io;

use serde::Serialize;

use crate::args::{AclFor, Args, BrokerKind, Transport, name};

/// A column of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Setup {
    pub broker: BrokerKind,
    pub transport: Transport,
    /// Access rules; 0: none.
    pub acl_lines: u32,
    /// Whom all but the last of them are for.
    pub acl_for: AclFor,
}

impl Setup {
    /// All that the command line asks for. Ratios compare the first one with each of the others.
    pub fn all(args: &Args) -> io::Result<Vec<Self>> {
        let mut all = Vec::new();
        for &broker in &args.brokers {
            for &transport in &args.transport {
                for &acl_lines in &args.acl_lines {
                    // Without rules, whom they are for makes no difference.
                    let times = if acl_lines == 0 { 1 } else { args.acl_for.len() };
                    for &acl_for in args.acl_for.iter().take(times) {
                        all.push(Self { broker, transport, acl_lines, acl_for }.checked()?);
                    }
                }
            }
        }
        Ok(all)
    }

    fn checked(self) -> io::Result<Self> {
        let missing = match self {
            Self {
                broker: BrokerKind::Mosquitto,
                transport: Transport::Ws | Transport::Wss,
                ..
            } => "--transport ws and wss: Debian builds mosquitto without WebSocket",
            Self { broker: BrokerKind::Mosquitto, acl_lines: 1.., .. } => {
                "--acl-lines: the rules are written for FerryMQ"
            }
            _ => return Ok(self),
        };
        Err(io::Error::other(format!("{missing}; leave mosquitto out of --brokers")))
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name(&self.broker))?;
        if self.transport != Transport::Tcp {
            write!(f, " {}", name(&self.transport))?;
        }
        if self.acl_lines > 0 {
            write!(f, " {} rules", self.acl_lines)?;
            if self.acl_for == AclFor::Everyone {
                f.write_str(" for everyone")?;
            }
        }
        Ok(())
    }
}
