//! Counts the bytes that the broker holds in memory on behalf of clients: a sum that any
//! thread can change at the cost of an addition, and guards that subtract what they have
//! added. What is held, and what happens at the limit, is not known here.

use crate::counter::BatchedGauge;

/// The sum of one broker. Copies refer to the same sum and are not counted, because every
/// message has one.
#[derive(Debug, Clone, Copy)]
pub struct Ledger(&'static BatchedGauge);

impl Default for Ledger {
    /// Creates a sum of a few hundred bytes, which lives as long as the process.
    fn default() -> Self {
        Self(Box::leak(Box::default()))
    }
}

impl Ledger {
    /// Holds `bytes` until the guard is dropped.
    pub fn charge(self, bytes: u64) -> Charge {
        let mut charge = Charge { ledger: self, bytes: 0 };
        charge.set(bytes);
        charge
    }

    /// The sum. Concurrent changes of other threads may be missing: [`BatchedGauge`].
    pub fn get(self) -> i64 {
        self.0.get()
    }

    /// True if the sum exceeds `limit`.
    pub fn is_above(self, limit: i64) -> bool {
        self.0.is_above(limit)
    }
}

/// Bytes that are held until this is dropped.
#[derive(Debug)]
pub struct Charge {
    ledger: Ledger,
    bytes: i64,
}

impl Charge {
    /// Changes what is held to `bytes`. Returns the difference.
    pub fn set(&mut self, bytes: u64) -> i64 {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let change = bytes - self.bytes;
        if change != 0 {
            self.ledger.0.add(change);
            self.bytes = bytes;
        }
        change
    }

    /// Bytes that are held.
    pub fn bytes(&self) -> i64 {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.ledger.0.add(-self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_is_taken_back_when_it_is_dropped() {
        let ledger = Ledger::default();
        let mut first = ledger.charge(100);
        let second = ledger.charge(50);
        assert_eq!((first.set(30), ledger.get()), (-70, 80));
        drop(second);
        assert!(ledger.is_above(29) && !ledger.is_above(30));
        drop(first);
        assert_eq!(ledger.get(), 0);
    }
}
