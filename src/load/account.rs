//! Checks that every message arrived once and in order: one sequence for each publisher.

use std::collections::BTreeMap;

use serde::Serialize;

/// Deviations in what arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Acknowledged to the publisher and never received.
    pub lost: u64,
    /// Received more than once: allowed at QoS 1, never at QoS 2.
    pub repeated: u64,
    /// Received for the first time after a later one of the same publisher.
    pub reordered: u64,
}

impl Findings {
    /// Adds the counts of `other`.
    pub fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.reordered += other.reordered;
    }
}

/// The sequence numbers of one publisher that a receiver has seen. Only gaps take memory.
#[derive(Debug, Clone, Default)]
pub struct Sequence {
    next: u64,
    /// Gaps below `next`: from the first missing number to one past the last.
    missing: BTreeMap<u64, u64>,
    received: u64,
    repeated: u64,
    reordered: u64,
}

impl Sequence {
    /// Records a message. Returns true if it is seen for the first time.
    pub fn see(&mut self, number: u64) -> bool {
        let first = if number >= self.next {
            if number > self.next {
                self.missing.insert(self.next, number);
            }
            self.next = number.saturating_add(1);
            true
        } else if self.close_gap(number) {
            self.reordered += 1;
            true
        } else {
            self.repeated += 1;
            false
        };
        self.received += u64::from(first);
        first
    }

    fn close_gap(&mut self, number: u64) -> bool {
        let Some((&start, &end)) = self.missing.range(..=number).next_back() else {
            return false;
        };
        if number >= end {
            return false;
        }
        self.missing.remove(&start);
        if start < number {
            self.missing.insert(start, number);
        }
        if number + 1 < end {
            self.missing.insert(number + 1, end);
        }
        true
    }

    /// One past the highest number seen.
    pub fn end(&self) -> u64 {
        self.next
    }

    /// Different messages received.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Number of messages below `count` that did not arrive.
    pub fn missing(&self, count: u64) -> u64 {
        let gaps = self.missing.iter().map(|(&start, &end)| end.min(count).saturating_sub(start));
        gaps.sum::<u64>() + count.saturating_sub(self.next)
    }

    /// The findings, given that all messages below `acknowledged` were acknowledged.
    pub fn findings(&self, acknowledged: u64) -> Findings {
        Findings {
            lost: self.missing(acknowledged),
            repeated: self.repeated,
            reordered: self.reordered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(numbers: &[u64]) -> Sequence {
        let mut sequence = Sequence::default();
        for number in numbers {
            sequence.see(*number);
        }
        sequence
    }

    #[test]
    fn all_in_order_is_nothing_to_report() {
        assert_eq!(seen(&[0, 1, 2, 3]).findings(4), Findings::default());
        assert_eq!(seen(&[]).findings(0), Findings::default());
    }

    #[test]
    fn gaps_and_ends_are_lost() {
        let findings = seen(&[1, 4, 5]).findings(8);
        assert_eq!(findings, Findings { lost: 5, repeated: 0, reordered: 0 });
        assert_eq!(seen(&[1, 4, 5]).missing(4), 3, "only what was acknowledged can be lost");
    }

    #[test]
    fn late_ones_are_reordered_and_second_ones_repeated() {
        let sequence = seen(&[0, 5, 2, 2, 1, 3, 4, 0]);
        assert_eq!(sequence.findings(6), Findings { lost: 0, repeated: 2, reordered: 4 });
        assert_eq!(sequence.received(), 6);
    }
}
