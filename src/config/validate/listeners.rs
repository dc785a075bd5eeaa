//! Rules of `[listeners.NAME]`.

use std::net::{IpAddr, SocketAddr};

use super::{Checked, Problem, Span, within, within_or_never};
use crate::config::{
    ClientAuth, Config, ListenAt, Listener, ListenerTls, ListenerWebSocket, Mode, Protocol,
    ProxyProtocol,
};

/// What the owner of a socket's file, which is the broker, needs.
const OWNER: u32 = 0o600;

pub(super) fn values(config: &Config) -> Checked {
    for (name, listener) in &config.listeners {
        let table = format!("listeners.{name}");
        // Names that a variable can also express, without upper case and dots.
        let allowed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(allowed) || name.contains("__") {
            return Err(Problem {
                key: table,
                text: "a listener's name is made of a-z, 0-9, - and _, never two _ in a row"
                    .to_owned(),
            });
        }
        within(&format!("{table}.max_connections"), listener.max_connections, 1..=10_000_000)?;
        for (name, span) in [
            ("tcp_keep_alive", listener.tcp_keep_alive),
            ("tcp_user_timeout", listener.tcp_user_timeout),
        ] {
            let range = Span::seconds(1)..=Span::hours(9);
            within_or_never(&format!("{table}.{name}"), span, range)?;
        }
        of_protocol(listener)
            .map_err(|(key, text)| Problem { key: format!("{table}.{key}"), text })?;
    }
    Ok(())
}

