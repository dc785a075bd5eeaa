//! Random numbers that can be had again: set `CRASH_SEED` to the printed seed.

/// Xorshift; good enough to choose moments.
pub struct Dice(u64);

impl Dice {
    pub fn new() -> Self {
        let seed =
            std::env::var("CRASH_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                u64::from(now.unwrap().subsec_nanos()) | 1
            });
        println!("seed: CRASH_SEED={seed}");
        Self(seed)
    }

    /// Dice for another thread.
    pub fn fork(&mut self) -> Self {
        Self(self.between(1, u64::MAX))
    }

    /// From `low` to just below `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        low + self.0 % (high - low)
    }
}
