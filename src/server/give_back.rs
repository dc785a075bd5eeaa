//! Returns freed memory to the system. glibc keeps what was freed in the middle of its heaps:
//! after a flood of messages that may be as much as `limits.max_memory`.

use std::sync::Weak;
use std::time::Duration;

use crate::broker::Broker;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// Bytes that must have become free since the last time.
const WORTH_IT: u64 = 8 << 20;

/// Runs until the broker is gone.
pub(super) async fn run(broker: Weak<Broker>) {
    let mut most = 0;
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(held) = broker.upgrade().map(|broker| broker.memory()) else { return };
        most = most.max(held);
        if most - held >= WORTH_IT && held < most / 2 {
            most = held;
            // It takes the heaps' locks one by one, some milliseconds each.
            let _ = tokio::task::spawn_blocking(trim).await;
        }
    }
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
fn trim() {}
