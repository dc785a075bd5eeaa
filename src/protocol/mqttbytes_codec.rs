//! Conversions between the types of `mqttbytes` and those of this module.

use bytes::{Bytes, BytesMut};
use mqttbytes::FixedHeader;

use super::encode::fitting;
use super::varint::{self, Varint};
use super::{DecodeError, QoS, UserProperty};

/// A whole frame in the form that the library's readers need. They get a copy, so that they do
/// not keep the connection's read buffer alive.
pub fn frame(frame: &[u8]) -> Result<(FixedHeader, Bytes), DecodeError> {
    match frame.split_first().map(|(&first, rest)| (first, varint::read(rest))) {
        Some((first, Varint::Value(len, used))) => {
            Ok((FixedHeader::new(first, used, len), Bytes::copy_from_slice(frame)))
        }
        _ => Err(DecodeError::malformed("no fixed header")),
    }
}

/// The error for a packet that the library refuses. It was validated before, so the library
/// can only refuse codes that it does not know.
#[allow(clippy::needless_pass_by_value)] // For `map_err`.
pub fn refused(_: mqttbytes::Error) -> DecodeError {
    DecodeError::protocol("value that this packet does not have")
}

pub fn qos(qos: mqttbytes::QoS) -> QoS {
    match qos {
        mqttbytes::QoS::AtMostOnce => QoS::AtMostOnce,
        mqttbytes::QoS::AtLeastOnce => QoS::AtLeastOnce,
        mqttbytes::QoS::ExactlyOnce => QoS::ExactlyOnce,
    }
}

pub fn to_qos(qos: QoS) -> mqttbytes::QoS {
    match qos {
        QoS::AtMostOnce => mqttbytes::QoS::AtMostOnce,
        QoS::AtLeastOnce => mqttbytes::QoS::AtLeastOnce,
        QoS::ExactlyOnce => mqttbytes::QoS::ExactlyOnce,
    }
}

/// Runs one of the library's writers. They fail only for packets above the protocol's limit,
/// after they have written the first byte, which is removed.
pub fn write(
    out: &mut BytesMut,
    write: impl FnOnce(&mut BytesMut) -> Result<usize, mqttbytes::Error>,
) {
    let start = out.len();
    if write(out).is_err() {
        debug_assert!(false, "no packet is larger");
        out.truncate(start);
    }
}

/// User properties, truncated to their length fields.
pub fn pairs(pairs: &[UserProperty]) -> Vec<UserProperty> {
    pairs
        .iter()
        .map(|(name, value)| (fitting(name).to_owned(), fitting(value).to_owned()))
        .collect()
}
