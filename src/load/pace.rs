//! Schedules messages at a fixed rate.

/// A rate in messages per second from a start time on. Due times do not depend on answers: a
/// broker that stalls still gets the messages that fall into the stall, and their latency
/// counts from when they were due.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    begin: u64,
    /// Nanoseconds between two messages.
    step: f64,
    sent: u64,
}

impl Pace {
    /// Starts at `now` (nanoseconds). The lowest rate is one message per hour.
    pub fn new(now: u64, rate: f64) -> Self {
        Self { begin: now, step: 1e9 / rate.max(1.0 / 3600.0), sent: 0 }
    }

    /// When the next message is due, in nanoseconds.
    // Rates and runs are far below 2^52 messages and nanoseconds.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn due(&self) -> u64 {
        self.begin.saturating_add((self.sent as f64 * self.step) as u64)
    }

    /// Returns the due time of the next message if it has come, and counts the message as
    /// sent.
    pub fn take(&mut self, now: u64) -> Option<u64> {
        let due = self.due();
        if due > now {
            return None;
        }
        self.sent += 1;
        Some(due)
    }

    /// Undoes the last `take`: the message could not be sent yet.
    pub fn put_back(&mut self) {
        self.sent = self.sent.saturating_sub(1);
    }

    /// Skips messages that are due and were not sent, so that no burst follows.
    pub fn skip_to(&mut self, now: u64) {
        if self.due() < now {
            self.begin = now;
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_times_do_not_slip() {
        let mut pace = Pace::new(1_000, 1_000_000.0);
        assert_eq!(pace.take(999), None);
        assert_eq!(pace.take(10_000), Some(1_000));
        assert_eq!(pace.take(10_000), Some(2_000));
        pace.put_back();
        assert_eq!(pace.due(), 2_000);
        pace.skip_to(50_000);
        assert_eq!(pace.take(50_000), Some(50_000));
    }
}
