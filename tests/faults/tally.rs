//! What a scenario counted, and the line that it prints.

use std::ops::AddAssign;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages that had been acknowledged when the fault came.
    pub acknowledged: u64,
    /// Of what is acknowledged in the end, what a receiver did not get.
    pub lost: u64,
    /// Deliveries of QoS 1 messages beyond the first, as may be.
    pub repeated: u64,
    /// Deliveries of QoS 2 messages beyond the first, as may not be.
    pub twice: u64,
    /// First deliveries that came after a later message.
    pub disordered: u64,
    /// Retained messages older than an acknowledged one.
    pub stale: u64,
    /// Sessions that were promised and are gone.
    pub gone: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.twice += other.twice;
        self.disordered += other.disordered;
        self.stale += other.stale;
        self.gone += other.gone;
    }
}

impl Tally {
    /// Nothing of it breaks a promise.
    pub fn is_kept(&self) -> bool {
        self.lost + self.twice + self.disordered + self.stale + self.gone == 0
    }

    /// One line: `what` was done `rounds` times.
    pub fn print(&self, what: &str, rounds: usize) {
        let Self { acknowledged, lost, repeated, twice, disordered, stale, gone } = self;
        println!(
            "{what}: {rounds} rounds, {acknowledged} acknowledged, {lost} lost, {repeated} repeated at QoS 1, \
             {twice} at QoS 2, {disordered} out of order, {stale} retained stale, {gone} sessions gone"
        );
    }

    /// Prints, and fails if a promise was broken.
    pub fn must_be_kept(&self, what: &str, rounds: usize) {
        self.print(what, rounds);
        assert!(self.acknowledged > 0, "{what}: nothing was acknowledged");
        assert!(self.is_kept(), "{what}: {self:?}");
    }
}
