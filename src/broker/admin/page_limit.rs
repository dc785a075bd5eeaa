//! Limits of one page of a list, in items and bytes.

/// Bytes of names in one page. A client chooses its names, of up to 65,535 bytes each; a
/// thousand of those would be hundreds of megabytes of JSON.
const TEXT: usize = 1 << 20;

/// The remaining capacity of a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageLimit {
    items: usize,
    text: usize,
    taken: usize,
}

impl PageLimit {
    /// For a page of at most `items` entries.
    pub(super) fn new(items: usize) -> Self {
        Self { items, text: TEXT, taken: 0 }
    }

    /// True if an entry with `text` bytes of names fits; it is then counted. The first entry
    /// always fits, so that every page advances.
    pub(super) fn take(&mut self, text: usize) -> bool {
        if self.taken == self.items || (self.taken > 0 && text > self.text) {
            return false;
        }
        self.taken += 1;
        self.text = self.text.saturating_sub(text);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_with_its_items_or_its_text_and_is_never_empty() {
        let taken = |items, text| {
            let mut room = PageLimit::new(items);
            (0..5000).take_while(|_| room.take(text)).count()
        };
        assert_eq!(taken(1000, 20), 1000);
        assert_eq!(taken(1000, 65_535), 16);
        assert_eq!(taken(1000, TEXT + 1), 1);
        assert_eq!(taken(1, 0), 1);
    }
}
