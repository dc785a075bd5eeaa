//! Decides how long the disk counts as full, from what was refused and what has been written
//! since. Pure.
//!
//! One small message that slips in does not end it: a probe that asks then would be
//! told that all is well while larger ones are still refused.

use std::time::{Duration, Instant};

/// Less room than this is none: a few pages for a burst of small messages.
pub(in crate::store) const LEAST: u64 = 64 << 10;

/// The disk's account.
#[derive(Debug)]
pub(in crate::store) struct Fullness {
    episode: Option<Episode>,
    quiet: Duration,
}

#[derive(Debug)]
struct Episode {
    began: Instant,
    refused_at: Instant,
    refused: usize,
    /// Bytes of the largest batch that found no room, and of the largest message.
    batch: u64,
    message: u64,
    /// Bytes of the largest batch that has been written since.
    written: u64,
    /// Something was written after the last refusal.
    wrote: bool,
    /// A refusal came although there was room as far as can be counted, as with a quota.
    doubtful: bool,
}

/// An episode in numbers, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Ended {
    pub(in crate::store) refused: usize,
    pub(in crate::store) lasted: Duration,
}

impl Fullness {
    /// Without a refusal for `quiet`, what was written meanwhile speaks for itself.
    pub(in crate::store) fn new(quiet: Duration) -> Self {
        Self { episode: None, quiet }
    }

    /// A batch of `batch` bytes found no room; `largest` is its largest message.
    pub(in crate::store) fn no_room(&mut self, now: Instant, batch: u64, largest: u64) {
        let episode = self.episode.get_or_insert(Episode {
            began: now,
            refused_at: now,
            refused: 0,
            batch: 0,
            message: 0,
            written: 0,
            wrote: false,
            doubtful: false,
        });
        episode.refused_at = now;
        episode.batch = episode.batch.max(batch);
        episode.message = episode.message.max(largest);
        episode.written = 0;
        episode.wrote = false;
    }

    /// What was refused would have fitted, going by the room that was counted.
    pub(in crate::store) fn doubt(&mut self) {
        if let Some(episode) = &mut self.episode {
            episode.doubtful = true;
        }
    }

    /// So many messages were refused for it.
    pub(in crate::store) fn count(&mut self, refused: usize) {
        if let Some(episode) = &mut self.episode {
            episode.refused += refused;
        }
    }

    /// A batch with messages, of so many bytes, was committed.
    pub(in crate::store) fn written(&mut self, bytes: u64) {
        if let Some(episode) = &mut self.episode {
            episode.written = episode.written.max(bytes);
            episode.wrote = true;
        }
    }

    /// True if what was refused would be taken now: as much has been written, or
    /// there is `room` for it, or nobody has met with a refusal for a while.
    pub(in crate::store) fn is_over(&self, now: Instant, room: u64) -> bool {
        let Some(episode) = &self.episode else { return true };
        let quiet = now.saturating_duration_since(episode.refused_at) >= self.quiet;
        (episode.wrote && episode.written >= episode.batch)
            || (room >= episode.batch.max(LEAST) && !episode.doubtful)
            || (quiet && (episode.wrote || room >= episode.message.max(LEAST)))
    }

    /// Ends the episode.
    pub(in crate::store) fn end(&mut self, now: Instant) -> Option<Ended> {
        self.episode.take().map(|episode| Ended {
            refused: episode.refused,
            lasted: now.saturating_duration_since(episode.began),
        })
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    const QUIET: Duration = Duration::from_secs(10);

    #[test]
    fn a_small_message_does_not_end_what_a_large_one_began() {
        let (mut full, now) = (Fullness::new(QUIET), Instant::now());
        full.no_room(now, 500_000, 400_000);
        full.written(300);
        assert!(!full.is_over(now, 200_000));
        full.written(500_000);
        assert!(full.is_over(now, 0));
        full.no_room(now, 10, 10);
        assert!(!full.is_over(now, 100_000), "each refusal begins the wait anew");
        assert!(full.is_over(now, 500_000), "a subscriber has made room");
    }

    #[test]
    fn room_that_was_counted_and_not_there_does_not_end_it() {
        let (mut full, now) = (Fullness::new(QUIET), Instant::now());
        full.no_room(now, 500_000, 400_000);
        full.doubt();
        assert!(!full.is_over(now, u64::MAX));
        assert!(full.is_over(now + QUIET, u64::MAX), "nobody is being refused");
        full.written(500_000);
        assert!(full.is_over(now, 0));
    }

    #[test]
    fn after_a_quiet_time_what_was_written_counts() {
        let (mut full, now) = (Fullness::new(QUIET), Instant::now());
        full.no_room(now, 500_000, 400_000);
        let later = now + QUIET;
        assert!(!full.is_over(later, 0), "nobody has tried: still full");
        full.written(300);
        assert!(full.is_over(later, 0));
        full.count(3);
        let ended = full.end(later).unwrap();
        assert_eq!(ended, Ended { refused: 3, lasted: QUIET });
        assert!(full.is_over(later, 0) && full.end(later).is_none());
    }
}
