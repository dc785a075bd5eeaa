//! What histories have had, and what none of them had.

use std::ops::AddAssign;

/// The result of a history.
#[derive(Debug, Default, Clone, Copy)]
pub struct Summary {
    pub acknowledged: u64,
    pub received: u64,
    pub repeated: u64,
    pub refused: u64,
    pub dead_letters: u64,
    pub stops: u64,
    pub crashes: u64,
    pub cuts: u64,
    pub dials: u64,
}

impl AddAssign<&Self> for Summary {
    fn add_assign(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.received += other.received;
        self.repeated += other.repeated;
        self.refused += other.refused;
        self.dead_letters += other.dead_letters;
        self.stops += other.stops;
        self.crashes += other.crashes;
        self.cuts += other.cuts;
        self.dials += other.dials;
    }
}

impl Summary {
    /// What did not occur at all.
    pub fn missing(&self) -> Vec<&'static str> {
        let all = [
            ("messages that were repeated", self.repeated),
            ("messages that were refused to their publisher", self.refused),
            ("dead letters", self.dead_letters),
            ("bridges that stopped", self.stops),
            ("crashes", self.crashes),
            ("cuts", self.cuts),
        ];
        all.iter().filter(|(_, count)| *count == 0).map(|(what, _)| *what).collect()
    }
}
