//! The counts of a scenario, and the line that prints them.

use std::ops::AddAssign;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages acknowledged when the fault occurred.
    pub acknowledged: u64,
    /// Acknowledged messages that a receiver did not get.
    pub lost: u64,
    /// Repeated deliveries of QoS 1 messages, which are allowed.
    pub repeated: u64,
    /// Repeated deliveries of QoS 2 messages, which are not allowed.
    pub twice: u64,
    /// First deliveries after that of a later message.
    pub disordered: u64,
    /// Retained messages older than an acknowledged one.
    pub stale: u64,
    /// Sessions that must exist and do not.
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
    /// True if no promise was broken.
    pub fn is_kept(&self) -> bool {
        self.lost + self.twice + self.disordered + self.stale + self.gone == 0
    }

    /// Prints the counts of `rounds` rounds in one line.
    pub fn print(&self, what: &str, rounds: usize) {
        let Self { acknowledged, lost, repeated, twice, disordered, stale, gone } = self;
        println!(
            "{what}: {rounds} rounds, {acknowledged} acknowledged, {lost} lost, {repeated} repeated at QoS 1, \
             {twice} at QoS 2, {disordered} out of order, {stale} retained stale, {gone} sessions gone"
        );
    }

    /// Prints the counts and fails if a promise was broken.
    pub fn must_be_kept(&self, what: &str, rounds: usize) {
        self.print(what, rounds);
        assert!(self.acknowledged > 0, "{what}: nothing was acknowledged");
        assert!(self.is_kept(), "{what}: {self:?}");
    }
}
