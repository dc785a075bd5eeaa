//! Counts exports by result, and logs when the result changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use tracing::{info, warn};

use super::Signal;
use crate::telemetry::{Counters, Label, MetricsRegistry};

/// Counts exports by signal and result. Present even if nothing is pushed, so that the series
/// of a scrape are always the same.
#[derive(Debug, Default)]
pub struct Exports {
    taken: Counters<Signal>,
    failed: Counters<Signal>,
    /// Signals whose last export failed; each failure is logged once.
    failing: [AtomicBool; 3],
    /// The push is ending, so failures are no longer logged.
    ending: AtomicBool,
}

impl Exports {
    /// From now on failures are only counted: the end of a log should show why the broker has
    /// stopped.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Records the result of an export of `signal`.
    ///
    /// An outage is logged once when it begins and once when it ends, for each signal: a
    /// collector may accept one signal and refuse another.
    pub(super) fn ended(&self, signal: Signal, result: &OTelSdkResult) {
        let Some(failing) = self.failing.get(signal.index()) else { return };
        match result {
            Ok(()) => {
                self.taken.inc(signal);
                if failing.swap(false, Ordering::Relaxed) {
                    info!(signal = signal.as_str(), "pushing to the collector works again");
                }
            }
            Err(error) => {
                self.failed.inc(signal);
                if !self.ending.load(Ordering::Relaxed) && !failing.swap(true, Ordering::Relaxed) {
                    let reason = reason(error);
                    warn!(
                        signal = signal.as_str(),
                        reason,
                        "pushing to the collector fails: batches are dropped until it accepts \
                         them; check telemetry.otlp_endpoint or OTEL_EXPORTER_OTLP_ENDPOINT"
                    );
                }
            }
        }
    }

    /// Registers the counters in `registry`.
    pub fn register(self: &Arc<Self>, registry: &MetricsRegistry) {
        let exports = Arc::clone(self);
        registry.counter(
            "ferrymq_telemetry_exports_total",
            "Batches pushed to a collector by OTLP, by signal and result.",
            move |see| {
                for (result, counts) in [("ok", &exports.taken), ("failed", &exports.failed)] {
                    for (signal, count) in counts.iter() {
                        see(count, &[(Signal::NAME, signal.as_str()), ("result", result)]);
                    }
                }
            },
        );
    }
}

/// The library's message, without its position within the library.
fn reason(error: &OTelSdkError) -> String {
    let text = match error {
        OTelSdkError::InternalFailure(text) => text.clone(),
        other => other.to_string(),
    };
    match text.split_once("gRPC code: ") {
        Some((_, code)) => code.to_owned(),
        None => text,
    }
}
