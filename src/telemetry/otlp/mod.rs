//! Push to an OpenTelemetry collector, by OTLP over gRPC: metrics, log lines and traces.
//!
//! This module has the exporters, their threads and queues, and their settings; what is
//! measured, logged or traced is decided elsewhere. Nothing waits for the push: queues are
//! bounded and drop what does not fit, and the end of the process waits for a collector no
//! longer than [`Push::stop`] allows.

mod events;
mod exports;
mod resource;
mod settings;
mod signal;
mod tls;
mod watched;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, SpanExporter, WithExportConfig,
    WithTonicConfig,
};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use thiserror::Error;

use super::EventLayer;
use crate::config::Telemetry;
pub use exports::Exports;
pub use resource::scraped;
pub use settings::Variables;
use settings::{Settings, Target};
pub use signal::Signal;
use watched::Watched;

/// The time limit for the last export of each signal; all run concurrently. If a collector
/// accepts connections and never answers, the end of the process is delayed by this time.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(1500);

/// Why the push could not be set up.
#[derive(Debug, Error)]
pub enum PushError {
    /// A standard environment variable has an invalid value.
    #[error("{name}: found \"{found}\", expected {expected}")]
    Variable {
        /// The variable.
        name: String,
        /// Its value.
        found: String,
        /// The valid values.
        expected: &'static str,
    },
    /// A certificate or key cannot be read.
    #[error("cannot read {}, which OTEL_EXPORTER_OTLP_... names: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A client certificate without its key, or the reverse.
    #[error(
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY need each other: \
         set both or none"
    )]
    IncompleteIdentity,
    /// The exporter cannot be built.
    #[error("cannot push to {endpoint}: {source}")]
    Exporter {
        /// The collector's endpoint.
        endpoint: String,
        /// The cause.
        source: ExporterBuildError,
    },
}

/// The signals that are pushed. Clones share everything.
#[derive(Debug, Clone, Default)]
pub struct Push {
    /// The provider whose instruments are pushed.
    pub metrics: Option<SdkMeterProvider>,
    /// The provider whose spans are pushed.
    pub traces: Option<SdkTracerProvider>,
    logs: Option<SdkLoggerProvider>,
    /// The results of the exports.
    pub exports: Arc<Exports>,
    notes: Vec<String>,
}

impl Push {
    /// Starts to push what `config` and the standard variables specify; nothing if they name
    /// no endpoint. Call it within the runtime, which drives the connections.
    ///
    /// # Errors
    /// See [`PushError`].
    #[allow(clippy::redundant_closure_for_method_calls)] // The method's type cannot be named.
    pub fn start(config: &Telemetry, variables: Variables<'_>) -> Result<Self, PushError> {
        let settings = Settings::new(config, variables)?;
        let mut push = Self { notes: settings.notes, ..Self::default() };
        let resource = resource::resource(variables);
        if let Some(target) = &settings.metrics {
            let exporter = build(target, MetricExporter::builder().with_tonic(), |it| it.build())?;
            let exporter = Watched::new(exporter, Signal::Metrics, &push.exports);
            let reader = PeriodicReader::builder(exporter).with_interval(settings.interval).build();
            let builder = SdkMeterProvider::builder().with_resource(resource.clone());
            push.metrics = Some(builder.with_reader(reader).build());
        }
        if let Some(target) = &settings.logs {
            let exporter = build(target, LogExporter::builder().with_tonic(), |it| it.build())?;
            let exporter = Watched::new(exporter, Signal::Logs, &push.exports);
            let builder = SdkLoggerProvider::builder().with_resource(resource.clone());
            push.logs = Some(builder.with_batch_exporter(exporter).build());
        }
        if let Some(target) = &settings.traces {
            let exporter = build(target, SpanExporter::builder().with_tonic(), |it| it.build())?;
            let exporter = Watched::new(exporter, Signal::Traces, &push.exports);
            // What is traced was decided when the message arrived.
            let builder = SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOn);
            push.traces =
                Some(builder.with_resource(resource).with_batch_exporter(exporter).build());
        }
        Ok(push)
    }

    /// The layer that pushes log lines, if they are pushed.
    pub fn events(&self) -> Option<EventLayer> {
        let layer = events::PushedEvents::new(self.logs.as_ref()?);
        Some(Box::new(layer))
    }

    /// Logs the settings in the environment that could not be applied.
    pub fn log_notes(&self) {
        for note in &self.notes {
            tracing::warn!("{note}");
        }
    }

    /// Pushes what is left, and ends. Takes two seconds at most, whatever the collector does;
    /// the runtime must still be running.
    pub fn stop(&self) {
        self.exports.end();
        let (done, all_done) = mpsc::channel::<Infallible>();
        let Self { metrics, traces, logs, .. } = self.clone();
        // These threads may be left behind: for metrics, the library's own limit is five
        // seconds, whatever timeout is passed.
        let spawn = |last_words: Box<dyn FnOnce() -> OTelSdkResult + Send>| {
            let done = done.clone();
            thread::spawn(move || {
                // A failure has been counted, and cannot be handled any more.
                let _ = last_words();
                drop(done);
            })
        };
        metrics.map(|it| spawn(Box::new(move || it.shutdown_with_timeout(SHUTDOWN_TIMEOUT))));
        traces.map(|it| spawn(Box::new(move || it.shutdown_with_timeout(SHUTDOWN_TIMEOUT))));
        logs.map(|it| spawn(Box::new(move || it.shutdown_with_timeout(SHUTDOWN_TIMEOUT))));
        drop(done);
        let _ = all_done.recv_timeout(SHUTDOWN_TIMEOUT);
    }
}

/// Applies the settings common to all signals.
fn build<B, E>(
    target: &Target,
    builder: B,
    build: impl FnOnce(B) -> Result<E, ExporterBuildError>,
) -> Result<E, PushError>
where
    B: WithExportConfig + WithTonicConfig,
{
    let mut builder = builder.with_endpoint(target.endpoint.clone());
    if let Some(tls) = tls::tls(target)? {
        builder = builder.with_tls_config(tls);
    }
    build(builder)
        .map_err(|source| PushError::Exporter { endpoint: target.endpoint.clone(), source })
}
