//! The background task of the broker: timers, eviction of queues from memory, cleanup after
//! ended sessions, expiry of retained messages, `$SYS`.

use std::sync::Arc;
use std::time::Duration;

use ahash::AHashSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::{Broker, SessionHandle, Step};

/// How often queues of offline sessions are evicted from memory. A client that reconnects
/// sooner finds its queue in memory.
const EVICT_EVERY: Duration = Duration::from_secs(1);
const EXPIRE_RETAINED_EVERY: Duration = Duration::from_secs(30);
/// Cleanup steps in one tick: cleanup must be as fast as sessions can be created and ended.
const CLEAR_AT_ONCE: usize = 8;
/// The interval while the state of ended sessions remains to be removed.
const CLEAR_EVERY: Duration = Duration::from_millis(5);

impl Broker {
    /// Runs until the broker shuts down.
    pub async fn background(self: Arc<Self>) {
        let mut evict = ticks(EVICT_EVERY);
        let mut retained = ticks(EXPIRE_RETAINED_EVERY);
        let mut clear = ticks(CLEAR_EVERY);
        let mut sys = self.settings.sys_interval.map(ticks);
        while !self.is_shutting_down() {
            let clearing = self.has_cleanup();
            tokio::select! {
                () = self.next_timer() => self.run_due().await,
                () = self.timers.changed() => {}
                _ = evict.tick() => {
                    self.check_clock().await;
                    self.evict_offline();
                    self.measure();
                }
                _ = clear.tick(), if clearing => {
                    for _ in 0..CLEAR_AT_ONCE {
                        if !self.clean_up_some() {
                            break;
                        }
                        tokio::task::yield_now().await;
                    }
                }
                _ = retained.tick() => self.expire_retained().await,
                () = next_tick(sys.as_mut()) => self.publish_sys(),
            }
        }
    }

    /// Runs each task of [`Broker::background`] except `$SYS` once, without waiting. For a
    /// simulation, whose time advances only by its own calls.
    pub async fn background_once(self: &Arc<Self>) {
        self.run_due().await;
        self.balance_memory().await;
        self.evict_offline();
        self.measure();
        self.clean_up_some();
        self.expire_retained().await;
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

    /// Adds a session whose queue may be evicted from memory.
    pub(super) fn evict_later(&self, handle: &Arc<SessionHandle>) {
        self.to_evict.lock().push(Arc::downgrade(handle));
    }

    pub(super) fn evict_offline(&self) {
        let mut sessions = std::mem::take(&mut *self.to_evict.lock());
        // A session may have been added several times.
        let mut seen = AHashSet::new();
        sessions.retain(|weak| seen.insert(weak.as_ptr()));
        let committed = self.persistence.committed();
        let mut step = Step::new(self);
        let mut again = Vec::new();
        for weak in sessions {
            let Some(handle) = weak.upgrade() else { continue };
            let mut session = handle.lock();
            if !session.durable || session.life.is_ended() || session.life.connected().is_some() {
                continue;
            }
            if !session.evict(committed) {
                again.push(weak);
            }
            self.complete_refused(&mut session, &mut step);
        }
        self.to_evict.lock().append(&mut again);
        step.submit_or_log(self);
    }

    /// Updates gauges that are sums over all sessions.
    fn measure(&self) {
        let (online, waiting) = self.session_counts();
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.sessions.connected.set(gauge(online));
        self.metrics.sessions.waiting.set(gauge(waiting));
        self.metrics.messages.queued.set(gauge(self.measure_queues()));
        self.measure_bans();
        self.remember();
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
