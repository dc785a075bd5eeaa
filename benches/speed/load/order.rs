//! Checks that every acknowledged message arrived, and in order: one sequence per publisher.

use std::collections::BTreeMap;

/// Deviations in what arrived, over all publishers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Findings {
    /// Messages acknowledged to the publisher and never received.
    pub lost: u64,
    /// Messages first received after a later one.
    pub reordered: u64,
    /// Messages received more than once: allowed with QoS 1, not with QoS 2.
    pub repeated: u64,
}

impl Findings {
    pub fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.reordered += other.reordered;
        self.repeated += other.repeated;
    }
}

/// The sequence numbers of one publisher that the subscriber has seen.
#[derive(Default)]
pub struct Sequence {
    next: u64,
    /// Gaps below `next`: from the first missing number to one past the last.
    missing: BTreeMap<u64, u64>,
    reordered: u64,
    repeated: u64,
}

impl Sequence {
    /// Records a message. Returns true if it is seen for the first time.
    pub fn see(&mut self, sequence: u64) -> bool {
        if sequence == self.next {
            self.next += 1;
            return true;
        }
        if sequence > self.next {
            self.missing.insert(self.next, sequence);
            self.next = sequence + 1;
            return true;
        }
        let first = self.close_gap(sequence);
        if first {
            self.reordered += 1;
        } else {
            self.repeated += 1;
        }
        first
    }

    fn close_gap(&mut self, sequence: u64) -> bool {
        let Some((&start, &end)) = self.missing.range(..=sequence).next_back() else {
            return false;
        };
        if sequence >= end {
            return false;
        }
        self.missing.remove(&start);
        if start < sequence {
            self.missing.insert(start, sequence);
        }
        if sequence + 1 < end {
            self.missing.insert(sequence + 1, end);
        }
        true
    }

    /// The findings, given that all messages below `acknowledged` were acknowledged.
    pub fn findings(&self, acknowledged: u64) -> Findings {
        let gaps =
            self.missing.iter().map(|(&start, &end)| end.min(acknowledged).saturating_sub(start));
        Findings {
            lost: gaps.sum::<u64>() + acknowledged.saturating_sub(self.next),
            reordered: self.reordered,
            repeated: self.repeated,
        }
    }
}
