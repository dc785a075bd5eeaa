//! MQTT packets as bytes, by an encoder of the tests' own: with the broker's codec, a test
//! would share its faults.

pub const PUBACK: u8 = 0x40;
pub const PUBREC: u8 = 0x50;
pub const PUBREL: u8 = 0x62;
pub const PUBCOMP: u8 = 0x70;

/// A string or binary data with its length in two bytes.
pub fn text(out: &mut Vec<u8>, value: impl AsRef<[u8]>) {
    let value = value.as_ref();
    out.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
    out.extend(value);
}

/// A Variable Byte Integer.
pub fn variable(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = u8::try_from(value % 128).unwrap();
        value /= 128;
        out.push(if value > 0 { low | 0x80 } else { low });
        if value == 0 {
            return;
        }
    }
}

/// Appends one packet: its first byte, its length, its body.
pub fn frame(out: &mut Vec<u8>, first: u8, body: &[u8]) {
    out.push(first);
    variable(out, body.len());
    out.extend(body);
}

fn properties(out: &mut Vec<u8>, version: u8, properties: &[u8]) {
    if version == 5 {
        variable(out, properties.len());
        out.extend(properties);
    }
}

/// Properties of MQTT 5.0, encoded. Several are concatenated.
pub mod property {
    pub fn message_expiry(seconds: u32) -> Vec<u8> {
        four_bytes(2, seconds)
    }

    pub fn session_expiry(seconds: u32) -> Vec<u8> {
        four_bytes(17, seconds)
    }

    pub fn will_delay(seconds: u32) -> Vec<u8> {
        four_bytes(24, seconds)
    }

    pub fn topic_alias_maximum(most: u16) -> Vec<u8> {
        two_bytes(34, most)
    }

    pub fn topic_alias(alias: u16) -> Vec<u8> {
        two_bytes(35, alias)
    }

    /// User properties of about so many bytes together.
    pub fn user(bytes: usize) -> Vec<u8> {
        const VALUE: usize = 50_000;
        let value = "p".repeat(VALUE);
        let mut out = Vec::with_capacity(bytes);
        while out.len() + VALUE <= bytes {
            out.push(38);
            super::text(&mut out, "key");
            super::text(&mut out, &value);
        }
        out
    }

    fn two_bytes(id: u8, value: u16) -> Vec<u8> {
        let mut out = vec![id];
        out.extend(value.to_be_bytes());
        out
    }

    fn four_bytes(id: u8, value: u32) -> Vec<u8> {
        let mut out = vec![id];
        out.extend(value.to_be_bytes());
        out
    }
}

/// What a CONNECT says beyond its client id.
#[derive(Debug, Clone)]
pub struct Connect {
    pub version: u8,
    pub clean: bool,
    pub keep_alive: u16,
    /// Seconds; MQTT 5.0 only.
    pub expiry: u32,
    /// Others, encoded; MQTT 5.0 only.
    pub properties: Vec<u8>,
    pub will: Option<Will>,
    /// User name and password.
    pub user: Option<(&'static str, String)>,
}

#[derive(Debug, Clone)]
pub struct Will {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    /// Seconds; MQTT 5.0 only.
    pub delay: u32,
    /// Others, encoded; MQTT 5.0 only.
    pub properties: Vec<u8>,
}

impl Will {
    /// At QoS 1, without a delay.
    pub fn new(topic: impl Into<String>) -> Self {
        let payload = b"gone".to_vec();
        Self { topic: topic.into(), payload, qos: 1, delay: 0, properties: Vec::new() }
    }

    fn encode(&self, out: &mut Vec<u8>, version: u8) {
        let own = property::will_delay(self.delay);
        properties(out, version, &[own.as_slice(), &self.properties].concat());
        text(out, &self.topic);
        text(out, &self.payload);
    }
}

impl Connect {
    /// A durable session unless `clean`, for an hour.
    pub fn new(version: u8, clean: bool) -> Self {
        Self {
            version,
            clean,
            keep_alive: 0,
            expiry: 3600,
            properties: Vec::new(),
            will: None,
            user: None,
        }
    }

    /// A session that ends with its connection, in every version.
    pub fn passing(version: u8) -> Self {
        Self { expiry: 0, ..Self::new(version, true) }
    }

