//! `ferrymq health`: a probe for containers that have no other HTTP client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::Exit;
use super::output::{complain, say};
use crate::config::Config;
use crate::http::probe;

/// Below the 30 seconds of Docker's default health check timeout.
const TIMEOUT: Duration = Duration::from_secs(3);

pub(super) fn run(config: &Config) -> Exit {
    let Some(addr) = config.http.health().addr() else {
        complain(&"http.bind and http.metrics_bind are off: no address to probe; set http.bind");
        return Exit::Failure;
    };
    match probe(reachable(addr), "/readyz", TIMEOUT) {
        Ok(answer) if answer.status == 200 => {
            say(answer.body);
            Exit::Ok
        }
        Ok(answer) => {
            complain(&format_args!("not ready ({}): {}", answer.status, answer.body));
            Exit::Failure
        }
        Err(error) => {
            complain(&format_args!("no answer from {addr}: {error}"));
            Exit::Failure
        }
    }
}

/// Replaces an unspecified address (`0.0.0.0`, `::`) with loopback, which can be connected to.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_asked_through_loopback() {
        for (bind, asked) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("10.0.0.1:80", "10.0.0.1:80"),
        ] {
            assert_eq!(reachable(bind.parse().unwrap()), asked.parse().unwrap());
        }
    }

    #[test]
    fn nobody_to_ask_is_not_healthy() {
        let mut config = Config::default();
        config.http.bind = crate::config::Bind::Off;
        assert_eq!(run(&config), Exit::Failure);
    }
}
