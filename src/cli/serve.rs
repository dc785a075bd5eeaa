//! `ferrymq serve`: logs, a runtime, the broker.

use std::process::ExitCode;
use std::sync::Arc;

use rustix::process;
use tracing::{error, info, warn};

use super::Exit;
use super::output::complain;
use super::stop::stop_signal;
use crate::config::{Config, Sources};
use crate::server::{ServeError, Server};
use crate::telemetry::otlp::Push;
use crate::telemetry::{self, EventLayer, RecentEvents, Setup};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// End this broker with its parent, whose process id this is; for `bench` and `drill`
    #[arg(long, hide = true, value_name = "PID")]
    end_with_parent: Option<u32>,
}

impl Args {
    pub(super) fn apply(&self) {
        let Some(parent) = self.end_with_parent else { return };
        // Not supported on every system; then the broker outlives its parent.
        let _ = process::set_parent_process_death_signal(Some(process::Signal::KILL));
        // The parent may have ended before the call above.
        let now = process::getppid().and_then(|pid| u32::try_from(pid.as_raw_pid()).ok());
        if now != Some(parent) {
            std::process::exit(Exit::Failure.code().into());
        }
    }
}

/// Every second task that a runtime thread polls comes from the queue that all threads share,
/// if one waits there. Tasks that a commit wakes are put there, and what does not fit into the
/// queue of a thread. By default it is one in up to 127, so that a task there waits for
/// hundreds of milliseconds while a thread's own queue is never empty.
const GLOBAL_QUEUE_INTERVAL: u32 = 2;

/// Starts logging and a runtime, and runs the broker until it ends. `config` was read from
/// `sources`.
pub fn serve(config: Config, sources: Sources) -> ExitCode {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().thread_name("ferrymq").global_queue_interval(GLOBAL_QUEUE_INTERVAL);
    if config.runtime.worker_threads > 0 {
        builder.worker_threads(config.runtime.worker_threads);
    }
    let runtime = match builder.build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start threads: {error}"));
            return Exit::Failure.into();
        }
    };
    let setup = match set_up(&config, sources, &runtime) {
        Ok(setup) => setup,
        Err(code) => return code,
    };
    banner(&config);
    for variable in setup.sources.unused_variables() {
        warn!(
            variable,
            "this environment variable sets nothing: a key is written as FERRYMQ_TABLE__KEY"
        );
    }
    let patience = config.runtime.shutdown_timeout.duration();
    let (logs, push) = (setup.logs.clone(), setup.push.clone());
    let limit = Arc::clone(&logs.limit);
    let exit = runtime.block_on(async {
        tokio::select! {
            exit = run(config, setup) => exit,
            () = limit.keep_reporting() => Exit::Failure,
        }
    });
    limit.report();
    // Must come before the end of the runtime, in which the connections to the collector live.
    push.stop();
    // The time limit keeps a running password verification from delaying the exit further.
    runtime.shutdown_timeout(patience);
    // Writes what has been logged, unless the reader has stopped reading.
    drop(logs);
    exit.into()
}

/// Starts logging and the push to an OTLP collector.
fn set_up(
    config: &Config,
    sources: Sources,
    runtime: &tokio::runtime::Runtime,
) -> Result<Setup, ExitCode> {
    let _within = runtime.enter();
    let variables = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let wrong = |error: &dyn std::fmt::Display| {
        complain(error);
        ExitCode::from(Exit::Usage)
    };
    let push = Push::start(&config.telemetry, &variables).map_err(|error| wrong(&error))?;
    let events = RecentEvents::default();
    let mut layers: Vec<EventLayer> = vec![Box::new(events.layer())];
    layers.extend(push.events());
    let logs = telemetry::init_logs(&config.telemetry, layers).map_err(|error| wrong(&error))?;
    push.log_notes();
    Ok(Setup { logs, push, events, sources })
}

/// Starts the broker, says where it listens, and waits for its end.
async fn run(config: Config, setup: Setup) -> Exit {
    // Listens from here on, so that a signal during a long recovery is not lost.
    let stop = match stop_signal() {
        Ok(stop) => stop,
        Err(error) => {
            error!(%error, "cannot listen for signals");
            return Exit::Failure;
        }
    };
    let started = Server::start(config, &setup).await;
    let ended = match started {
        Ok(server) => {
            for (name, address) in server.addresses() {
                info!(listener = name, %address, "listening");
            }
            info!("ready");
            server.run(stop).await
        }
        Err(error) => Err(error),
    };
    let Err(error) = ended else {
        info!("stopped");
        return Exit::Ok;
    };
    error!("{error}");
    // The final error is shown at any `telemetry.level`.
    if !tracing::enabled!(tracing::Level::ERROR) {
        complain(&error);
    }
    match error {
        ServeError::Store(_) => Exit::Database,
        ServeError::Bind(_) | ServeError::Http { .. } => Exit::Bind,
        ServeError::Auth(_) | ServeError::Rules(_) | ServeError::Tls(_) | ServeError::Token(_) => {
            Exit::Usage
        }
        ServeError::Poisoned(_) | ServeError::Unclosed(_) => Exit::Poisoned,
        ServeError::System { .. } => Exit::Failure,
    }
}

/// Logs version and database; the addresses are logged once the broker listens.
fn banner(config: &Config) {
    info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "FerryMQ starts");
    let disk = &config.persistence;
    if disk.enabled {
        let durability = disk.durability.as_str();
        info!(path = %disk.path.display(), durability, "database");
    } else {
        warn!("persistence.enabled is false: sessions and messages are lost when the process ends");
    }
}
