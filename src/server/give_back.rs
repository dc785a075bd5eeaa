//! Returns freed memory to the system. glibc keeps memory that was freed in the middle of its
//! heaps: after a flood of messages that may be as much as `limits.max_memory`. The resident
//! size and the memory that the broker counts decide when a call of `malloc_trim` pays off.

use std::sync::Weak;
use std::time::Duration;

use crate::broker::Broker;

/// How often the figures are compared.
const EVERY: Duration = Duration::from_secs(1);
/// Bytes that must be free, as an estimate, before the heaps are trimmed.
const WORTH_IT: u64 = 8 << 20;
/// Number of comparisons after a trim until the next one: memory that a flood frees is soon
/// used again.
const PAUSE: u32 = 4;
/// The maximum of that number if trims free nothing: then the resident memory is used by
/// something that is not counted.
const LONGEST_PAUSE: u32 = 256;

/// Runs until the broker is dropped.
pub(super) async fn run(broker: Weak<Broker>) {
    let mut trimmer = Trimmer::default();
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(counted) = broker.upgrade().map(|broker| broker.memory()) else { return };
        let Some(before) = resident() else { return };
        if trimmer.is_due(before, counted) {
            // It takes the heaps' locks one by one, for some milliseconds each.
            let _ = tokio::task::spawn_blocking(trim).await;
            trimmer.trimmed(before, resident().unwrap_or(before));
        }
    }
}

/// Decides when to trim the heaps.
#[derive(Debug, Default)]
struct Trimmer {
    /// The smallest resident size that was not counted: code, stacks, caches.
    uncounted: Option<u64>,
    /// The largest counted size since it last fell by half.
    most: u64,
    pause: u32,
    /// The rest of the pause.
    left: u32,
}

impl Trimmer {
    /// True if the heaps should be trimmed, given two sizes in bytes.
    fn is_due(&mut self, resident: u64, counted: u64) -> bool {
        let uncounted = resident.saturating_sub(counted);
        let least = self.uncounted.map_or(uncounted, |least| least.min(uncounted));
        self.uncounted = Some(least);
        self.left = self.left.saturating_sub(1);
        self.most = self.most.max(counted);
        if self.most - counted >= WORTH_IT && counted < self.most / 2 {
            self.most = counted;
            return true;
        }
        // Memory that was taken and freed between two comparisons is not in `most`.
        let free = uncounted - least;
        self.left == 0 && free >= WORTH_IT && free >= counted
    }

    /// Records a trim, with the resident size before and afterwards.
    fn trimmed(&mut self, before: u64, after: u64) {
        let helped = before.saturating_sub(after) >= WORTH_IT / 2;
        self.pause = if helped { PAUSE } else { (self.pause * 2).clamp(PAUSE, LONGEST_PAUSE) };
        self.left = self.pause;
    }
}

/// The resident size of this process in bytes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn resident() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split(' ').nth(1)?.parse().ok()?;
    Some(pages * u64::try_from(rustix::param::page_size()).ok()?)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)] // A function of glibc without a safe name in any crate.
fn trim() {
    // SAFETY: it takes no pointer, may be called from any thread at any time, and changes
    // nothing but pages that the allocator has marked as free (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn resident() -> Option<u64> {
    None
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}

#[cfg(test)]
mod tests {
    use super::Trimmer;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_was_taken_and_freed_between_two_looks_is_given_back() {
        let mut trimmer = Trimmer::default();
        assert!(!trimmer.is_due(13 * MIB, 0));
        // 49 MiB were taken and freed between two comparisons.
        assert!(trimmer.is_due(62 * MIB, MIB));
    }

    #[test]
    fn what_is_counted_is_not_looked_for() {
        let mut trimmer = Trimmer::default();
        assert!(!trimmer.is_due(13 * MIB, 0));
        assert!(!trimmer.is_due(100 * MIB, 60 * MIB));
        // Half of it is free now.
        assert!(trimmer.is_due(100 * MIB, 25 * MIB));
        trimmer.trimmed(100 * MIB, 40 * MIB);
        assert!((0..100).all(|_| !trimmer.is_due(40 * MIB, 25 * MIB)));
    }

    #[test]
    fn walks_that_bring_nothing_become_rare() {
        let mut trimmer = Trimmer::default();
        trimmer.is_due(13 * MIB, 0);
        let mut walks = 0;
        for _ in 0..3600 {
            if trimmer.is_due(50 * MIB, MIB) {
                walks += 1;
                trimmer.trimmed(50 * MIB, 50 * MIB);
            }
        }
        assert!(walks < 25, "{walks} walks in an hour");
        // Memory of a flood that has ended is returned at once nevertheless.
        assert!(!trimmer.is_due(90 * MIB, 60 * MIB));
        assert!(trimmer.is_due(90 * MIB, MIB));
    }
}
