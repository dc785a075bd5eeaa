//! The addresses that are banned, and when each ban ends.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::peer::Source;
use crate::telemetry::BanReason;

/// A source from which no connections are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ban {
    /// Who is banned.
    pub source: Source,
    /// When the ban ends, on the clock of the caller.
    pub until: Duration,
    /// The failed log-ins that it is for; 0 if an operator banned it.
    pub failures: u32,
    /// Why it was banned.
    pub reason: BanReason,
}

/// The place of a ban in the list, which is in this order.
pub type BanPlace = (BanReason, Duration, Source);

/// As many bans by operators as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{most} addresses are banned by operators already: lift some of these bans first")]
pub struct TooManyBans {
    most: usize,
}

/// See the module. Each call costs O(log n), and that for each ban that has ended.
#[derive(Debug)]
pub(super) struct BanList {
    bans: HashMap<Source, Entry>,
    order: BTreeSet<BanPlace>,
    by_operator: usize,
    /// Bans for failed log-ins, and bans by operators.
    most: (usize, usize),
}

#[derive(Debug)]
struct Entry {
    ban: Ban,
    /// When a refusal may be logged again.
    tell_after: Duration,
}

impl Ban {
    fn place(&self) -> BanPlace {
        (self.reason, self.until, self.source)
    }
}

impl BanList {
    pub(super) fn new(most: usize, most_by_operator: usize) -> Self {
        let (bans, order) = (HashMap::new(), BTreeSet::new());
        Self { bans, order, by_operator: 0, most: (most, most_by_operator) }
    }

    pub(super) fn len(&self) -> usize {
        self.bans.len()
    }

    pub(super) fn contains(&self, source: Source) -> bool {
        self.bans.contains_key(&source)
    }

    /// The ban of a source, and when its next refusal may be logged.
    pub(super) fn get_mut(&mut self, source: Source) -> Option<(Ban, &mut Duration)> {
        self.bans.get_mut(&source).map(|entry| (entry.ban, &mut entry.tell_after))
    }

    /// Adds a ban, or replaces the one of its source.
    ///
    /// # Errors
    /// It is by an operator, and there are as many of these as there may be.
    pub(super) fn insert(&mut self, ban: Ban) -> Result<(), TooManyBans> {
        let before = self.bans.get(&ban.source).map(|entry| entry.ban.reason);
        let is_new_of_its_kind = before != Some(ban.reason);
        if ban.reason == BanReason::Operator {
            if is_new_of_its_kind && self.by_operator >= self.most.1 {
                return Err(TooManyBans { most: self.most.1 });
            }
        } else if is_new_of_its_kind
            && self.bans.len() - self.by_operator >= self.most.0
            // Those for failures come first in the order.
            && let Some(&(BanReason::Failures, _, ends_first)) = self.order.first()
        {
            self.remove(ends_first);
        }
        self.remove(ban.source);
        self.by_operator += usize::from(ban.reason == BanReason::Operator);
        self.order.insert(ban.place());
        self.bans.insert(ban.source, Entry { ban, tell_after: Duration::ZERO });
        Ok(())
    }

    pub(super) fn remove(&mut self, source: Source) -> Option<Ban> {
        let ban = self.bans.remove(&source)?.ban;
        self.order.remove(&ban.place());
        self.by_operator -= usize::from(ban.reason == BanReason::Operator);
        Some(ban)
    }

    /// Removes the bans that have ended.
    pub(super) fn expire(&mut self, now: Duration) {
        for reason in [BanReason::Failures, BanReason::Operator] {
            let begin = (reason, Duration::ZERO, Source::FIRST);
            while let Some(&(of, until, source)) = self.order.range(begin..).next()
                && of == reason
                && until <= now
            {
                self.remove(source);
            }
        }
        if self.bans.is_empty() {
            // Frees the memory of a flood.
            self.bans = HashMap::new();
        }
    }

    /// At most `limit` bans behind `after`, those for failures first, and of these the one that
    /// ends first.
    pub(super) fn list(&self, after: Option<BanPlace>, limit: usize) -> Vec<Ban> {
        use std::ops::Bound;
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        let places = self.order.range((begin, Bound::Unbounded)).take(limit);
        places.filter_map(|(_, _, source)| Some(self.bans.get(source)?.ban)).collect()
    }
}
