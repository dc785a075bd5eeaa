//! Masking of payload (RFC 6455, section 5.3). `tungstenite` keeps its own to itself.

/// The masking key, turned so that it fits the next byte of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mask([u8; 4]);

impl Mask {
    /// The key of a frame, of which no payload has been masked.
    pub fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// Masks or unmasks the next bytes of the payload without moving on.
    pub fn apply(self, bytes: &mut [u8]) {
        let [a, b, c, d] = self.0;
        // Eight bytes at once, which the compiler turns into vectors.
        let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let (words, rest) = bytes.as_chunks_mut::<8>();
        for word in words {
            *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip(self.0.iter().cycle()) {
            *byte ^= key;
        }
    }

    /// Moves on by this number of payload bytes.
    pub fn advance(&mut self, bytes: usize) {
        self.0.rotate_left(bytes % 4);
    }
}
