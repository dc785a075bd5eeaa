//! Lists bans, adds one and lifts one. Bans are in memory only: a restart lifts all.

use std::time::Duration;

use crate::auth::bans::{Ban, BanPlace, BanReason, TooManyBans};
use crate::broker::{Broker, Now};
use crate::message::WallMillis;
use crate::peer::Source;

/// An address from which no connections are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BanInfo {
    /// Who is banned.
    pub source: Source,
    /// When the ban ends.
    pub until: WallMillis,
    /// The failed log-ins that it is for; 0 if an operator banned it.
    pub failures: u32,
    /// Why it was banned.
    pub reason: BanReason,
}

/// Why an address was not banned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unbanned {
    /// A ban would have no effect.
    #[error("it is exempt: bans.exempt")]
    Exempt,
    /// There are as many bans by operators as there may be.
    #[error(transparent)]
    TooMany(#[from] TooManyBans),
}

impl Broker {
    /// At most `limit` bans behind `after`: those for failures first, and of these the one that
    /// ends first. Also returns where to continue, if there are more.
    pub fn ban_list(
        &self,
        after: Option<BanPlace>,
        limit: usize,
    ) -> (Vec<BanInfo>, Option<BanPlace>) {
        let now = self.clock.now();
        let mut bans = self.admission.bans(after, limit.saturating_add(1), now.instant);
        let more = bans.len() > limit;
        bans.truncate(limit);
        let last = bans.last().map(|ban| (ban.reason, ban.until, ban.source));
        let infos = bans.iter().map(|ban| self.ban_info(ban, now)).collect();
        (infos, last.filter(|_| more))
    }

    /// Bans an address for `time`, or changes its ban. Its open connections stay.
    ///
    /// # Errors
    /// It is exempt, or there are as many bans by operators as there may be.
    pub fn ban(&self, source: Source, time: Duration) -> Result<BanInfo, Unbanned> {
        if self.admission.exempts(source) {
            return Err(Unbanned::Exempt);
        }
        let now = self.clock.now();
        let ban = self.admission.ban(source, time, now.instant)?;
        self.metrics.connections.bans.inc(BanReason::Operator);
        self.measure_bans();
        Ok(self.ban_info(&ban, now))
    }

    /// Lifts the ban of an address. False: it is not banned.
    pub fn lift_ban(&self, source: Source) -> bool {
        let lifted = self.admission.lift(source, self.clock.now().instant).is_some();
        self.measure_bans();
        lifted
    }

    fn ban_info(&self, ban: &Ban, now: Now) -> BanInfo {
        let remaining = self.admission.remaining(ban, now.instant).as_millis();
        let remaining = u64::try_from(remaining).unwrap_or(u64::MAX);
        let until = WallMillis(now.wall.0.saturating_add(remaining));
        let Ban { source, failures, reason, .. } = *ban;
        BanInfo { source, until, failures, reason }
    }
}
