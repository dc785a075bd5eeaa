//! Push to an OpenTelemetry collector, by OTLP over gRPC: metrics, log lines and traces.
//!
//! Here live the exporters, the threads and queues behind them, and how they are set.
//! What is measured, logged or traced is none of their business. Nothing here is ever
//! waited for: queues are bounded and drop what finds no room, and the end of the
//! process waits for a collector no longer than [`Push::stop`] says.

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

/// How long the last export of each signal may take; all go at once. With a collector
/// that accepts and never answers, the end of the process comes this much later.
const LAST_WORDS: Duration = Duration::from_millis(1500);

/// Why nothing can be pushed.
#[derive(Debug, Error)]
pub enum PushError {
    /// A standard variable holds what it cannot mean.
    #[error("{name}: found \"{found}\", expected {expected}")]
    Variable {
        /// Which.
        name: String,
        /// Its value.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A certificate or key.
    #[error("cannot read {}, which OTEL_EXPORTER_OTLP_... names: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A client certificate without its key, or the other way round.
    #[error(
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY need each other: \
         set both or none"
    )]
    HalfAnIdentity,
    /// The exporter cannot be made of it.
    #[error("cannot push to {endpoint}: {source}")]
    Exporter {
        /// Where.
        endpoint: String,
        /// Why not.
        source: ExporterBuildError,
    },
}

/// What is pushed, and what it takes. Clones share everything.
#[derive(Debug, Clone, Default)]
pub struct Push {
    /// Instruments that are made here are pushed.
    pub metrics: Option<SdkMeterProvider>,
    /// Spans that are made here are pushed.
    pub traces: Option<SdkTracerProvider>,
    logs: Option<SdkLoggerProvider>,
    /// How it goes.
    pub exports: Arc<Exports>,
    notes: Vec<String>,
}

impl Push {
    /// Begins to push what `config` and the standard variables say; nothing, if they name
    /// no endpoint. To be called within the runtime: the connections live in it.
    ///
    /// # Errors
    /// Observe [`PushError`].
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
            // What is traced was decided when the message came.
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

    /// Logs what the environment asked for and did not get.
    pub fn log_notes(&self) {
        for note in &self.notes {
            tracing::warn!("{note}");
        }
    }

    /// Pushes what is left, and ends. Takes two seconds at most, whatever the collector
    /// does; the runtime must still be there.
    pub fn stop(&self) {
        self.exports.end();
        let (done, all_done) = mpsc::channel::<Infallible>();
        let Self { metrics, traces, logs, .. } = self.clone();
        // Threads that are left behind if need be: the library's own limit for metrics is
        // five seconds, whatever it is asked for.
        let spawn = |last_words: Box<dyn FnOnce() -> OTelSdkResult + Send>| {
            let done = done.clone();
            thread::spawn(move || {
                // A failure was counted, and is nothing that could be mended now.
                let _ = last_words();
                drop(done);
            })
        };
        metrics.map(|it| spawn(Box::new(move || it.shutdown_with_timeout(LAST_WORDS))));
        traces.map(|it| spawn(Box::new(move || it.shutdown_with_timeout(LAST_WORDS))));
        logs.map(|it| spawn(Box::new(move || it.shutdown_with_timeout(LAST_WORDS))));
        drop(done);
        let _ = all_done.recv_timeout(LAST_WORDS);
    }
}

/// Sets what is the same for every signal.
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
