//! The metrics registry: one set of instruments for scrape and push.
//!
//! Each instrument is an OpenTelemetry observable: a closure that reads an atomic. It is
//! created once for the scrape and, with a collector, a second time for the push; both read
//! the same atomic. OpenTelemetry has no observable histogram: the scrape reads the buckets of
//! [`AtomicHistogram`] itself, and only if something is pushed, each value is recorded a
//! second time in an instrument of the push.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Histogram, Meter, MeterProvider as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use parking_lot::Mutex;
use prometheus::Registry;
use thiserror::Error;

use super::{
    AtomicHistogram, Counters, Format, Label, Metrics, Readiness, broker, collector, exposition,
    process,
};
use crate::telemetry::histogram::SECONDS;

/// Why metrics cannot be registered.
#[derive(Debug, Error)]
pub enum MetricsError {
    /// Two instruments have the same name.
    #[error("cannot register metrics: {0}")]
    Register(String),
}

/// Passes one series to a scrape: its value and its labels.
pub type Observe<'a, T> = dyn FnMut(T, &[(&'static str, &str)]) + 'a;

/// All instruments. Modules with their own metrics, like the store, add them with
/// [`MetricsRegistry::counter`], [`MetricsRegistry::gauge`] and
/// [`MetricsRegistry::histogram`].
#[derive(Debug)]
pub struct MetricsRegistry {
    prometheus: Registry,
    scraped: Meter,
    pushed: Option<Pushed>,
    /// Kept for their exemplars, which Prometheus' registry does not support.
    histograms: Mutex<Vec<(&'static str, Arc<AtomicHistogram>)>>,
    /// Kept alive because dropping them ends their instruments.
    _providers: (SdkMeterProvider, Option<SdkMeterProvider>),
}

/// The instruments of the push.
#[derive(Debug)]
struct Pushed {
    meter: Meter,
    /// The histogram of database operations, by the semantic conventions.
    operations: Histogram<f64>,
}

impl MetricsRegistry {
    /// Creates a registry with the metrics of broker and process, for the scrape only.
    ///
    /// # Errors
    /// None known: the registry is new, so no name can be taken.
    pub fn new(metrics: &Arc<Metrics>, readiness: &Readiness) -> Result<Self, MetricsError> {
        let resource = Resource::builder()
            .with_service_name("ferrymq")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        Self::with_push(metrics, readiness, resource, None)
    }

    /// Creates a registry with the metrics of broker and process. The scrape shows `resource`
    /// as `target_info`. `push` has its readers and its own resource already; its creator
    /// keeps a clone to flush it and to shut it down.
    ///
    /// # Errors
    /// None known: the registry is new, so no name can be taken.
    pub fn with_push(
        metrics: &Arc<Metrics>,
        readiness: &Readiness,
        resource: Resource,
        push: Option<SdkMeterProvider>,
    ) -> Result<Self, MetricsError> {
        let prometheus = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(prometheus.clone())
            // Names are given exactly as they are scraped; a single scope needs no label.
            .without_units()
            .scope_info_enabled(false)
            .build()
            .map_err(|error| MetricsError::Register(error.to_string()))?;
        let scrape =
            SdkMeterProvider::builder().with_reader(exporter).with_resource(resource).build();
        let registry = Self {
            prometheus,
            scraped: scrape.meter("ferrymq"),
            pushed: push.as_ref().map(|provider| Pushed::new(provider.meter("ferrymq"))),
            histograms: Mutex::default(),
            _providers: (scrape, push),
        };
        broker::register(&registry, metrics, readiness);
        process::register(&registry);
        Ok(registry)
    }

    fn meters(&self) -> impl Iterator<Item = &Meter> {
        std::iter::once(&self.scraped).chain(self.pushed.as_ref().map(|pushed| &pushed.meter))
    }

