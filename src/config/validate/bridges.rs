//! Rules of `[bridges.NAME]`.

mod rules;

use std::collections::BTreeMap;

use rustls_pki_types::ServerName;

use super::{ByteSize, Checked, Problem, Span, at_least, within, within_or_never};
use crate::config::{Bridge, BridgeTls, BridgeVersion};
use crate::protocol::TopicName;

/// A key below the bridge's table, and what is wrong with it.
type Wrong = (&'static str, String);

fn wrong<T>(key: &'static str, text: impl Into<String>) -> Result<T, Wrong> {
    Err((key, text.into()))
}

pub(in crate::config) fn values(bridges: &BTreeMap<String, Bridge>) -> Checked {
    for (name, bridge) in bridges {
        let table = format!("bridges.{name}");
        if !is_name(name) {
            return Err(Problem {
                key: table,
                text: "a bridge's name is made of a-z, 0-9, - and _, never two _ in a row, and \
                       has at most 64 characters"
                    .to_owned(),
            });
        }
        ranges(&table, bridge)?;
        of_connection(&table, bridge)
            .and_then(|()| rules::check(bridge))
            .map_err(|(key, text)| Problem { key: format!("{table}.{key}"), text })?;
    }
    apart(bridges)
}

/// Names that a variable can also express, without upper case and dots.
fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    (1..=64).contains(&name.len()) && name.chars().all(allowed) && !name.contains("__")
}

fn ranges(table: &str, bridge: &Bridge) -> Checked {
    let key = |name: &str| format!("{table}.{name}");
    let second = Span::seconds(1);
    within(&key("keep_alive"), bridge.keep_alive, second..=Span::seconds(65_535))?;
    within(&key("ack_timeout"), bridge.ack_timeout, second..=Span::hours(1))?;
    within(&key("max_backoff"), bridge.max_backoff, second..=Span::days(1))?;
    if bridge.session_expiry < second {
        return Err(Problem {
            key: key("session_expiry"),
            text: format!(
                "found {}, with which the remote broker would forget the session, and the \
                 messages in it, when the connection breaks: expected 1s or more, or \"never\"",
                bridge.session_expiry
            ),
        });
    }
    within_or_never(&key("session_expiry"), bridge.session_expiry, second..=Span::days(36_500))?;
    within(&key("receive_maximum"), bridge.receive_maximum, 1..=65_535)?;
    within(&key("max_queued_messages"), bridge.max_queued_messages, 1..=4_000_000_000)?;
    at_least(&key("max_queued_bytes"), bridge.max_queued_bytes, ByteSize::kib(1))?;
    within(&key("max_dead_letters"), bridge.max_dead_letters, 0..=10_000_000)
}

fn of_connection(table: &str, bridge: &Bridge) -> Result<(), Wrong> {
    if bridge.addresses.is_empty() {
        return wrong(
            "addresses",
            "found none: list the remote broker's, such as [\"mqtts://host:8883\"]",
        );
    }
    for (key, text) in [("client_id", &bridge.client_id), ("username", &bridge.username)] {
        if text.len() > 65_535 || text.contains(char::is_control) {
            return wrong(key, "expected at most 65535 bytes without control characters");
        }
    }
    let has_password = !bridge.password.reveal().is_empty();
    if has_password && bridge.password_file.is_some() {
        return wrong(
            "password_file",
            format!("{table}.password is set as well: keep one of them"),
        );
    }
    // MQTT 3.1.1 has no password without a user name [MQTT-3.1.2-22].
    let needs_name = bridge.version != BridgeVersion::V5;
    if bridge.username.is_empty() && needs_name && (has_password || bridge.password_file.is_some())
    {
        return wrong(
            "username",
            "there is a password without it, which only MQTT 5.0 allows: set it, or version = \
             \"5.0\"",
        );
    }
    let topic = bridge.notification_topic.as_str();
    if !topic.is_empty()
        && let Err(error) = TopicName::new(topic)
    {
        return wrong("notification_topic", format!("found \"{topic}\", which is {error}"));
    }
    bridge.tls.as_ref().map_or(Ok(()), |tls| of_tls(bridge, tls))
}

fn of_tls(bridge: &Bridge, tls: &BridgeTls) -> Result<(), Wrong> {
    if !bridge.addresses.iter().any(|address| address.scheme().is_tls()) {
        return wrong(
            "tls",
            "no address uses TLS: write addresses with mqtts:// or wss://, or remove the table",
        );
    }
    match (&tls.certificate_file, &tls.key_file) {
        (Some(_), None) => wrong(
            "tls.key_file",
            "tls.certificate_file needs it: set it to a PEM file with the private key",
        )?,
        (None, Some(_)) => wrong(
            "tls.certificate_file",
            "tls.key_file needs it: set it to a PEM file with the certificate and its chain",
        )?,
        _ => {}
    }
    let name = tls.server_name.as_str();
    if !name.is_empty() && ServerName::try_from(name).is_err() {
        return wrong(
            "tls.server_name",
            format!("found \"{name}\", expected a DNS name or an IP address, without a port"),
        );
    }
    if tls.alpn.iter().any(|protocol| !(1..=255).contains(&protocol.len())) {
        return wrong("tls.alpn", "expected names of 1 to 255 bytes, such as [\"x-amzn-mqtt-ca\"]");
    }
    Ok(())
}

/// Two bridges with one client id at the same broker would end each other's connection.
fn apart(bridges: &BTreeMap<String, Bridge>) -> Checked {
    let mut seen: Vec<(&str, &Bridge)> = Vec::new();
    for (name, bridge) in bridges {
        let id = bridge.client_id(name);
        let is_shared = |(other, one): &&(&str, &Bridge)| {
            one.client_id(other) == id
                && one.addresses.iter().any(|address| bridge.addresses.contains(address))
        };
        if let Some((other, _)) = seen.iter().find(is_shared) {
            return Err(Problem {
                key: format!("bridges.{name}.client_id"),
                text: format!(
                    "bridges.{other} has the client id \"{id}\" at the same broker, so that each \
                     would end the other's connection: give one of them another"
                ),
            });
        }
        seen.push((name, bridge));
    }
    Ok(())
}
