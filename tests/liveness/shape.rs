//! Parameters that differ from seed to seed.

use crate::api::DRIVER_FLUSHES;
use crate::common::rng::Rng;
use crate::stream::Nature;

/// What carries MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    Plain,
    Tls,
    WebSocket,
    /// WebSocket in TLS.
    SecureWebSocket,
}

#[derive(Debug, Clone)]
pub struct Shape {
    pub carrier: Carrier,
    pub memory_window: usize,
    pub inflight_window: usize,
    pub max_queued: usize,
    pub max_unanswered: usize,
    pub max_pending: usize,
    pub back_pressure: bool,
    pub disk_fills: bool,
    /// The largest payload, in bytes.
    pub largest: usize,
    /// Percentage of steps and commits within which others act.
    pub nested: u64,
    /// Buffer of each direction of a connection in bytes, and by how many bits it may be
    /// smaller.
    pub buffer: usize,
    pub varies: usize,
    pub partial: u64,
    pub out_of_budget: u64,
    pub receivers_at_once: usize,
    /// Messages that a client may publish in a second; 0: no limit.
    pub publish_rate: u64,
}

impl Shape {
    pub fn of(rng: &mut Rng) -> Self {
        use Carrier::{Plain, SecureWebSocket, Tls, WebSocket};
        // Handshakes take longer than all else: less than a third of the histories has some.
        let carrier = *rng.pick(&[Plain, Plain, Plain, WebSocket, WebSocket, Tls, SecureWebSocket]);
        let buffer = *rng.pick(&[1, 20, 1_400, 4_096, 16_384, 65_536, 400_000]);
        let disk_fills = rng.percent(30);
        Self {
            carrier,
            memory_window: *rng.pick(&[1, 2, 20, 1000]),
            inflight_window: *rng.pick(&[1, 2, 5, 100]),
            max_queued: *rng.pick(&[3, 1_000_000, 1_000_000, 1_000_000]),
            max_unanswered: *rng.pick(&[2, 10_000, 10_000]),
            max_pending: *rng.pick(&[4, 100_000, 100_000]),
            back_pressure: rng.percent(50),
            disk_fills,
            // Tiny buffers are only for small payloads.
            largest: if buffer < 100 { 60 * buffer } else { 200_000 },
            nested: *rng.pick(&[0, 20, 50]),
            buffer,
            varies: 4,
            partial: *rng.pick(&[0, 50]),
            out_of_budget: *rng.pick(&[0, 0, 3, 20]),
            receivers_at_once: *rng.pick(&[0, 1, 1000]),
            publish_rate: *rng.pick(&[0, 0, 0, 5, 50]),
        }
    }

    /// Nothing is small, and nothing happens at random.
    pub fn calm() -> Self {
        Self {
            carrier: Carrier::Plain,
            memory_window: 1_000,
            inflight_window: 100,
            max_queued: 1_000_000,
            max_unanswered: 10_000,
            max_pending: 100_000,
            back_pressure: false,
            disk_fills: false,
            largest: 200_000,
            nested: 0,
            buffer: 1 << 16,
            varies: 0,
            partial: 0,
            out_of_budget: 0,
            receivers_at_once: 1000,
            publish_rate: 0,
        }
    }

    pub fn payload_size(&self, rng: &mut Rng) -> usize {
        let most = match rng.between(0, 20) {
            0..=11 => 100,
            12..=16 => 3_000,
            17..=18 => 30_000,
            _ => 200_000,
        };
        rng.index(most.min(self.largest)).max(4)
    }

    fn is_encrypted(&self) -> bool {
        matches!(self.carrier, Carrier::Tls | Carrier::SecureWebSocket)
    }

    pub fn nature(&self, rng: &mut Rng) -> Nature {
        let buffer = |rng: &mut Rng| (self.buffer >> rng.index(self.varies)).max(1);
        let staged = DRIVER_FLUSHES && rng.percent(40);
        // A byte at a time, a large message in TLS would take half a minute.
        let least = if self.is_encrypted() { 100 } else { 1 };
        Nature {
            to_server: buffer(rng),
            to_client: buffer(rng),
            at_once: *rng.pick(&[1_000_000, self.buffer, self.buffer.div_ceil(3)]),
            partial: self.partial,
            out_of_budget: self.out_of_budget,
            staged: if staged { *rng.pick(&[least, 100, 16_384]) } else { 0 },
        }
    }
}
