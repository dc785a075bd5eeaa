//! `ferrymq serve`: logs, a runtime, the broker.

use std::process::ExitCode;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use super::Exit;
use super::output::complain;
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

/// Binds, serves, and waits for a signal.
async fn run(config: Arc<Config>) -> Exit {
    let readiness = Readiness::default();
    let metrics = Arc::new(Metrics::default());
    let registry = match MetricsRegistry::new(&metrics, &readiness) {
        Ok(registry) => Arc::new(registry),
        Err(error) => {
            error!(%error, "no metrics");
            return Exit::Failure;
        }
    };
    let state = AppState { metrics: registry, readiness: readiness.clone() };
    let Some(addr) = config.http.bind.addr() else {
        readiness.set(State::Ready);
        stop_signal().await;
        return Exit::Ok;
    };
    let listener = match TcpListener::bind(addr).await {
        Ok(listener) => listener,
        Err(error) => {
            error!(%error, "cannot bind http to {addr}");
            return Exit::Bind;
        }
    };
    readiness.set(State::Ready);
    match serve_http(listener, state, stop_signal()).await {
        Ok(()) => Exit::Ok,
        Err(error) => {
            error!(%error, "http failed");
            Exit::Failure
        }
    }
}

/// Resolves when the process is asked to end.
async fn stop_signal() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        warn!("cannot listen for SIGTERM");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => info!("SIGTERM: shutting down"),
        _ = tokio::signal::ctrl_c() => info!("interrupted: shutting down"),
    }
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
