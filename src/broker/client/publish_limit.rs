//! Publish rates of one client: `limits.publish_rate` and `limits.publish_bytes_rate`.
//!
//! A PUBLISH above them is held ([`BlockReason::PublishRate`]), so that the client is read no
//! further, and nothing is dropped. The connection is polled again at the moment at which the
//! packet may pass ([`Client::resumes_at`]). Deliveries to the client go on. Its other packets
//! wait behind the held one, since packets are handled in order; the broker does not count that
//! time against the keep alive.
//!
//! Of a connection whose output is closed, or whose session another one takes over, the rest is
//! handled at once: at most what was read ahead, 64 KiB and a packet. It could not be held, and
//! QoS 0 messages would be lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{BlockReason, Client};
use crate::protocol::Packet;
use crate::telemetry::Metrics;
use crate::token_bucket::{Rate, TokenBucket};

/// The buckets of one connection. Allocated when a limit is first seen.
#[derive(Debug, Default)]
pub(super) struct PublishLimit {
    messages: Option<TokenBucket>,
    bytes: Option<TokenBucket>,
    /// When the held packet may pass.
    passes_at: Option<Instant>,
    throttled: Option<Throttled>,
}

/// Counts the connection while a packet is held for a publish rate.
#[derive(Debug)]
struct Throttled(Arc<Metrics>);

impl Throttled {
    fn new(metrics: Arc<Metrics>) -> Self {
        metrics.connections.throttled.inc();
        Self(metrics)
    }
}

impl Drop for Throttled {
    fn drop(&mut self) {
        self.0.connections.throttled.dec();
    }
}

impl Client {
    /// The time at which a packet that is held for a publish rate has to be handled again.
    pub fn resumes_at(&self) -> Option<Instant> {
        let limit = self.publish_limit.as_ref()?;
        limit.passes_at.filter(|_| self.held == Some(BlockReason::PublishRate))
    }

    /// True if the packet exceeds a publish rate. It has to be held then.
    pub(super) fn exceeds_publish_rate(&mut self, packet: &Packet<'_>, len: usize) -> bool {
        if !matches!(packet, Packet::Publish(_)) || self.role.is_dialled() || self.is_last_step {
            return false;
        }
        let (messages, bytes) = self.broker.reloadable.publish_rates();
        if messages.is_none() && bytes.is_none() {
            self.publish_limit = None;
            return false;
        }
        let limit = self.publish_limit.get_or_insert_default();
        let now = self.step.now.instant;
        let since_start = now.saturating_duration_since(self.broker.clock.started());
        let wait = wait(&mut limit.messages, messages, 1, since_start).max(wait(
            &mut limit.bytes,
            bytes,
            len as u64,
            since_start,
        ));
        if wait.is_zero() {
            // It may still be held, for another reason.
            limit.throttled = None;
            return false;
        }
        // A packet of 256 MiB at one byte a second waits for nine years.
        limit.passes_at = now.checked_add(wait);
        let metrics = &self.broker.metrics;
        limit.throttled.get_or_insert_with(|| Throttled::new(Arc::clone(metrics)));
        true
    }

    /// Counts a PUBLISH that was taken.
    pub(super) fn count_publish(&mut self, len: usize) {
        let Some(limit) = &mut self.publish_limit else { return };
        // Of a connection that ends, also one that exceeds the rate is taken.
        limit.throttled = None;
        if let Some(messages) = &mut limit.messages {
            messages.spend(1);
        }
        if let Some(bytes) = &mut limit.bytes {
            bytes.spend(len as u64);
        }
    }

    /// Bytes that the buckets take.
    pub(super) fn publish_limit_memory(&self) -> usize {
        self.publish_limit.as_ref().map_or(0, |_| size_of::<PublishLimit>())
    }
}

fn wait(
    bucket: &mut Option<TokenBucket>,
    rate: Option<Rate>,
    cost: u64,
    now: Duration,
) -> Duration {
    let Some(rate) = rate else {
        *bucket = None;
        return Duration::ZERO;
    };
    bucket.get_or_insert_with(|| TokenBucket::full(rate, now)).wait(rate, cost, now)
}
