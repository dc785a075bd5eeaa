//! Log lines as OpenTelemetry log records: the message is the body, the fields are attributes,
//! and the module is the instrumentation scope.

use std::fmt;
use std::time::SystemTime;

use opentelemetry::Key;
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry_sdk::logs::{SdkLogRecord, SdkLogger, SdkLoggerProvider};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::telemetry::cut::{LOGGED, cut};

/// The crates that the push uses: pushing their log lines would produce more of them.
const OWN_STACK: [&str; 7] =
    ["opentelemetry", "tonic", "h2", "hyper", "hyper_util", "tower", "rustls"];

/// Passes events to the exporter's queue, which drops them if it is full.
pub(super) struct PushedEvents(SdkLogger);

impl PushedEvents {
    pub(super) fn new(provider: &SdkLoggerProvider) -> Self {
        Self(provider.logger("ferrymq"))
    }
}

impl<S: Subscriber> Layer<S> for PushedEvents {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if is_of_own_stack(metadata.target()) {
            return;
        }
        let mut record = self.0.create_log_record();
        record.set_target(metadata.target());
        record.set_timestamp(SystemTime::now());
        record.set_severity_number(severity(*metadata.level()));
        record.set_severity_text(metadata.level().as_str());
        event.record(&mut Fields(&mut record));
        self.0.emit(record);
    }
}

fn severity(level: Level) -> Severity {
    match level {
        Level::ERROR => Severity::Error,
        Level::WARN => Severity::Warn,
        Level::INFO => Severity::Info,
        Level::DEBUG => Severity::Debug,
        Level::TRACE => Severity::Trace,
    }
}

struct Fields<'a>(&'a mut SdkLogRecord);

impl Fields<'_> {
    fn text(&mut self, field: &Field, text: fmt::Arguments<'_>) {
        let text = AnyValue::from(cut(text, LOGGED));
        if field.name() == "message" {
            self.0.set_body(text);
        } else {
            self.0.add_attribute(Key::new(field.name()), text);
        }
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.add_attribute(Key::new(field.name()), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.add_attribute(Key::new(field.name()), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.0.add_attribute(Key::new(field.name()), value),
            // OpenTelemetry has no unsigned numbers.
            Err(_) => self.text(field, format_args!("{value}")),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.add_attribute(Key::new(field.name()), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format_args!("{value:?}"));
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
