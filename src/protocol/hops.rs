//! The brokers that a message has passed, so that bridges do not send it in circles.
//!
//! Between brokers of this kind it is a user property, [`HOPS`], whose value is their
//! identifiers, separated by commas. It stands first in an encoded property block, and a block
//! has at most one: the decoder sees to that. Clients that are no bridges never see it, and
//! what they send under this name is ignored.

use bytes::{BufMut, BytesMut};

use super::properties::id;

/// The name of the user property.
pub const HOPS: &str = "ferrymq-hops";

/// The user property with which a bridge and the broker that accepts it tell each other their
/// identifiers, in CONNECT and CONNACK.
pub const BROKER: &str = "ferrymq-broker";

/// Brokers that a message may pass. A longer way is taken for a circle.
pub const MOST_HOPS: usize = 16;

/// Identifier, two lengths, and the name.
const HEAD: usize = 1 + 2 + HOPS.len() + 2;

/// Takes the hops from the front of an encoded property block, and returns the rest.
#[inline]
pub fn split(block: &[u8]) -> (Option<&str>, &[u8]) {
    if block.len() < HEAD || block.first() != Some(&id::USER_PROPERTY) {
        return (None, block);
    }
    let taken = take(block);
    taken.map_or((None, block), |(hops, rest)| (Some(hops), rest))
}

fn take(block: &[u8]) -> Option<(&str, &[u8])> {
    let (name, rest) = text(block.get(1..)?)?;
    if name != HOPS.as_bytes() {
        return None;
    }
    let (value, rest) = text(rest)?;
    Some((std::str::from_utf8(value).ok()?, rest))
}

/// A length of two bytes, and as many bytes.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

/// The brokers that a message with these hops has passed.
pub fn passed(hops: &str) -> impl Iterator<Item = &str> {
    hops.split(',')
}

/// True if a message with these hops has passed the broker.
pub fn has_passed(hops: &str, broker: &str) -> bool {
    passed(hops).any(|hop| hop == broker)
}

/// True if it has passed as many brokers as it may.
pub fn is_too_far(hops: &str) -> bool {
    hops.split(',').count() >= MOST_HOPS
}

/// The hops of a message that is sent to another broker.
#[derive(Debug, Clone, Copy)]
pub struct Hops<'a> {
    /// Those that it had when it came; `None`: it was published here.
    pub before: Option<&'a str>,
    /// The identifier of this broker.
    pub own: &'a str,
}

impl Hops<'_> {
    /// Bytes that a broker adds to a message at most: the property, and its own identifier.
    pub const LONGEST: usize = HEAD + 65;

    /// Bytes of the property.
    pub fn len(&self) -> usize {
        HEAD + self.before.map_or(0, |before| before.len() + 1) + self.own.len()
    }

    /// Never: it has an identifier at least.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Writes the property.
    pub fn put(&self, out: &mut BytesMut) {
        let len = |len: usize| u16::try_from(len).unwrap_or(u16::MAX);
        out.put_u8(id::USER_PROPERTY);
        out.put_u16(len(HOPS.len()));
        out.put_slice(HOPS.as_bytes());
        out.put_u16(len(self.len() - HEAD));
        if let Some(before) = self.before {
            out.put_slice(before.as_bytes());
            out.put_u8(b',');
        }
        out.put_slice(self.own.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_read_as_they_are_written_and_grow_at_the_end() {
        let mut block = BytesMut::new();
        let first = Hops { before: None, own: "a1" };
        first.put(&mut block);
        assert_eq!(block.len(), first.len());
        block.put_slice(b"rest");
        assert_eq!(split(&block), (Some("a1"), &b"rest"[..]));
        let mut block = BytesMut::new();
        Hops { before: Some("a1"), own: "b2" }.put(&mut block);
        assert_eq!(split(&block), (Some("a1,b2"), &b""[..]));
    }

    #[test]
    fn other_blocks_have_no_hops() {
        for block in [&b""[..], b"\x26", b"\x26\0\x0cferrymq-hops", b"\x26\0\x0cferrymq-hopt\0\0"] {
            assert_eq!(split(block), (None, block));
        }
    }

    #[test]
    fn a_broker_is_found_among_hops_as_a_whole() {
        assert!(has_passed("a1,b2", "b2"));
        assert!(!has_passed("a1,b22", "b2"));
        let many = |count: usize| vec!["x"; count].join(",");
        assert!(!is_too_far(&many(MOST_HOPS - 1)));
        assert!(is_too_far(&many(MOST_HOPS)));
    }
}
