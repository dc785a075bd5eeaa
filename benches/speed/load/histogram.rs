//! Latencies in buckets that are 1/16 of a power of two wide: one increment each.

const STEPS: u32 = 4;
const BUCKETS: usize = 64 << STEPS;

pub struct Histogram {
    counts: Box<[u64]>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS].into(), total: 0 }
    }
}

impl Histogram {
    pub fn record(&mut self, nanos: u64) {
        if let Some(count) = self.counts.get_mut(bucket(nanos)) {
            *count += 1;
            self.total += 1;
        }
    }

    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
    }

    /// The upper end, in microseconds, of the bucket that holds this share of all.
    pub fn micros(&self, share: f64) -> f64 {
        let wanted = (self.total as f64 * share).ceil();
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if *count > 0 && seen as f64 >= wanted {
                return upper_end(index) as f64 / 1000.0;
            }
        }
        0.0
    }
}

fn bucket(nanos: u64) -> usize {
    let power = (nanos | 1).ilog2();
    if power < STEPS {
        return nanos as usize;
    }
    let step = (nanos >> (power - STEPS)) & ((1 << STEPS) - 1);
    (((power - STEPS + 1) as usize) << STEPS) | step as usize
}

fn upper_end(index: usize) -> u64 {
    let row = (index >> STEPS) as u32;
    let step = (index & ((1 << STEPS) - 1)) as u64;
    if row == 0 { step } else { (((1 << STEPS) | step) + 1) << (row - 1) }
}
