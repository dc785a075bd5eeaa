//! Which clauses of a list concern one client. Found out when the client connects and when the
//! rules change, so that a decision does not visit the clauses of other clients.

/// Clauses that are compared one by one: so few take less time than a search by topic. Twelve
/// take as long as the search (`cargo bench --bench access`).
pub(super) const ONE_BY_ONE: usize = 12;

/// The clauses of a list that concern a client, by their positions in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Applies {
    /// All of them.
    All,
    /// These, ascending; at most [`ONE_BY_ONE`].
    Few(Box<[u32]>),
    /// A bit for each position.
    Many(Box<[u64]>),
}

impl Applies {
    /// Takes for each clause of the list, in its order, whether it concerns the client.
    pub(super) fn new(clauses: impl Iterator<Item = bool>) -> Self {
        let mut words: Vec<u64> = Vec::new();
        let (mut total, mut chosen) = (0, 0);
        for (at, applies) in clauses.enumerate() {
            if at % 64 == 0 {
                words.push(0);
            }
            if let Some(word) = words.last_mut() {
                *word |= u64::from(applies) << (at % 64);
            }
            total = at + 1;
            chosen += usize::from(applies);
        }
        if chosen == total {
            return Self::All;
        }
        let many = Self::Many(words.into());
        if chosen > ONE_BY_ONE {
            return many;
        }
        // A list of more clauses does not fit into memory.
        Self::Few(many.positions(total).filter_map(|at| u32::try_from(at).ok()).collect())
    }

    /// The first position from `from` on that concerns the client. Of [`Applies::All`] it may be
    /// beyond the end of the list.
    pub(super) fn next(&self, from: usize) -> Option<usize> {
        match self {
            Self::All => Some(from),
            Self::Few(few) => few.iter().map(|&at| at as usize).find(|&at| at >= from),
            Self::Many(words) => {
                let mut index = from / 64;
                let mut word = words.get(index)? & (u64::MAX << (from % 64));
                while word == 0 {
                    index += 1;
                    word = *words.get(index)?;
                }
                Some(index * 64 + word.trailing_zeros() as usize)
            }
        }
    }

    /// The positions that concern the client, in a list of `len` clauses.
    pub(super) fn positions(&self, len: usize) -> impl Iterator<Item = usize> {
        let first = self.next(0);
        std::iter::successors(first, |at| self.next(at + 1)).take_while(move |&at| at < len)
    }

    /// Bytes that it takes in memory besides this.
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::All => 0,
            Self::Few(few) => size_of_val(&**few),
            Self::Many(words) => size_of_val(&**words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(len: usize, applies: impl Fn(usize) -> bool) -> Applies {
        Applies::new((0..len).map(applies))
    }

    #[test]
    fn positions_are_those_that_were_chosen() {
        for every in [1, 2, 3, 64, 65, 1000] {
            for len in [0, 1, 12, 13, 63, 64, 65, 128, 1000] {
                let applies = of(len, |at| (at + 1) % every == 0);
                let expected: Vec<_> = (0..len).filter(|at| (at + 1) % every == 0).collect();
                let found: Vec<_> = applies.positions(len).collect();
                assert_eq!(found, expected, "every {every} of {len}");
            }
        }
    }

    #[test]
    fn few_of_many_take_four_bytes_each_and_others_a_bit_of_the_list() {
        assert_eq!(of(1000, |_| true), Applies::All);
        assert_eq!(of(1000, |_| false).memory(), 0);
        assert_eq!(of(1000, |at| at == 999), Applies::Few([999].into()));
        assert_eq!(of(1000, |at| at < ONE_BY_ONE).memory(), 4 * ONE_BY_ONE);
        assert_eq!(of(1000, |at| at <= ONE_BY_ONE).memory(), 128);
    }
}
