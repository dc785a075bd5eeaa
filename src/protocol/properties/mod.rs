//! The properties of v5: the table of section 2.2.2.2 and its validation.
//!
//! Every property of every packet passes [`walk`], which checks its type, its range, the
//! packets in which it is valid, and whether it may be repeated. Rules about several
//! properties, or about the direction, are checked for each packet type.

mod message;
mod table;
mod user;

use super::{DecodeError, ReasonCode, reader::Reader};
pub use message::MessageProperties;
use table::Kind;
pub use table::{id, of};
pub use user::user_properties;

/// A value with a valid type and range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// A flag, or an integer of any width.
    Int(u32),
    /// A string.
    Text(&'a str),
    /// Binary data.
    Binary(&'a [u8]),
    /// A user property.
    Pair(&'a str, &'a str),
}

impl<'a> Value<'a> {
    /// The integer; 0 for another type, which the table rules out.
    pub fn int(self) -> u32 {
        if let Self::Int(value) = self { value } else { 0 }
    }

    /// A 16-bit integer; see [`Value::int`].
    pub fn short(self) -> u16 {
        u16::try_from(self.int()).unwrap_or(0)
    }

    /// A flag.
    pub fn flag(self) -> bool {
        self.int() != 0
    }

    /// The string; empty for another type, which the table rules out.
    pub fn text(self) -> &'a str {
        if let Self::Text(text) = self { text } else { "" }
    }

    /// The bytes; empty for another type, which the table rules out.
    pub fn binary(self) -> &'a [u8] {
        if let Self::Binary(bytes) = self { bytes } else { &[] }
    }

    /// The pair; two empty strings for another type, which the table rules out.
    pub fn pair(self) -> (String, String) {
        if let Self::Pair(name, value) = self {
            (name.into(), value.into())
        } else {
            Default::default()
        }
    }
}

/// One property.
#[derive(Debug, Clone, Copy)]
pub struct Property<'a> {
    /// See [`id`].
    pub id: u8,
    /// Its value.
    pub value: Value<'a>,
    /// Identifier and value as encoded in the packet.
    pub raw: &'a [u8],
}

/// Reads the property length and the properties, and passes each to `each`.
#[inline]
pub fn walk<'a>(
    reader: &mut Reader<'a>,
    packet: u16,
    each: impl FnMut(Property<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let len = reader.varint()?;
    let block = reader.take(len)?;
    if block.is_empty() { Ok(()) } else { walk_block(block, packet, each) }
}

/// As [`walk`], for a block without the length in front.
pub fn walk_block<'a>(
    block: &'a [u8],
    packet: u16,
    mut each: impl FnMut(Property<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(block);
    let mut seen = 0u64;
    while !reader.is_empty() {
        let start = reader.rest();
        let id = reader.u8()?;
        let (kind, packets) = table::find(id).ok_or(DecodeError::malformed("unknown property"))?;
        if packets & packet == 0 {
            return Err(DecodeError::malformed("property that does not belong to this packet"));
        }
        let repeatable =
            id == id::USER_PROPERTY || (id == id::SUBSCRIPTION_ID && packet == of::PUBLISH);
        if seen & (1 << id) != 0 && !repeatable {
            return Err(DecodeError::protocol("property that may stand only once"));
        }
        seen |= 1 << id;
        let value = read_value(&mut reader, kind)?;
        let raw = start.get(..start.len() - reader.rest().len()).unwrap_or_default();
        each(Property { id, value, raw })?;
    }
    Ok(())
}

/// Checks a stored block against the table of properties of PUBLISH.
///
/// # Errors
/// The rule that is violated.
pub fn check_publish_properties(block: &[u8]) -> Result<(), DecodeError> {
    walk_block(block, of::PUBLISH, |_| Ok(()))
}

fn read_value<'a>(reader: &mut Reader<'a>, kind: Kind) -> Result<Value<'a>, DecodeError> {
    let value = match kind {
        Kind::Flag => Value::Int(reader.u8()?.into()),
        Kind::U16 | Kind::U16NonZero | Kind::Alias => Value::Int(reader.u16()?.into()),
        Kind::U32 | Kind::U32NonZero => Value::Int(reader.u32()?),
        Kind::VarintNonZero => Value::Int(u32::try_from(reader.varint()?).unwrap_or(u32::MAX)),
        Kind::Text | Kind::Topic => Value::Text(reader.text()?),
        Kind::Binary => Value::Binary(reader.binary()?),
        Kind::Pair => Value::Pair(reader.text()?, reader.text()?),
    };
    match (kind, value) {
        (Kind::Flag, Value::Int(2..)) => Err(DecodeError::protocol("property that must be 0 or 1")),
        (Kind::U16NonZero | Kind::U32NonZero | Kind::VarintNonZero, Value::Int(0)) => {
            Err(DecodeError::protocol("property that must not be 0"))
        }
        (Kind::Alias, Value::Int(0)) => {
            Err(DecodeError::new(ReasonCode::TopicAliasInvalid, "topic alias is 0 [MQTT-3.3.2-8]"))
        }
        (Kind::Topic, Value::Text(text)) if text.is_empty() || text.contains(['+', '#']) => {
            Err(DecodeError::protocol("response topic is no topic name [MQTT-3.3.2-14]"))
        }
        _ => Ok(value),
    }
}