    /// Registers an integer counter; `name` ends in `_total`.
    pub fn counter<F>(&self, name: &'static str, help: &'static str, read: F)
    where
        F: Fn(&mut Observe<'_, u64>) + Send + Sync + 'static,
    {
        let read = Arc::new(read);
        for meter in self.meters() {
            let read = Arc::clone(&read);
            meter
                .u64_observable_counter(without_total(name))
                .with_description(help)
                .with_unit(unit_of(name))
                .with_callback(move |observer| observe(observer, &*read))
                .build();
        }
    }

    /// Registers a counter of seconds with fractions; `name` ends in `_seconds_total`.
    pub fn seconds_counter<F>(&self, name: &'static str, help: &'static str, read: F)
    where
        F: Fn(&mut Observe<'_, f64>) + Send + Sync + 'static,
    {
        let read = Arc::new(read);
        for meter in self.meters() {
            let read = Arc::clone(&read);
            meter
                .f64_observable_counter(without_total(name))
                .with_description(help)
                .with_unit(unit_of(name))
                .with_callback(move |observer| observe(observer, &*read))
                .build();
        }
    }

    /// Registers a gauge.
    pub fn gauge<F>(&self, name: &'static str, help: &'static str, read: F)
    where
        F: Fn(&mut Observe<'_, f64>) + Send + Sync + 'static,
    {
        let read = Arc::new(read);
        for meter in self.meters() {
            let read = Arc::clone(&read);
            meter
                .f64_observable_gauge(name)
                .with_description(help)
                .with_unit(unit_of(name))
                .with_callback(move |observer| observe(observer, &*read))
                .build();
        }
    }

    /// Registers a gauge without labels that may be infinite, or unknown (`None`).
    /// OpenTelemetry does not support infinity: an infinite value is not pushed.
    ///
    /// # Errors
    /// The name is taken.
    pub fn limitless_gauge<F>(
        &self,
        name: &'static str,
        help: &'static str,
        read: F,
    ) -> Result<(), MetricsError>
    where
        F: Fn() -> Option<f64> + Send + Sync + 'static,
    {
        let read = Arc::new(read);
        collector::gauge(name, help, Arc::clone(&read))
            .and_then(|collector| self.prometheus.register(Box::new(collector)))
            .map_err(|error| MetricsError::Register(error.to_string()))?;
        if let Some(pushed) = &self.pushed {
            let observe = move |observer: &dyn AsyncInstrument<f64>| {
                if let Some(value) = read().filter(|value| value.is_finite()) {
                    observer.observe(value, &[]);
                }
            };
            let gauge = pushed.meter.f64_observable_gauge(name).with_description(help);
            gauge.with_unit(unit_of(name)).with_callback(observe).build();
        }
        Ok(())
    }

    /// Registers a histogram. Values recorded before are scraped, but not pushed.
    ///
    /// # Errors
    /// The name is taken.
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        histogram: &Arc<AtomicHistogram>,
    ) -> Result<(), MetricsError> {
        self.distribution(name, help, histogram, None)
    }

    /// As [`MetricsRegistry::histogram`], for the duration of the database's `operation`. It
    /// is pushed a second time as `db.client.operation.duration`, its name in the semantic
    /// conventions; a scrape does not repeat it.
    ///
    /// # Errors
    /// The name is taken.
    pub fn operation(
        &self,
        name: &'static str,
        help: &'static str,
        histogram: &Arc<AtomicHistogram>,
        operation: &'static str,
    ) -> Result<(), MetricsError> {
        self.distribution(name, help, histogram, Some(operation))
    }

    fn distribution(
        &self,
        name: &'static str,
        help: &'static str,
        histogram: &Arc<AtomicHistogram>,
        operation: Option<&'static str>,
    ) -> Result<(), MetricsError> {
        collector::histogram(name, help, Arc::clone(histogram))
            .and_then(|collector| self.prometheus.register(Box::new(collector)))
            .map_err(|error| MetricsError::Register(error.to_string()))?;
        self.histograms.lock().push((name, Arc::clone(histogram)));
        if let Some(pushed) = &self.pushed {
            pushed.histogram(name, help, histogram, operation);
        }
        Ok(())
    }

    /// Registers a counter with one series for each value of a label.
    pub(super) fn counters<L: Label>(
        &self,
        name: &'static str,
        help: &'static str,
        metrics: &Arc<Metrics>,
        counters: fn(&Metrics) -> &Counters<L>,
    ) {
        let metrics = Arc::clone(metrics);
        self.counter(name, help, move |see| {
            for (label, count) in counters(&metrics).iter() {
                see(count, &[(L::NAME, label.as_str())]);
            }
        });
    }

    /// Returns all metrics as text.
    pub fn render(&self, format: Format) -> String {
        exposition::encode(&self.prometheus.gather(), format, |name| {
            let histograms = self.histograms.lock();
            let found = histograms.iter().find(|(known, _)| *known == name);
            found.map(|(_, histogram)| histogram.exemplars()).unwrap_or_default()
        })
    }
}

impl Pushed {
    fn new(meter: Meter) -> Self {
        let operations = meter
            .f64_histogram("db.client.operation.duration")
            .with_description("Duration of database client operations.")
            .with_unit("s")
            // The conventions' boundaries are among them; a commit can be faster than the
            // smallest of those.
            .with_boundaries(SECONDS.to_vec())
            .build();
        Self { meter, operations }
    }

    fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        histogram: &AtomicHistogram,
        operation: Option<&'static str>,
    ) {
        let instrument = self
            .meter
            .f64_histogram(name)
            .with_description(help)
            .with_unit(unit_of(name))
            .with_boundaries(histogram.bounds().to_vec())
            .build();
        let Some(operation) = operation else {
            return histogram.forward(Box::new(move |value| instrument.record(value, &[])));
        };
        let operations = self.operations.clone();
        let attributes = [
            KeyValue::new("db.system.name", "sqlite"),
            KeyValue::new("db.operation.name", operation),
        ];
        histogram.forward(Box::new(move |value| {
            instrument.record(value, &[]);
            operations.record(value, &attributes);
        }));
    }
}

fn observe<T>(observer: &dyn AsyncInstrument<T>, read: &impl Fn(&mut Observe<'_, T>)) {
    read(&mut |value, labels| {
        let labels: Vec<KeyValue> =
            labels.iter().map(|(name, value)| KeyValue::new(*name, (*value).to_owned())).collect();
        observer.observe(value, &labels);
    });
}

/// OpenTelemetry's names lack the suffix; its Prometheus exporter adds it.
fn without_total(name: &'static str) -> &'static str {
    name.strip_suffix("_total").unwrap_or(name)
}

fn unit_of(name: &str) -> &'static str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    if name.ends_with("_bytes") {
        "By"
    } else if name.ends_with("_seconds") {
        "s"
    } else {
        "1"
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
