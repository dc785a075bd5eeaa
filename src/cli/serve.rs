//! `ferrymq serve`: logs, a runtime, the broker.

use std::process::ExitCode;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::Exit;
use super::output::complain;
use super::stop::stop_signal;
use crate::config::Config;
use crate::http::{AppState, serve as serve_http};
use crate::telemetry::{self, Metrics, MetricsRegistry, Readiness, State};

/// Starts logging and a runtime, and runs the broker in it until it ends.
pub fn serve(config: Config) -> ExitCode {
    if let Err(error) = telemetry::init_logs(&config.telemetry) {
        complain(&error);
        return Exit::Usage.into();
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().thread_name("ferrymq");
    if config.runtime.worker_threads > 0 {
        builder.worker_threads(config.runtime.worker_threads);
    }
    let runtime = match builder.build() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "cannot start threads");
            return Exit::Failure.into();
        }
    };
    banner(&config);
    let patience = config.runtime.shutdown_timeout.duration();
    let exit = runtime.block_on(run(Arc::new(config)));
    // A password that is being verified must not hold up the end for longer.
    runtime.shutdown_timeout(patience);
    exit.into()
}

/// What everything in this process shares.
struct Shared {
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    registry: Arc<MetricsRegistry>,
    readiness: Readiness,
}

/// HTTP around the broker: probes are answered from before it has recovered until
/// after it has shut down.
async fn run(config: Arc<Config>) -> Exit {
    let stop = match stop_signal() {
        Ok(stop) => stop,
        Err(error) => {
            error!(%error, "cannot listen for signals");
            return Exit::Failure;
        }
    };
    let readiness = Readiness::default();
    let metrics = Arc::new(Metrics::default());
    let registry = match MetricsRegistry::new(&metrics, &readiness) {
        Ok(registry) => Arc::new(registry),
        Err(error) => {
            error!(%error, "no metrics");
            return Exit::Failure;
        }
    };
    let shared = Shared { config, metrics, registry, readiness };
    let Some(addr) = shared.config.http.bind.addr() else {
        return broker(shared, stop).await;
    };
    let listener = match TcpListener::bind(addr).await {
        Ok(listener) => listener,
        Err(error) => {
            error!("cannot bind http to {addr}: {error}");
            return Exit::Bind;
        }
    };
    let state =
        AppState { metrics: Arc::clone(&shared.registry), readiness: shared.readiness.clone() };
    let (stop_http, stopped) = oneshot::channel::<()>();
    let http = tokio::spawn(serve_http(listener, state, async {
        // Dropped or sent: both mean the end.
        let _ = stopped.await;
    }));
    let exit = broker(shared, stop).await;
    drop(stop_http);
    if let Ok(Err(error)) = http.await {
        warn!(%error, "http ended early");
    }
    exit
}

/// Everything between the start and the end of the process.
async fn broker(shared: Shared, stop: impl Future<Output = ()>) -> Exit {
    let Shared { config: _config, metrics: _metrics, registry: _registry, readiness } = shared;
    stop.await;
    readiness.set(State::ShuttingDown);
    Exit::Ok
}

/// What is being started, in a few lines.
fn banner(config: &Config) {
    info!("FerryMQ {}", env!("CARGO_PKG_VERSION"));
    for (name, listener) in &config.listeners {
        info!("listener {name}: {}", listener.bind);
    }
    info!("http: {}", config.http.bind);
    let disk = &config.persistence;
    if disk.enabled {
        info!("database: {}, durability {}", disk.path.display(), disk.durability.as_str());
    } else {
        warn!("database: none, everything is lost with the process");
    }
}
