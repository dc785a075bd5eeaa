//! The seam to `mqttbytes`: its types to ours and back.

use bytes::{Bytes, BytesMut};
use mqttbytes::FixedHeader;

use super::encode::fitting;
use super::varint::{self, Varint};
use super::{DecodeError, QoS, UserProperty};

/// A whole frame in the form that the library's readers want. They need their own
/// copy, which keeps them from holding on to the connection's read buffer.
pub fn frame(frame: &[u8]) -> Result<(FixedHeader, Bytes), DecodeError> {
    match frame.split_first().map(|(&first, rest)| (first, varint::read(rest))) {
        Some((first, Varint::Value(len, used))) => {
            Ok((FixedHeader::new(first, used, len), Bytes::copy_from_slice(frame)))
        }
        _ => Err(DecodeError::malformed("no fixed header")),
    }
}

/// The strict walk comes first, so that the library has nothing left to refuse but
/// codes that it does not list.
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

/// Runs one of the library's writers. They fail only for packets larger than any may
/// be, and then with the first byte written, which is taken back.
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

/// User properties whose strings fit their length fields.
pub fn pairs(pairs: &[UserProperty]) -> Vec<UserProperty> {
    pairs
        .iter()
        .map(|(name, value)| (fitting(name).to_owned(), fitting(value).to_owned()))
        .collect()
}
