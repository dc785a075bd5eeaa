//! Log lines as OpenTelemetry's log records.

use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// What the push itself is made of: pushing what it logs would make it log more.
const OWN_STACK: [&str; 7] =
    ["opentelemetry", "tonic", "h2", "hyper", "hyper_util", "tower", "rustls"];

/// Hands events on to the exporter's queue, which drops them if it is full.
pub(super) struct PushedEvents(OpenTelemetryTracingBridge<SdkLoggerProvider, SdkLogger>);

impl PushedEvents {
    pub(super) fn new(provider: &SdkLoggerProvider) -> Self {
        Self(OpenTelemetryTracingBridge::new(provider))
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for PushedEvents {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if !is_of_own_stack(event.metadata().target()) {
            self.0.on_event(event, context);
        }
    }
}

fn is_of_own_stack(target: &str) -> bool {
    let of = target.split("::").next().unwrap_or(target);
    OWN_STACK.contains(&of) || of.starts_with("opentelemetry")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_push_logs_is_not_pushed() {
        for target in ["h2::client", "opentelemetry_sdk::logs", "opentelemetry-otlp", "hyper"] {
            assert!(is_of_own_stack(target), "{target}");
        }
        for target in ["ferrymq::net", "ferrymq", "h2o"] {
            assert!(!is_of_own_stack(target), "{target}");
        }
    }
}
