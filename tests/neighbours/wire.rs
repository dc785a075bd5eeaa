//! Encoders for an attacker's packets that `tests/common/raw.rs` lacks: with large parts, many
//! filters, or without their last byte.

use super::common::raw;

/// A string or binary data with its length in two bytes.
pub fn text(out: &mut Vec<u8>, value: &str) {
    out.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
    out.extend(value.as_bytes());
}

fn variable(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = u8::try_from(value % 128).unwrap();
        value /= 128;
        out.push(if value > 0 { low | 0x80 } else { low });
        if value == 0 {
            return;
        }
    }
}

/// MQTT 5.0 user properties of about `bytes` bytes together.
pub fn user_properties(bytes: usize) -> Vec<u8> {
    const VALUE: usize = 50_000;
    let value = "p".repeat(VALUE);
    let mut out = Vec::with_capacity(bytes);
    while out.len() + VALUE <= bytes {
        out.push(38);
        text(&mut out, "key");
        text(&mut out, &value);
    }
    out
}

/// The content of a CONNECT; anonymous, clean and MQTT 3.1.1 by default.
#[derive(Debug, Clone)]
pub struct Login {
    pub version: u8,
    pub clean: bool,
    /// Encoded; MQTT 5.0 only.
    pub properties: Vec<u8>,
    pub will: Option<Will>,
    pub user: Option<(&'static str, String)>,
}

/// A will at QoS 0.
#[derive(Debug, Clone)]
pub struct Will {
    pub topic: String,
    pub payload: String,
    /// Encoded; MQTT 5.0 only.
    pub properties: Vec<u8>,
}

impl Login {
    pub fn new(version: u8) -> Self {
        Self { version, clean: true, properties: Vec::new(), will: None, user: None }
    }

    pub fn encode(&self, id: &str) -> Vec<u8> {
        let mut body = Vec::new();
        text(&mut body, "MQTT");
        let user = if self.user.is_some() { 0xC0 } else { 0 };
        let will = u8::from(self.will.is_some()) << 2;
        body.extend([self.version, user | will | u8::from(self.clean) << 1, 0, 0]);
        self.properties(&mut body, &self.properties);
        text(&mut body, id);
        if let Some(will) = &self.will {
            self.properties(&mut body, &will.properties);
            text(&mut body, &will.topic);
            text(&mut body, &will.payload);
        }
        if let Some((name, password)) = &self.user {
            text(&mut body, name);
            text(&mut body, password);
        }
        let mut out = Vec::new();
        raw::frame(&mut out, 0x10, &body);
        out
    }

    fn properties(&self, out: &mut Vec<u8>, properties: &[u8]) {
        if self.version == 5 {
            variable(out, properties.len());
            out.extend(properties);
        }
    }
}

/// Session Expiry Interval in a CONNECT.
pub fn session_expiry(seconds: u32) -> Vec<u8> {
    property(17, seconds)
}

/// Will Delay Interval in a will.
pub fn will_delay(seconds: u32) -> Vec<u8> {
    property(24, seconds)
}

fn property(id: u8, value: u32) -> Vec<u8> {
    let mut out = vec![id];
    out.extend(value.to_be_bytes());
    out
}

/// Appends a PUBLISH of MQTT 3.1.1 at QoS 0.
pub fn publish(out: &mut Vec<u8>, topic: &str, payload: &[u8], retain: bool) {
    let mut body = Vec::with_capacity(topic.len() + payload.len() + 2);
    text(&mut body, topic);
    body.extend(payload);
    raw::frame(out, 0x30 | u8::from(retain), &body);
}

/// Appends a PUBLISH of MQTT 5.0 at QoS 1 that sets a topic alias.
pub fn publish_alias(out: &mut Vec<u8>, pid: u16, topic: &str, alias: u16) {
    let mut body = Vec::with_capacity(topic.len() + 16);
    text(&mut body, topic);
    body.extend(pid.to_be_bytes());
    body.extend([3, 35]);
    body.extend(alias.to_be_bytes());
    raw::frame(out, 0x32, &body);
}

/// Appends a SUBSCRIBE of MQTT 3.1.1 with many filters at QoS 0.
pub fn subscribe<'a>(out: &mut Vec<u8>, pid: u16, filters: impl IntoIterator<Item = &'a str>) {
    let mut body = pid.to_be_bytes().to_vec();
    for filter in filters {
        text(&mut body, filter);
        body.push(0);
    }
    raw::frame(out, 0x82, &body);
}

/// As many copies of `packet` as fit into `bytes`, at least one.
pub fn repeated(packet: &[u8], bytes: usize) -> Vec<u8> {
    packet.repeat((bytes / packet.len()).max(1))
}
