//! The decisions of [`Admission`] for all listeners and threads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::admission::{Admission, Refused};
use super::ban_list::{Ban, BanPlace, TooManyBans};
use super::limits::AdmissionLimits;
use crate::peer::{PeerAddr, Source};

/// [`Admission`] behind one lock, which is held for less than a microsecond for each connection
/// and failed log-in. Connections cost ten times as much elsewhere, so it needs no shards.
#[derive(Debug)]
pub struct AdmissionControl {
    /// The moment that times are counted from.
    started: Instant,
    state: Mutex<Admission>,
}

/// An accepted connection, counted for the lifetime of this value. Empty if it is not counted.
#[derive(Debug, Default)]
#[must_use = "dropping it ends the connection's count"]
pub struct Admitted(Option<(Arc<AdmissionControl>, Source)>);

impl AdmissionControl {
    /// `started`: a moment before all those of other calls.
    pub fn new(limits: AdmissionLimits, started: Instant) -> Arc<Self> {
        Arc::new(Self { started, state: Mutex::new(Admission::new(limits)) })
    }

    /// As [`Admission::set_limits`].
    pub fn set_limits(&self, limits: AdmissionLimits) -> bool {
        self.state.lock().set_limits(limits)
    }

    /// As [`Admission::admit`].
    ///
    /// # Errors
    /// The connection is to be closed without an answer.
    pub fn admit(self: &Arc<Self>, peer: PeerAddr, now: Instant) -> Result<Admitted, Refused> {
        let source = self.state.lock().admit(peer, self.since(now))?;
        Ok(Admitted(source.map(|source| (Arc::clone(self), source))))
    }

    /// As [`Admission::is_banned`].
    pub fn is_banned(&self, peer: PeerAddr, now: Instant) -> bool {
        self.state.lock().is_banned(peer, self.since(now))
    }

    /// As [`Admission::log_in_failed`].
    pub fn log_in_failed(&self, peer: PeerAddr, now: Instant) -> Option<Ban> {
        self.state.lock().log_in_failed(peer, self.since(now))
    }

    /// As [`Admission::ban`].
    ///
    /// # Errors
    /// There are as many bans by operators as there may be.
    pub fn ban(&self, source: Source, time: Duration, now: Instant) -> Result<Ban, TooManyBans> {
        self.state.lock().ban(source, time, self.since(now))
    }

    /// As [`Admission::lift`].
    pub fn lift(&self, source: Source, now: Instant) -> Option<Ban> {
        self.state.lock().lift(source, self.since(now))
    }

    /// As [`Admission::exempts`].
    pub fn exempts(&self, source: Source) -> bool {
        self.state.lock().exempts(source)
    }

    /// As [`Admission::bans`].
    pub fn bans(&self, after: Option<BanPlace>, limit: usize, now: Instant) -> Vec<Ban> {
        self.state.lock().bans(after, limit, self.since(now))
    }

    /// As [`Admission::banned`].
    pub fn banned(&self, now: Instant) -> usize {
        self.state.lock().banned(self.since(now))
    }

    /// How long a ban lasts from `now` on.
    pub fn remaining(&self, ban: &Ban, now: Instant) -> Duration {
        ban.until.saturating_sub(self.since(now))
    }

    fn since(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some((control, source)) = self.0.take() {
            control.state.lock().leave(source);
        }
    }
}
