//! The parts of packets. Only for infrequent packets: the body is built first and then framed.

use bytes::{BufMut, BytesMut};

use crate::protocol::UserProperty;
use crate::protocol::properties::id;
use crate::protocol::varint;

/// The most bytes of a string or binary data, which have two bytes of length.
const LONGEST: usize = 65_535;

/// Appends fixed header and body.
pub fn frame(out: &mut BytesMut, first: u8, body: &[u8]) {
    debug_assert!(body.len() <= varint::MAX, "no packet is larger");
    if body.len() > varint::MAX {
        return;
    }
    out.reserve(5 + body.len());
    out.put_u8(first);
    varint::put(out, body.len());
    out.put_slice(body);
}

/// The string, truncated at a character boundary if it is too long for its length field.
pub fn fitting(text: &str) -> &str {
    debug_assert!(text.len() <= LONGEST, "no string is longer");
    text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default()
}

/// The bytes, truncated if they are too long for their length field.
pub fn fitting_bytes(bytes: &[u8]) -> &[u8] {
    debug_assert!(bytes.len() <= LONGEST, "no binary data is longer");
    bytes.get(..LONGEST).unwrap_or(bytes)
}

/// Appends length and bytes.
pub fn binary(out: &mut BytesMut, bytes: &[u8]) {
    let bytes = fitting_bytes(bytes);
    out.put_u16(u16::try_from(bytes.len()).unwrap_or(u16::MAX));
    out.put_slice(bytes);
}

/// Appends length and string.
pub fn text(out: &mut BytesMut, text: &str) {
    binary(out, fitting(text).as_bytes());
}

/// A block of properties that is being encoded.
#[derive(Debug, Default)]
pub struct Properties(BytesMut);

impl Properties {
    pub fn flag(&mut self, id: u8, value: bool) {
        self.0.put_slice(&[id, value.into()]);
    }

    pub fn u16(&mut self, id: u8, value: Option<u16>) {
        if let Some(value) = value {
            self.0.put_u8(id);
            self.0.put_u16(value);
        }
    }

    pub fn u32(&mut self, id: u8, value: Option<u32>) {
        if let Some(value) = value {
            self.0.put_u8(id);
            self.0.put_u32(value);
        }
    }

    pub fn text(&mut self, id: u8, value: Option<&str>) {
        if let Some(value) = value {
            self.0.put_u8(id);
            text(&mut self.0, value);
        }
    }

    pub fn binary(&mut self, id: u8, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.0.put_u8(id);
            binary(&mut self.0, value);
        }
    }

    pub fn user(&mut self, pairs: &[UserProperty]) {
        for (name, value) in pairs {
            self.0.put_u8(id::USER_PROPERTY);
            text(&mut self.0, name);
            text(&mut self.0, value);
        }
    }

    /// Appends encoded properties.
    pub fn raw(&mut self, block: &[u8]) {
        self.0.put_slice(block);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends length and properties.
    pub fn finish(&self, out: &mut BytesMut) {
        varint::put(out, self.0.len());
        out.put_slice(&self.0);
    }
}
