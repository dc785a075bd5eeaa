//! Decides how long the disk counts as full, from what was refused and what has been written
//! since. Pure.
//!
//! A small message that is written does not end the state: a publisher that checked then would
//! see no problem while larger messages are still refused.

use std::time::{Duration, Instant};

/// Less space than this counts as none: a few pages for a burst of small messages.
pub(in crate::store) const LEAST: u64 = 64 << 10;

/// Tracks whether the disk counts as full.
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
    /// Bytes of the largest batch that found no space, and of the largest message.
    batch: u64,
    message: u64,
    /// Bytes of the largest batch written since then.
    written: u64,
    /// True if something was written after the last refusal.
    wrote: bool,
    /// True if a message was refused although the counted space sufficed, as with a file
    /// system quota.
    doubtful: bool,
}

/// The numbers of an episode, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Ended {
    pub(in crate::store) refused: usize,
    pub(in crate::store) lasted: Duration,
}

impl Fullness {
    /// After `quiet` without a refusal, any write in the meantime ends the state.
    pub(in crate::store) fn new(quiet: Duration) -> Self {
        Self { episode: None, quiet }
    }

    /// Records that a batch of `batch` bytes found no space; `largest` is its largest message.
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

    /// Records that the refused batch would have fitted into the counted space.
    pub(in crate::store) fn doubt(&mut self) {
        if let Some(episode) = &mut self.episode {
            episode.doubtful = true;
        }
    }

    /// Adds refused messages to the episode's count.
    pub(in crate::store) fn count(&mut self, refused: usize) {
        if let Some(episode) = &mut self.episode {
            episode.refused += refused;
        }
    }

    /// Records that a batch with messages of `bytes` bytes was committed.
    pub(in crate::store) fn written(&mut self, bytes: u64) {
        if let Some(episode) = &mut self.episode {
            episode.written = episode.written.max(bytes);
            episode.wrote = true;
        }
    }

    /// True if what was refused would be accepted now: as much has been written, or there is
    /// `room` for it, or nothing was refused for `quiet`.
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
