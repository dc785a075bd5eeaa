//! Random numbers that can be repeated: set `CRASH_SEED` to the printed seed.

/// Xorshift; good enough to choose moments.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    pub fn new() -> Self {
        let seed =
            std::env::var("CRASH_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                u64::from(now.unwrap().subsec_nanos()) | 1
            });
        println!("seed: CRASH_SEED={seed}");
        Self(seed)
    }

    /// Rng for another thread.
    pub fn fork(&mut self) -> Self {
        Self(self.between(1, u64::MAX))
    }

    pub fn from_seed(seed: u64) -> Self {
        // Similar seeds must give different numbers: one round of SplitMix64.
        let mut mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Self((mixed ^ (mixed >> 31)) | 1)
    }

    /// A number below `count`, or 0 if `count` is 0.
    pub fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.between(0, count.max(1) as u64)).unwrap()
    }

    /// True in `percent` of 100 cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.between(0, 100) < percent
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.index(of.len())]
    }

    /// A number from `low` to `high - 1`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        low + self.0 % (high - low)
    }
}
