//! A compact set of mostly consecutive identifiers.

/// Ranges of consecutive identifiers, first and last.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    list: Vec<(i64, i64)>,
}

impl Ranges {
    /// Adds an identifier. Any order is allowed; ascending order is cheapest.
    pub(super) fn push(&mut self, id: i64) {
        match self.list.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(id) => *end = id,
            _ => self.list.push((id, id)),
        }
    }

    /// Sorts and joins the ranges. Returns an identifier that was pushed more than once, if
    /// any.
    pub(super) fn finish(&mut self) -> Option<i64> {
        self.list.sort_unstable();
        let mut twice = None;
        let mut joined: Vec<(i64, i64)> = Vec::with_capacity(self.list.len());
        for (start, end) in self.list.drain(..) {
            match joined.last_mut() {
                Some((_, last)) if start <= *last => {
                    twice = twice.or(Some(start));
                    *last = (*last).max(end);
                }
                Some((_, last)) if last.checked_add(1) == Some(start) => *last = end,
                _ => joined.push((start, end)),
            }
        }
        self.list = joined;
        twice
    }

    /// True if `id` was pushed. Requires [`Self::finish`] before.
    pub(super) fn has(&self, id: i64) -> bool {
        let after = self.list.partition_point(|(start, _)| *start <= id);
        after > 0 && self.list.get(after - 1).is_some_and(|(_, end)| id <= *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_whatever_their_order_and_repeats_are_told() {
        let mut ranges = Ranges::default();
        for id in [5, 6, 7, 1, 2, 9, 8] {
            ranges.push(id);
        }
        assert_eq!(ranges.finish(), None);
        let held: Vec<i64> = (0..12).filter(|id| ranges.has(*id)).collect();
        assert_eq!(held, [1, 2, 5, 6, 7, 8, 9]);
        ranges.push(6);
        assert_eq!(ranges.finish(), Some(6));
        assert!(ranges.has(9) && !ranges.has(10) && !ranges.has(i64::MAX));
    }
}
