//! The broker's own task: timers, memory that can be let go, rows of ended sessions,
//! expired retained messages, `$SYS`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use super::{Broker, SessionHandle, Turn};

/// How often memory of offline sessions is let go: long enough for a client that
/// reconnects at once to find its queue in memory.
const FORGET_EVERY: Duration = Duration::from_secs(1);
const EXPIRE_RETAINED_EVERY: Duration = Duration::from_secs(30);
/// While rows of ended sessions remain to be dropped.
const PURGE_EVERY: Duration = Duration::from_millis(20);

impl Broker {
    /// Runs until the broker shuts down.
    pub async fn upkeep(self: Arc<Self>) {
        let mut forget = ticks(FORGET_EVERY);
        let mut retained = ticks(EXPIRE_RETAINED_EVERY);
        let mut purge = ticks(PURGE_EVERY);
        let mut sys = self.settings.sys_interval.map(ticks);
        while !self.is_shutting_down() {
            let purging = !self.purge.lock().is_empty() || !self.leftovers.is_empty();
            tokio::select! {
                () = self.next_timer() => self.run_due(),
                () = self.timers.changed() => {}
                _ = forget.tick() => {
                    self.forget_offline();
                    self.measure();
                }
                _ = purge.tick(), if purging => self.purge_turn(),
                _ = retained.tick() => {
                    let mut turn = Turn::new(self.clock.now());
                    self.expire_retained(&mut turn);
                    self.finish_or_log(&mut turn);
                }
                () = next_tick(sys.as_mut()) => self.publish_sys(),
            }
        }
    }

    /// All that [`Broker::upkeep`] does from time to time, but `$SYS`, once and at
    /// once: for a simulation, whose time does not pass by itself.
    pub fn upkeep_once(self: &Arc<Self>) {
        self.run_due();
        self.forget_offline();
        self.measure();
        self.purge_turn();
        let mut turn = Turn::new(self.clock.now());
        self.expire_retained(&mut turn);
        self.finish_or_log(&mut turn);
    }

    async fn next_timer(&self) {
        match self.timers.next() {
            Some(at) => {
                let wait = at.0.saturating_sub(self.clock.now().wall.0);
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
            None => std::future::pending().await,
        }
    }

    /// Remembers a session whose queue need not be in memory.
    pub(super) fn forget_later(&self, handle: &Arc<SessionHandle>) {
        self.to_forget.lock().push(Arc::downgrade(handle));
    }

    pub(super) fn forget_offline(&self) {
        let sessions = std::mem::take(&mut *self.to_forget.lock());
        let committed = self.persistence.committed();
        let mut turn = Turn::new(self.clock.now());
        for weak in sessions {
            let Some(handle) = weak.upgrade() else { continue };
            let mut session = handle.lock();
            if !session.durable || session.life.is_ended() || session.life.connected().is_some() {
                continue;
            }
            if !session.forget(committed) {
                self.to_forget.lock().push(weak);
            }
            self.settle_refused(&mut session, &mut turn);
            handle.settle_counts(&mut session, &mut turn);
        }
        self.finish_or_log(&mut turn);
    }

    /// Brings gauges up to date that are sums over all sessions.
    fn measure(&self) {
        let (online, waiting) = self.session_counts();
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.sessions.connected.set(gauge(online));
        self.metrics.sessions.waiting.set(gauge(waiting));
        self.metrics.messages.queued.set(gauge(self.measure_queues()));
        self.metrics.messages.memory_bytes.set(self.memory().try_into().unwrap_or(i64::MAX));
        self.remember();
    }

    fn purge_turn(self: &Arc<Self>) {
        if self.persistence.pending() > self.settings.max_pending_writes {
            return;
        }
        let mut turn = Turn::new(self.clock.now());
        self.purge_some(&mut turn);
        self.finish_or_log(&mut turn);
        self.hand_over_rows();
    }
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn next_tick(ticks: Option<&mut tokio::time::Interval>) {
    match ticks {
        Some(ticks) => {
            ticks.tick().await;
        }
        None => std::future::pending().await,
    }
}
