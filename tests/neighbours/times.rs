//! Latencies, each with the moment at which it was due.

use std::time::Duration;

/// A time span on the clock of a stage.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub from: Duration,
    pub to: Duration,
}

#[derive(Debug, Default)]
pub struct Times(Vec<(Duration, Duration)>);

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct Waits {
    pub count: usize,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

impl Times {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn push(&mut self, due: Duration, wait: Duration) {
        self.0.push((due, wait));
    }

    /// Percentiles of what was due within a span.
    pub fn within(&self, span: Span) -> Waits {
        let due = self.0.iter().filter(|(due, _)| (span.from..span.to).contains(due));
        let mut waits: Vec<Duration> = due.map(|(_, wait)| *wait).collect();
        waits.sort_unstable();
        let at = |share: usize| {
            let index = (waits.len() * share / 100).min(waits.len().saturating_sub(1));
            waits.get(index).map_or(0.0, |wait| wait.as_secs_f64() * 1e3)
        };
        Waits { count: waits.len(), p50: at(50), p99: at(99), max: at(100) }
    }
}
