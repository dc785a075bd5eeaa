//! Which connections are accepted, by address. Pure: time is passed in, as the duration since a
//! moment of the caller's choice.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use super::ban_list::{Ban, BanList, BanPlace, TooManyBans};
use super::limits::AdmissionLimits;
use super::recent::RecentSources;
use super::{BANNED, BANNED_BY_OPERATOR, RECENT};
use crate::peer::{PeerAddr, Source};
use crate::telemetry::{BanReason, RejectReason};
use crate::token_bucket::TokenBucket;

/// Refusals of one source are logged once in this time.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// See the module.
#[derive(Debug)]
pub struct Admission {
    limits: AdmissionLimits,
    /// Open connections by source.
    open: HashMap<Source, usize>,
    recent: RecentSources<Recent>,
    bans: BanList,
}

/// A source that was heard of lately.
#[derive(Debug)]
struct Recent {
    /// `None` until its connections are first limited.
    connections: Option<TokenBucket>,
    /// Failed log-ins since `failing_since`.
    failures: u32,
    failing_since: Duration,
    tell_after: Duration,
}

/// A connection that is not accepted. It is closed without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// `Banned`, `AddressLimit` or `AddressRate`.
    pub reason: RejectReason,
    /// Who is refused.
    pub source: Source,
    /// True if it is to be logged: once a minute for each source.
    pub tell: bool,
}

impl Admission {
    /// Nobody is banned.
    pub fn new(limits: AdmissionLimits) -> Self {
        Self::with_bounds(limits, RECENT, BANNED, BANNED_BY_OPERATOR)
    }

    /// As [`Admission::new`], with tables of other sizes.
    pub(super) fn with_bounds(
        limits: AdmissionLimits,
        recent: usize,
        banned: usize,
        by_operator: usize,
    ) -> Self {
        Self {
            limits,
            open: HashMap::new(),
            recent: RecentSources::new(recent),
            bans: BanList::new(banned, by_operator),
        }
    }

    /// Applies other limits to what comes next. What was counted stays, and so do bans.
    /// Connections that were accepted while there was no limit of connections are not counted.
    /// True if these limits differ from those before.
    pub fn set_limits(&mut self, limits: AdmissionLimits) -> bool {
        let differs = self.limits != limits;
        self.limits = limits;
        differs
    }

    /// Decides about a new connection. If it is accepted and counted, returns its source, for
    /// [`Admission::leave`] at its end.
    ///
    /// # Errors
    /// It is to be closed.
    pub fn admit(&mut self, peer: PeerAddr, now: Duration) -> Result<Option<Source>, Refused> {
        let Some(source) = self.limits.source(peer) else { return Ok(None) };
        self.expire(now);
        let refused = |reason, tell_after: &mut Duration| {
            let tell = *tell_after <= now;
            if tell {
                *tell_after = now + TELL_EVERY;
            }
            Err(Refused { reason, source, tell })
        };
        if let Some((_, tell_after)) = self.bans.get_mut(source) {
            return refused(RejectReason::Banned, tell_after);
        }
        let most = self.limits.max_connections;
        if most > 0 && self.open.get(&source).is_some_and(|open| *open >= most) {
            let recent = self.recent.entry(source, now, Recent::new);
            return refused(RejectReason::AddressLimit, &mut recent.tell_after);
        }
        if let Some(rate) = self.limits.connection_rate {
            let recent = self.recent.entry(source, now, Recent::new);
            let bucket = recent.connections.get_or_insert_with(|| TokenBucket::full(rate, now));
            if !bucket.take(rate, now) {
                return refused(RejectReason::AddressRate, &mut recent.tell_after);
            }
        }
        if most == 0 {
            return Ok(None);
        }
        *self.open.entry(source).or_insert(0) += 1;
        Ok(Some(source))
    }

    /// A connection has ended that [`Admission::admit`] has counted.
    pub fn leave(&mut self, source: Source) {
        if let Entry::Occupied(mut open) = self.open.entry(source) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
            }
        }
    }

    /// True if connections from `peer` are refused for a ban.
    pub fn is_banned(&mut self, peer: PeerAddr, now: Duration) -> bool {
        self.expire(now);
        self.limits.source(peer).is_some_and(|source| self.bans.contains(source))
    }

    /// Counts a failed log-in. Returns the ban if one begins with it.
    pub fn log_in_failed(&mut self, peer: PeerAddr, now: Duration) -> Option<Ban> {
        let source = self.limits.source(peer)?;
        self.expire(now);
        let most = self.limits.max_failures;
        // The connections of a banned source stay open, and may fail again.
        if most == 0 || self.bans.contains(source) {
            return None;
        }
        let recent = self.recent.entry(source, now, Recent::new);
        if recent.failures == 0 || now >= recent.failing_since.saturating_add(self.limits.window) {
            (recent.failures, recent.failing_since) = (0, now);
        }
        recent.failures += 1;
        if recent.failures < most {
            return None;
        }
        let failures = std::mem::take(&mut recent.failures);
        let until = now.saturating_add(self.limits.ban_time);
        let ban = Ban { source, until, failures, reason: BanReason::Failures };
        self.bans.insert(ban).ok()?;
        Some(ban)
    }

    /// Bans a source for `time`, or changes its ban.
    ///
    /// # Errors
    /// There are as many bans by operators as there may be.
    pub fn ban(
        &mut self,
        source: Source,
        time: Duration,
        now: Duration,
    ) -> Result<Ban, TooManyBans> {
        self.expire(now);
        let until = now.saturating_add(time);
        let ban = Ban { source, until, failures: 0, reason: BanReason::Operator };
        self.bans.insert(ban).map(|()| ban)
    }

    /// Lifts the ban of a source and forgets its failures. `None`: it is not banned.
    pub fn lift(&mut self, source: Source, now: Duration) -> Option<Ban> {
        self.expire(now);
        let lifted = self.bans.remove(source);
        if lifted.is_some() {
            self.recent.remove(source);
        }
        lifted
    }

    /// True if all of a source is exempt, so that a ban would have no effect.
    pub fn exempts(&self, source: Source) -> bool {
        self.limits.exempts(source)
    }

    /// At most `limit` bans behind `after`.
    pub fn bans(&mut self, after: Option<BanPlace>, limit: usize, now: Duration) -> Vec<Ban> {
        self.expire(now);
        self.bans.list(after, limit)
    }

    /// The number of banned sources.
    pub fn banned(&mut self, now: Duration) -> usize {
        self.expire(now);
        self.bans.len()
    }

    /// Forgets what says nothing any more. Each method does it; to be called now and then, so
    /// that memory is freed when nothing happens.
    fn expire(&mut self, now: Duration) {
        self.bans.expire(now);
        // A bucket is full again after a second.
        self.recent.forget(self.limits.window.max(TELL_EVERY), now);
    }

    /// Open connections, and entries of all tables.
    #[cfg(test)]
    pub(super) fn len(&self) -> (usize, usize) {
        let open = self.open.values().sum();
        (open, self.open.len() + self.recent.len() + self.bans.len())
    }
}

impl Recent {
    fn new() -> Self {
        let zero = Duration::ZERO;
        Self { connections: None, failures: 0, failing_since: zero, tell_after: zero }
    }
}
