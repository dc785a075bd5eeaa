//! Variable Byte Integers (section 1.5.5), strict in both directions.

use bytes::{BufMut, BytesMut};

/// The largest value of four bytes.
pub const MAX: usize = 268_435_455;

/// The result of reading an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Varint {
    /// The value and its length in bytes.
    Value(usize, usize),
    /// The bytes end before the integer.
    Unfinished,
    /// Longer than four bytes, or longer than necessary [MQTT-1.5.5-1].
    Overlong,
}

/// Reads an integer from the front of `bytes`.
#[inline]
pub fn read(bytes: &[u8]) -> Varint {
    let mut value = 0;
    for (at, &byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            // A last byte of zero adds nothing, so the encoding is longer than necessary.
            return if byte == 0 && at > 0 {
                Varint::Overlong
            } else {
                Varint::Value(value, at + 1)
            };
        }
    }
    if bytes.len() >= 4 { Varint::Overlong } else { Varint::Unfinished }
}

/// The length of `value` in bytes.
#[inline]
pub fn len(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x001F_FFFF => 3,
        _ => 4,
    }
}

/// Encodes `value`. The second part is the number of bytes used in the array.
#[inline]
pub fn encode(value: usize) -> ([u8; 4], usize) {
    debug_assert!(value <= MAX, "no variable byte integer is larger");
    let mut bytes = [0; 4];
    let mut rest = u32::try_from(value.min(MAX)).unwrap_or(0);
    let mut used = 0;
    for byte in &mut bytes {
        let [.., low] = rest.to_be_bytes();
        *byte = low & 0x7F;
        rest >>= 7;
        used += 1;
        if rest == 0 {
            break;
        }
        *byte |= 0x80;
    }
    (bytes, used)
}

/// Appends `value`.
#[inline]
pub fn put(out: &mut BytesMut, value: usize) {
    let (bytes, used) = encode(value);
    out.put_slice(bytes.get(..used).unwrap_or(&bytes));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn mqtt_1_5_5_1_only_the_shortest_encoding_is_accepted() {
        assert_eq!(read(&[0x00]), Varint::Value(0, 1));
        assert_eq!(read(&[0x80, 0x00]), Varint::Overlong);
        assert_eq!(read(&[0xFF, 0x80, 0x00]), Varint::Overlong);
        assert_eq!(read(&[0xFF, 0xFF, 0xFF, 0x7F]), Varint::Value(MAX, 4));
        assert_eq!(
            read(&[0xFF, 0xFF, 0xFF, 0x80]),
            Varint::Overlong,
            "a fifth byte need not be seen"
        );
        assert_eq!(read(&[0xFF, 0xFF, 0xFF]), Varint::Unfinished);
        assert_eq!(read(&[]), Varint::Unfinished);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in 0..=MAX) {
            let mut out = BytesMut::new();
            put(&mut out, value);
            prop_assert_eq!(out.len(), len(value));
            prop_assert_eq!(read(&out), Varint::Value(value, len(value)));
        }
    }
}
