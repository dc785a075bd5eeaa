//! A `connection` of Mosquitto with the lines that follow it.

use std::ops::RangeInclusive;

use super::line::Line;
use super::topic::{self, Direction};
use super::{Note, address, no_counterpart};
use crate::config::{Bridge, BridgeRule, BridgeScheme, BridgeTls, BridgeVersion, List, Span};

/// `None`: the line is about something else; an error says why it has no counterpart.
type Taken = Option<Result<(), String>>;

/// A bridge of Mosquitto, with its defaults.
pub(super) struct Connection<'a> {
    /// The line that begins it; what follows the keyword is its name.
    pub line: Line<'a>,
    bridge: Bridge,
    addresses: Vec<(Line<'a>, &'a str)>,
    topics: Vec<(Line<'a>, Direction, BridgeRule)>,
    password: Option<Line<'a>>,
    tls: BridgeTls,
    uses_tls: bool,
    retains: bool,
    notifies_here_only: bool,
}

impl<'a> Connection<'a> {
    pub fn new(line: Line<'a>) -> Self {
        Self {
            line,
            bridge: Bridge { notifications: true, ..Bridge::default() },
            addresses: Vec::new(),
            topics: Vec::new(),
            password: None,
            tls: BridgeTls::default(),
            uses_tls: false,
            retains: true,
            notifies_here_only: false,
        }
    }

    /// Takes a line. False if it is no setting of a bridge.
    pub fn apply(&mut self, line: Line<'a>, notes: &mut Vec<Note>) -> bool {
        let taken = self
            .what(line)
            .or_else(|| self.how(line))
            .or_else(|| self.tls(line))
            .or_else(|| no_counterpart::of_bridge(line.keyword).map(|why| Err(why.to_owned())));
        if let Some(Err(why)) = &taken {
            notes.push(line.note(why.as_str()));
        }
        taken.is_some()
    }

    /// Whom it connects to, as whom, and for which topics.
    fn what(&mut self, line: Line<'a>) -> Taken {
        match line.keyword {
            "address" | "addresses" => {
                let words = line.words().take_while(|word| !word.starts_with('#'));
                self.addresses.extend(words.map(|word| (line, word)));
            }
            "topic" => match topic::parse(line) {
                Ok((direction, rule)) => self.topics.push((line, direction, rule)),
                Err(why) => return Some(Err(why)),
            },
            "clientid" | "remote_clientid" => line.rest.clone_into(&mut self.bridge.client_id),
            "username" | "remote_username" => line.rest.clone_into(&mut self.bridge.username),
            "password" | "remote_password" => self.password = Some(line),
            _ => return None,
        }
        Some(Ok(()))
    }

    /// The session and the connection.
    fn how(&mut self, line: Line<'a>) -> Taken {
        let bridge = &mut self.bridge;
        Some(match line.keyword {
            "bridge_protocol_version" => protocol_version(line, &mut bridge.version),
            "keepalive_interval" => set(&mut bridge.keep_alive, seconds(line, 1..=65_535)),
            "cleansession" => set(&mut bridge.clean_start, flag(line)),
            "bridge_session_expiry_interval" => set(&mut bridge.session_expiry, expiry(line)),
            "bridge_receive_maximum" => {
                let found = line.number().filter(|number| *number > 0);
                set(&mut bridge.receive_maximum, found.ok_or("expected 1 to 65535".to_owned()))
            }
            "bridge_outgoing_retain" => set(&mut self.retains, flag(line)),
            "notifications" => set(&mut bridge.notifications, flag(line)),
            "notifications_local_only" => set(&mut self.notifies_here_only, flag(line)),
            "notification_topic" => {
                line.rest.clone_into(&mut bridge.notification_topic);
                Ok(())
            }
            "try_private" => set(&mut bridge.try_private, flag(line)),
            "start_type" => start_type(line),
            "restart_timeout" => restart_timeout(line, &mut bridge.max_backoff),
            "round_robin" => unless(
                flag(line),
                "no counterpart: addresses are tried in their order, and the first is returned \
                 to when it answers",
            ),
            _ => return None,
        })
    }

