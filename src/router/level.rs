//! The name of one topic level, small enough to be stored in its node.

/// Names up to this length need no allocation and no second cache miss. 22 bytes fit into the
/// three words that a boxed name needs anyway.
const INLINE: usize = 22;

/// One level of a topic or filter: the text between two slashes.
#[derive(Debug)]
pub(super) enum Level {
    Inline { len: u8, bytes: [u8; INLINE] },
    Boxed(Box<[u8]>),
}

impl Default for Level {
    fn default() -> Self {
        Self::Inline { len: 0, bytes: [0; INLINE] }
    }
}

impl Level {
    pub(super) fn new(name: &[u8]) -> Self {
        let mut bytes = [0; INLINE];
        match (bytes.get_mut(..name.len()), u8::try_from(name.len())) {
            (Some(start), Ok(len)) => {
                start.copy_from_slice(name);
                Self::Inline { len, bytes }
            }
            _ => Self::Boxed(name.into()),
        }
    }

    /// Bytes that it takes besides itself.
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Inline { .. } => 0,
            Self::Boxed(name) => name.len(),
        }
    }

    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Self::Boxed(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_gives_back_its_name_at_any_length() {
        for len in [0, 1, 21, 22, 23, 255, 256, 65_535] {
            let name = vec![b'x'; len];
            assert_eq!(Level::new(&name).as_bytes(), name);
        }
    }

    #[test]
    fn a_level_takes_three_words() {
        assert_eq!(size_of::<Level>(), 24);
    }
}
