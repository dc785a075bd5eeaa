//! The content of a test payload: its sequence number and time.

/// The publisher of a message, its number and its time. The rest of a payload is padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The publisher's number.
    pub publisher: u32,
    /// The message's number, counted from 0 for each publisher.
    pub sequence: u64,
    /// Time in nanoseconds of the run's [`super::Clock`].
    pub sent_at: u64,
}

impl Stamp {
    /// Bytes of a stamp, the smallest payload.
    pub const SIZE: usize = 20;

    /// Writes the stamp to the front of `payload`, if it fits.
    pub fn write(self, payload: &mut [u8]) {
        let Some((publisher, rest)) = payload.split_first_chunk_mut() else { return };
        let Some((sequence, rest)) = rest.split_first_chunk_mut() else { return };
        let Some((sent_at, _)) = rest.split_first_chunk_mut() else { return };
        *publisher = self.publisher.to_be_bytes();
        *sequence = self.sequence.to_be_bytes();
        *sent_at = self.sent_at.to_be_bytes();
    }

    /// Reads a stamp; `None` if the payload is too short.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let (publisher, rest) = payload.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (sent_at, _) = rest.split_first_chunk()?;
        Some(Self {
            publisher: u32::from_be_bytes(*publisher),
            sequence: u64::from_be_bytes(*sequence),
            sent_at: u64::from_be_bytes(*sent_at),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let stamp = Stamp { publisher: 7, sequence: u64::MAX - 1, sent_at: 3 };
        let mut payload = [0; 32];
        stamp.write(&mut payload);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert_eq!(Stamp::read(&payload[..Stamp::SIZE - 1]), None);
    }
}