    fn tls(&mut self, line: Line<'a>) -> Taken {
        let path = (!line.rest.is_empty()).then(|| line.rest.into());
        match line.keyword {
            // As in Mosquitto, these turn TLS on, and a client certificate alone does not.
            "bridge_cafile" => {
                self.uses_tls = true;
                self.tls.ca_file = path;
            }
            "bridge_tls_use_os_certs" => match flag(line) {
                Ok(is_on) => self.uses_tls |= is_on,
                Err(why) => return Some(Err(why)),
            },
            "bridge_capath" | "bridge_identity" | "bridge_psk" => {
                self.uses_tls = true;
                return None;
            }
            "bridge_certfile" => self.tls.certificate_file = path,
            "bridge_keyfile" => self.tls.key_file = path,
            "bridge_alpn" => self.tls.alpn = List(vec![line.rest.to_owned()]),
            "bridge_insecure" => {
                return Some(unless(
                    flag(line),
                    "no counterpart: certificates are always checked. If the name in it is not \
                     that of the address, set tls.server_name to the name in it",
                ));
            }
            _ => return None,
        }
        Some(Ok(()))
    }

    /// The bridge.
    pub fn finish(mut self, name: &str, notes: &mut Vec<Note>) -> Bridge {
        self.take_addresses(notes);
        self.take_topics(notes);
        let bridge = &mut self.bridge;
        bridge.notifications &= !self.notifies_here_only;
        if self.tls != BridgeTls::default() {
            if self.uses_tls {
                bridge.tls = Some(self.tls);
            } else {
                notes.push(self.line.note(
                    "the connection has no TLS, as in Mosquitto without bridge_cafile, \
                     bridge_capath and bridge_tls_use_os_certs: bridge_certfile, bridge_keyfile \
                     and bridge_alpn are left out",
                ));
            }
        }
        if let Some(line) = self.password {
            notes.push(line.note(format!(
                "passwords are not copied: write it into a file that only the broker can read, \
                 and set bridges.{name}.password_file to the file"
            )));
        }
        if bridge.client_id.is_empty() {
            notes.push(self.line.note(format!(
                "no remote_clientid: Mosquitto makes one of this name and the host's, and the \
                 bridge's is {}. Messages in the old session at the remote broker stay there",
                bridge.client_id(name)
            )));
        }
        self.bridge
    }

    fn take_addresses(&mut self, notes: &mut Vec<Note>) {
        let scheme = if self.uses_tls { BridgeScheme::Mqtts } else { BridgeScheme::Mqtt };
        for (line, text) in &self.addresses {
            if self.uses_tls && !address::has_port(text) {
                notes.push(line.note("no port: it is Mosquitto's 1883, although TLS is in use"));
            }
            match address::parse(text, scheme) {
                Some(address) => self.bridge.addresses.0.push(address),
                None => notes.push(line.note(format!("`{text}` is no host with a port"))),
            }
        }
    }

    fn take_topics(&mut self, notes: &mut Vec<Note>) {
        for (line, direction, rule) in std::mem::take(&mut self.topics) {
            let Bridge { forward, subscribe, .. } = &mut self.bridge;
            if direction.is_out() {
                let retain = self.retains;
                add(forward, BridgeRule { retain, ..rule.clone() }, BridgeRule::local_filter)
                    .unwrap_or_else(|why| notes.push(line.note(why)));
            }
            if direction.is_in() {
                add(subscribe, rule, BridgeRule::remote_filter)
                    .unwrap_or_else(|why| notes.push(line.note(why)));
            }
        }
        // In Mosquitto the first line with a prefix that matches decides about the topic.
        for rules in [&mut self.bridge.forward, &mut self.bridge.subscribe] {
            rules.sort_by_key(|rule| !has_prefix(rule));
        }
    }
}

