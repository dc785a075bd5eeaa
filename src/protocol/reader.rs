//! A cursor over the bytes of one frame. It never reads beyond the frame, and every error has
//! a reason code for the peer.

use super::varint::{self, Varint};
use super::{DecodeError, PacketId};

const SHORT: DecodeError = DecodeError::malformed("packet ends before its fields do");

/// The part of a frame that has not been read.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    pub fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// What has not been read.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        let (&byte, rest) = self.rest.split_first().ok_or(SHORT)?;
        self.rest = rest;
        Ok(byte)
    }

    #[inline]
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(SHORT)?;
        self.rest = rest;
        Ok(u16::from_be_bytes(*bytes))
    }

    #[inline]
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(SHORT)?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*bytes))
    }

    #[inline]
    pub fn varint(&mut self) -> Result<usize, DecodeError> {
        match varint::read(self.rest) {
            Varint::Value(value, used) => {
                self.take(used)?;
                Ok(value)
            }
            Varint::Unfinished => Err(SHORT),
            Varint::Overlong => Err(DecodeError::malformed(
                "variable byte integer is not the shortest [MQTT-1.5.5-1]",
            )),
        }
    }

    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(SHORT)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Binary data: two bytes of length, then the bytes.
    #[inline]
    pub fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// A UTF-8 string without U+0000 [MQTT-1.5.4-1] [MQTT-1.5.4-2]. UTF-8 excludes surrogates.
    #[inline]
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        let text = std::str::from_utf8(self.binary()?)
            .map_err(|_| DecodeError::malformed("string is not UTF-8 [MQTT-1.5.4-1]"))?;
        if text.as_bytes().contains(&0) {
            return Err(DecodeError::malformed("string holds U+0000 [MQTT-1.5.4-2]"));
        }
        Ok(text)
    }

    /// A packet identifier, which must not be 0 [MQTT-2.2.1-3].
    #[inline]
    pub fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        PacketId::new(self.u16()?)
            .ok_or(DecodeError::protocol("packet identifier is 0 [MQTT-2.2.1-3]"))
    }

    /// Checks that nothing follows the last field.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::malformed("bytes after the last field"))
        }
    }
}