    pub fn encode(&self, client_id: &str) -> Vec<u8> {
        let mut body = Vec::new();
        text(&mut body, "MQTT");
        let will = self.will.as_ref().map_or(0, |will| 0x04 | will.qos << 3);
        let user = if self.user.is_some() { 0xC0 } else { 0 };
        body.extend([self.version, user | will | u8::from(self.clean) << 1]);
        body.extend(self.keep_alive.to_be_bytes());
        let own = property::session_expiry(self.expiry);
        properties(&mut body, self.version, &[own.as_slice(), &self.properties].concat());
        text(&mut body, client_id);
        if let Some(will) = &self.will {
            will.encode(&mut body, self.version);
        }
        if let Some((name, password)) = &self.user {
            text(&mut body, name);
            text(&mut body, password);
        }
        let mut out = Vec::new();
        frame(&mut out, 0x10, &body);
        out
    }
}

/// What a PUBLISH says. At QoS 0 `pid` is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    pub dup: bool,
    pub qos: u8,
    pub pid: u16,
    pub topic: String,
    pub payload: Vec<u8>,
}

/// The same, borrowed, with all else that it may say.
#[derive(Debug, Clone, Copy, Default)]
pub struct Message<'a> {
    pub topic: &'a str,
    pub payload: &'a [u8],
    pub dup: bool,
    pub qos: u8,
    pub pid: u16,
    pub retain: bool,
    /// Encoded; MQTT 5.0 only.
    pub properties: &'a [u8],
}

/// Appends a PUBLISH.
pub fn message(out: &mut Vec<u8>, version: u8, message: &Message<'_>) {
    let Message { topic, payload, dup, qos, pid, retain, properties: own } = *message;
    let mut body = Vec::with_capacity(topic.len() + own.len() + payload.len() + 10);
    text(&mut body, topic);
    if qos > 0 {
        body.extend(pid.to_be_bytes());
    }
    properties(&mut body, version, own);
    body.extend(payload);
    frame(out, 0x30 | u8::from(dup) << 3 | qos << 1 | u8::from(retain), &body);
}

/// Appends a PUBLISH without properties.
pub fn publish(out: &mut Vec<u8>, version: u8, publish: &Publish) {
    let Publish { dup, qos, pid, topic, payload } = publish;
    let (dup, qos, pid) = (*dup, *qos, *pid);
    message(out, version, &Message { topic, payload, dup, qos, pid, ..Message::default() });
}

/// Appends a PUBLISH of MQTT 5.0 that is to be retained at QoS 1, with a Message Expiry
/// Interval in seconds.
pub fn retain(out: &mut Vec<u8>, pid: u16, topic: &str, payload: &[u8], expiry: Option<u32>) {
    let properties = expiry.map(property::message_expiry).unwrap_or_default();
    let properties = &properties;
    let retained = Message { topic, payload, qos: 1, pid, retain: true, properties, dup: false };
    message(out, 5, &retained);
}

/// Appends a PUBACK, PUBREC, PUBREL or PUBCOMP that reports success.
pub fn ack(out: &mut Vec<u8>, first: u8, pid: u16) {
    frame(out, first, &pid.to_be_bytes());
}

/// Appends a SUBSCRIBE of one filter.
pub fn subscribe(out: &mut Vec<u8>, version: u8, pid: u16, filter: &str, qos: u8) {
    subscribe_all(out, version, pid, [filter], qos);
}

/// Appends a SUBSCRIBE of many filters.
pub fn subscribe_all<'a>(
    out: &mut Vec<u8>,
    version: u8,
    pid: u16,
    filters: impl IntoIterator<Item = &'a str>,
    qos: u8,
) {
    let mut body = pid.to_be_bytes().to_vec();
    properties(&mut body, version, &[]);
    for filter in filters {
        text(&mut body, filter);
        body.push(qos);
    }
    frame(out, 0x82, &body);
}

/// Appends an UNSUBSCRIBE of one filter.
pub fn unsubscribe(out: &mut Vec<u8>, version: u8, pid: u16, filter: &str) {
    let mut body = pid.to_be_bytes().to_vec();
    properties(&mut body, version, &[]);
    text(&mut body, filter);
    frame(out, 0xA2, &body);
}