/// Adds a rule. Mosquitto subscribes once to a filter that several lines name, at the QoS of the last
/// one, and changes topics by the first one with a prefix. They become one rule, at the highest QoS, so
/// that no message is lost.
fn add(
    rules: &mut Vec<BridgeRule>,
    rule: BridgeRule,
    source: fn(&BridgeRule) -> String,
) -> Result<(), String> {
    let filter = source(&rule);
    let Some(known) = rules.iter_mut().find(|other| source(other) == filter) else {
        rules.push(rule);
        return Ok(());
    };
    let qos = known.qos.max(rule.qos);
    if !has_prefix(known) && has_prefix(&rule) {
        *known = rule;
    }
    known.qos = qos;
    Err(format!(
        "an earlier line is for \"{filter}\" as well: they are one rule, with the first prefix and \
         the highest QoS of them ({qos})"
    ))
}

fn has_prefix(rule: &BridgeRule) -> bool {
    !(rule.local_prefix.is_empty() && rule.remote_prefix.is_empty())
}

/// Sets what a line says.
fn set<T>(key: &mut T, found: Result<T, String>) -> Result<(), String> {
    found.map(|value| *key = value)
}

/// An error if a flag is set.
fn unless(flag: Result<bool, String>, why: &str) -> Result<(), String> {
    if flag? { Err(why.to_owned()) } else { Ok(()) }
}

fn protocol_version(line: Line<'_>, version: &mut BridgeVersion) -> Result<(), String> {
    *version = match line.rest {
        "mqttv50" => BridgeVersion::V5,
        "mqttv311" | "mqttv31" => BridgeVersion::V311,
        _ => return Err("it is none of mqttv50, mqttv311 and mqttv31".to_owned()),
    };
    let is_old = line.rest == "mqttv31";
    unless(Ok(is_old), "no counterpart: bridges do not speak MQTT 3.1; version is \"3.1.1\"")
}

fn expiry(line: Line<'_>) -> Result<Span, String> {
    match line.number() {
        Some(u32::MAX) => Ok(Span::NEVER),
        Some(0) => Err("no counterpart: a session that ends with the connection would lose \
                        messages; session_expiry stays \"never\""
            .to_owned()),
        _ => seconds(line, 1..=3_153_600_000),
    }
}

fn start_type(line: Line<'_>) -> Result<(), String> {
    match line.words().next() {
        Some("automatic") => Ok(()),
        Some("lazy") => Err("no counterpart: a bridge is always connected".to_owned()),
        Some("once") => Err("no counterpart: a bridge always connects again".to_owned()),
        _ => Err("it is none of automatic, lazy and once".to_owned()),
    }
}

/// `BASE [CAP]`: the longest wait is the last of them.
fn restart_timeout(line: Line<'_>, longest: &mut Span) -> Result<(), String> {
    let mut numbers = line.words().map(str::parse::<u64>);
    let (Some(Ok(base)), cap) = (numbers.next(), numbers.next()) else {
        return Err("expected seconds".to_owned());
    };
    let cap = cap.and_then(Result::ok).unwrap_or(base).clamp(1, 86_400);
    *longest = Span::seconds(cap);
    Err(format!(
        "max_backoff is {longest}: waits begin at 1s and double up to it, with jitter; there is \
         no other first wait"
    ))
}

fn flag(line: Line<'_>) -> Result<bool, String> {
    line.flag().ok_or_else(|| "expected true or false".to_owned())
}

fn seconds(line: Line<'_>, range: RangeInclusive<u64>) -> Result<Span, String> {
    let found = line.number().filter(|number| range.contains(number));
    let (least, most) = range.into_inner();
    found.map(Span::seconds).ok_or_else(|| format!("expected {least} to {most} seconds"))
}
