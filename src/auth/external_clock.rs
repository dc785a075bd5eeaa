//! The times of others: of issuers of tokens and of authentication servers. They go by the wall
//! clock, which may be corrected while the broker runs; the broker's own time goes on evenly.

use std::time::SystemTime;

use crate::message::WallMillis;

/// The wall clock of this machine, now.
pub(super) fn wall_clock() -> WallMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    WallMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// When `at`, by the wall clock, is in the broker's time: as far from `broker` as from `wall`,
/// and at once if it has passed.
pub(super) fn in_broker_time(at: WallMillis, wall: WallMillis, broker: WallMillis) -> WallMillis {
    WallMillis(broker.0.saturating_add(at.0.saturating_sub(wall.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_in_a_minute_by_the_wall_clock_ends_in_a_minute() {
        let (wall, broker) = (WallMillis(1_000_000), WallMillis(5));
        assert_eq!(in_broker_time(WallMillis(1_060_000), wall, broker), WallMillis(60_005));
        assert_eq!(in_broker_time(WallMillis(0), wall, broker), broker);
    }
}
