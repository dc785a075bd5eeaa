//! Reads user properties of a block that was validated when it was received.

use super::table::{self, Kind, id};
use crate::protocol::reader::Reader;

/// The user properties of an encoded block without its length in front, in order, as bytes.
/// Ends at the first byte that cannot be decoded, which a validated block does not have.
/// Allocates nothing, and reads only the lengths of strings.
pub fn user_properties(block: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut reader = Reader::new(block);
    std::iter::from_fn(move || {
        while !reader.is_empty() {
            let id = reader.u8().ok()?;
            if id == id::USER_PROPERTY {
                return Some((reader.binary().ok()?, reader.binary().ok()?));
            }
            skip(&mut reader, table::find(id)?.0)?;
        }
        None
    })
}

fn skip(reader: &mut Reader<'_>, kind: Kind) -> Option<()> {
    let skipped = match kind {
        Kind::Flag => reader.take(1),
        Kind::U16 | Kind::U16NonZero | Kind::Alias => reader.take(2),
        Kind::U32 | Kind::U32NonZero => reader.take(4),
        Kind::VarintNonZero => return reader.varint().ok().map(drop),
        Kind::Text | Kind::Topic | Kind::Binary => reader.binary(),
        Kind::Pair => reader.binary().and_then(|_| reader.binary()),
    };
    skipped.ok().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> Vec<u8> {
        let mut bytes = vec![id::USER_PROPERTY];
        for text in [name, value] {
            bytes.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes
    }

    #[test]
    fn they_are_found_between_properties_of_every_other_type() {
        let mut block = vec![id::PAYLOAD_FORMAT, 1, id::MESSAGE_EXPIRY, 0, 0, 0, 9];
        block.extend(pair("a", "1"));
        block.extend([id::CONTENT_TYPE, 0, 1, b'x', id::CORRELATION_DATA, 0, 2, 38, 38]);
        block.extend([id::SUBSCRIPTION_ID, 0x80, 0x01, id::TOPIC_ALIAS, 0, 7]);
        block.extend(pair("a", ""));
        let found: Vec<_> = user_properties(&block).collect();
        assert_eq!(found, [(&b"a"[..], &b"1"[..]), (b"a", b"")]);
    }

    #[test]
    fn what_cannot_be_read_ends_the_walk() {
        let mut block = pair("a", "1");
        block.extend([id::USER_PROPERTY, 0, 200, 1]);
        assert_eq!(user_properties(&block).count(), 1);
        assert_eq!(user_properties(&[0xFF, 0, 0]).count(), 0);
        assert_eq!(user_properties(&[]).count(), 0);
    }
}