/// A key below the listener's table, and what is wrong with it.
type Wrong = (&'static str, String);

fn wrong<T>(key: &'static str, text: impl Into<String>) -> Result<T, Wrong> {
    Err((key, text.into()))
}

/// Keys that belong to some protocols, or need others.
fn of_protocol(listener: &Listener) -> Result<(), Wrong> {
    bind(listener)?;
    proxies(listener)?;
    let protocol = listener.protocol;
    match &listener.tls {
        Some(_) if !protocol.is_tls() => wrong(
            "tls",
            format!(
                "protocol = \"{protocol}\" has no TLS: write protocol = \"mqtts\" or \"wss\", or \
                 remove the table"
            ),
        )?,
        None if protocol.is_tls() => tls(protocol, &ListenerTls::default())?,
        Some(own) => tls(protocol, own)?,
        None => {}
    }
    match &listener.websocket {
        Some(_) if !protocol.is_websocket() => wrong(
            "websocket",
            format!(
                "protocol = \"{protocol}\" is no WebSocket: write protocol = \"ws\" or \"wss\", or \
                 remove the table"
            ),
        ),
        Some(own) => websocket(own),
        None => Ok(()),
    }
}

fn bind(listener: &Listener) -> Result<(), Wrong> {
    let Listener { protocol, bind, mode: Mode(mode), .. } = listener;
    match bind {
        ListenAt::Inet(_) if *protocol == Protocol::Unix => wrong(
            "bind",
            format!(
                "found {bind}, expected the path of a socket, such as /run/ferrymq.sock, since \
                 protocol is \"unix\""
            ),
        ),
        ListenAt::Path(_) if *protocol != Protocol::Unix => wrong(
            "bind",
            format!(
                "found {bind}, expected an address with a port, since protocol is \
                 \"{protocol}\": write protocol = \"unix\" for a Unix socket"
            ),
        ),
        // Also finds a number that TOML has made of 0o660, which would be other digits.
        _ if mode & OWNER != OWNER => wrong(
            "mode",
            format!(
                "found {mode:03o}, expected octal digits that let the owner read and write, as \
                 text: \"660\""
            ),
        ),
        _ => Ok(()),
    }
}

fn proxies(listener: &Listener) -> Result<(), Wrong> {
    let Listener { protocol, proxy_protocol, trusted_proxies, .. } = listener;
    let is_on = *proxy_protocol != ProxyProtocol::Off;
    if *protocol == Protocol::Unix && (is_on || !trusted_proxies.is_empty()) {
        let key = if is_on { "proxy_protocol" } else { "trusted_proxies" };
        return wrong(
            key,
            "a Unix socket has no proxies that an address would tell apart: remove the key, or \
             let the proxy connect by TCP",
        );
    }
    if is_on && trusted_proxies.is_empty() {
        return wrong(
            "trusted_proxies",
            "proxy_protocol is on, and would be believed of nobody: list the networks of the \
             proxies, such as 10.0.0.0/8",
        );
    }
    if !is_on && !trusted_proxies.is_empty() && !protocol.is_websocket() {
        return wrong(
            "trusted_proxies",
            format!(
                "protocol = \"{protocol}\" has no X-Forwarded-For, and proxy_protocol is \"off\", \
                 so no proxy could name a client: set proxy_protocol, or remove the key"
            ),
        );
    }
    Ok(())
}

/// Of files that only client certificates need.
const UNUSED: &str = "tls.client_auth is \"off\", so no certificate would be checked against it: \
                      write client_auth = \"required\" or \"optional\", or remove the key";

fn tls(protocol: Protocol, tls: &ListenerTls) -> Result<(), Wrong> {
    let needs = format!("protocol = \"{protocol}\" needs it: set it to a PEM file with the");
    if tls.certificate_file.is_none() {
        return wrong("tls.certificate_file", format!("{needs} certificate and its chain"));
    }
    if tls.key_file.is_none() {
        return wrong("tls.key_file", format!("{needs} private key"));
    }
    match tls.client_auth {
        ClientAuth::Off if tls.client_ca_file.is_some() => wrong("tls.client_ca_file", UNUSED),
        ClientAuth::Off if tls.crl_file.is_some() => wrong("tls.crl_file", UNUSED),
        ClientAuth::Optional | ClientAuth::Required if tls.client_ca_file.is_none() => wrong(
            "tls.client_ca_file",
            "tls.client_auth asks for certificates: set it to a PEM file with the authorities \
             that issue them",
        ),
        _ => Ok(()),
    }
}

fn websocket(websocket: &ListenerWebSocket) -> Result<(), Wrong> {
    let path = &websocket.path;
    if !path.starts_with('/') || path.contains(['?', '#']) {
        return wrong(
            "websocket.path",
            format!("found \"{path}\", expected a path that begins with /, such as /mqtt"),
        );
    }
    // As browsers send it (RFC 6454, section 6.2), or it would match none.
    let is_origin = |origin: &str| {
        let parts = origin.split_once("://");
        parts.is_some_and(|(scheme, host)| {
            !scheme.is_empty() && !host.is_empty() && !host.contains(['/', '?', '#'])
        })
    };
    if let Some(other) = websocket.allowed_origins.iter().find(|origin| !is_origin(origin)) {
        return wrong(
            "websocket.allowed_origins",
            format!(
                "found \"{other}\", expected scheme and host, and a port that is not the \
                 scheme's own, such as https://example.org"
            ),
        );
    }
    Ok(())
}

/// Two sockets cannot listen on one address.
pub(super) fn apart(config: &Config) -> Checked {
    let mut seen: Vec<(String, ListenAt)> = Vec::new();
    let listeners = config.listeners.iter();
    let listeners =
        listeners.map(|(name, one)| (format!("listeners.{name}.bind"), one.bind.clone()));
    let http = [("http.bind", config.http.bind), ("http.metrics_bind", config.http.metrics_bind)];
    let http =
        http.map(|(key, bind)| (key.to_owned(), bind.addr().map_or(ListenAt::Off, ListenAt::Inet)));
    for (key, bind) in listeners.chain(http) {
        if let Some((other, _)) = seen.iter().find(|(_, other)| is_shared(other, &bind)) {
            let what = if bind.addr().is_some() { "port" } else { "path" };
            let text = format!(
                "found {bind}, which is where {other} listens: give it another {what}, or \"off\""
            );
            return Err(Problem { key, text });
        }
        seen.push((key, bind));
    }
    Ok(())
}

fn is_shared(one: &ListenAt, other: &ListenAt) -> bool {
    match (one, other) {
        (ListenAt::Inet(one), ListenAt::Inet(other)) => {
            one.port() != 0
                && one.port() == other.port()
                && (covers(*one, *other) || covers(*other, *one))
        }
        (ListenAt::Path(one), ListenAt::Path(other)) => one == other,
        _ => false,
    }
}

/// True if connections to the second address arrive at the first as well: `[::]` accepts IPv4
/// too.
fn covers(all: SocketAddr, one: SocketAddr) -> bool {
    let (all, one) = (all.ip().to_canonical(), one.ip().to_canonical());
    match all {
        IpAddr::V6(address) if address.is_unspecified() => true,
        IpAddr::V4(address) if address.is_unspecified() => one.is_ipv4(),
        _ => all == one,
    }
}
