//! Encoders for packets that `tests/common/raw.rs` lacks.

use crate::common::raw;

/// A will.
#[derive(Debug, Clone)]
pub struct Will {
    pub topic: String,
    pub size: usize,
    /// Seconds; MQTT 5.0 only.
    pub delay: u32,
}

fn text(out: &mut Vec<u8>, value: &[u8]) {
    out.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
    out.extend(value);
}

/// `expiry` is in seconds; `aliases` is the Topic Alias Maximum. Both for MQTT 5.0 only.
pub fn connect(
    v5: bool,
    clean: bool,
    id: &str,
    (expiry, aliases): (u32, u16),
    will: Option<&Will>,
) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, b"MQTT");
    let flags = if will.is_some() { 0x0C } else { 0 } | u8::from(clean) << 1;
    body.extend([if v5 { 5 } else { 4 }, flags, 0, 0]);
    if v5 {
        // Session Expiry Interval and Topic Alias Maximum.
        body.extend([8, 17]);
        body.extend(expiry.to_be_bytes());
        body.push(34);
        body.extend(aliases.to_be_bytes());
    }
    text(&mut body, id.as_bytes());
    if let Some(will) = will {
        if v5 {
            body.extend([5, 24]);
            body.extend(will.delay.to_be_bytes());
        }
        text(&mut body, will.topic.as_bytes());
        // The length of a will's payload has two bytes.
        text(&mut body, &vec![b'w'; will.size.min(65_535)]);
    }
    let mut out = Vec::new();
    raw::frame(&mut out, 0x10, &body);
    out
}

/// A PUBLISH of `size` bytes. `alias` is for MQTT 5.0.
pub fn publish(
    out: &mut Vec<u8>,
    v5: bool,
    (qos, pid, retain): (u8, u16, bool),
    (topic, alias): (&str, Option<u16>),
    size: usize,
) {
    let mut body = Vec::with_capacity(topic.len() + size + 10);
    text(&mut body, topic.as_bytes());
    if qos > 0 {
        body.extend(pid.to_be_bytes());
    }
    if v5 {
        match alias {
            Some(alias) => {
                body.extend([3, 35]);
                body.extend(alias.to_be_bytes());
            }
            None => body.push(0),
        }
    }
    body.resize(body.len() + size, b'x');
    raw::frame(out, 0x30 | qos << 1 | u8::from(retain), &body);
}

/// A SUBSCRIBE of many filters.
pub fn subscribe<'a>(
    out: &mut Vec<u8>,
    v5: bool,
    pid: u16,
    filters: impl IntoIterator<Item = &'a str>,
    qos: u8,
) {
    let mut body = pid.to_be_bytes().to_vec();
    if v5 {
        body.push(0);
    }
    for filter in filters {
        text(&mut body, filter.as_bytes());
        body.push(qos);
    }
    raw::frame(out, 0x82, &body);
}
