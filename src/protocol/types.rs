//! The small types that packets are made of.

use std::num::NonZeroU16;

/// A protocol version that FerryMQ supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// `MQIsdp`, level 3.
    V31,
    /// `MQTT`, level 4.
    V311,
    /// `MQTT`, level 5.
    V5,
}

/// Quality of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum QoS {
    /// 0
    #[default]
    AtMostOnce = 0,
    /// 1
    AtLeastOnce = 1,
    /// 2
    ExactlyOnce = 2,
}

impl QoS {
    /// From its two bits; 3 is not a QoS [MQTT-3.3.1-4].
    pub fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// A packet identifier, which is never 0 [MQTT-2.2.1-3].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    /// The first identifier in a session's cycle.
    pub const FIRST: Self = Self(NonZeroU16::MIN);

    /// `None` for 0.
    pub fn new(value: u16) -> Option<Self> {
        NonZeroU16::new(value).map(Self)
    }

    /// The number in a packet.
    pub fn get(self) -> u16 {
        self.0.get()
    }

    /// The next identifier in the cycle 1..=65535.
    #[must_use]
    pub fn next(self) -> Self {
        self.0.checked_add(1).map_or(Self::FIRST, Self)
    }

    /// The distance in the cycle from `earlier` to this identifier, 0..=65534.
    pub fn steps_from(self, earlier: Self) -> u16 {
        let (a, b) = (self.get(), earlier.get());
        if a >= b { a - b } else { a.wrapping_sub(b).wrapping_sub(1) }
    }
}

/// The acknowledgements of a PUBLISH, which share one layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AckKind {
    /// Completes QoS 1.
    PubAck,
    /// The first acknowledgement of QoS 2.
    PubRec,
    /// The second of QoS 2, from the side that published.
    PubRel,
    /// Completes QoS 2.
    PubComp,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn packet_ids_cycle_without_zero() {
        let last = PacketId::new(65_535).unwrap();
        assert_eq!(last.next(), PacketId::FIRST);
        assert_eq!(PacketId::FIRST.steps_from(last), 1);
        assert_eq!(last.steps_from(PacketId::FIRST), 65_534);
        assert_eq!(PacketId::new(0), None);
    }
}
