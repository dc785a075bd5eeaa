//! Starts a broker from a configuration.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::certificates::Certificates;
use super::observe::{observe_bridges, observe_store};
use super::reload::{self, Reloader};
use super::{Running, ServeError};
use super::{changes, listen, machine};
use crate::auth::Authenticator;
use crate::auth::acl::Rules;
use crate::bridge::Bridges;
use crate::broker::{Broker, Persistence, Settings};
use crate::config::{self, Config, ListenAt};
use crate::file_watch::FileWatch;
use crate::http::{AllowedHosts, Api, AppState, Scope, Tokens};
use crate::net::{Layers, Listener};
use crate::store::{
    Checkpoints, DurabilityMode, Recovered, RecoveredSession, Store, StoreConfig, StoreMetrics,
};
use crate::telemetry::{
    self, Metrics, MetricsRegistry, Readiness, Sampling, Setup, State, Tracing,
};

/// A broker that has been started and not yet stopped.
pub struct Server {
    running: Running,
    tasks: JoinSet<()>,
    readiness: Readiness,
    config: Arc<Config>,
    addresses: Vec<(String, ListenAt)>,
}

/// The store after it was opened.
struct Opened {
    store: Option<Store>,
    recovered: Recovered,
    poisoned: watch::Receiver<Option<String>>,
}

impl Server {
    /// Starts everything. HTTP starts first, so that a long recovery can be observed.
    ///
    /// # Errors
    /// See [`ServeError`]; nothing is left running.
    pub async fn start(config: Config, setup: &Setup) -> Result<Self, ServeError> {
        let hangups = reload::hangups().map_err(system("cannot listen for SIGHUP"))?;
        let as_read = config.clone();
        let config = Arc::new(config.fitted(machine::memory()));
        say_sizes(&config);
        let metrics = Arc::new(Metrics::default());
        let readiness = Readiness::default();
        let registry =
            setup.registry(&metrics, &readiness).map_err(system("cannot register the metrics"))?;
        let registry = Arc::new(registry);
        telemetry::observe_runtime(&registry, &tokio::runtime::Handle::current());
        // Before they are read, so that no change is missed, however long the recovery takes.
        let watched = reload::files(&as_read, &setup.sources);
        let watch = FileWatch::new(watched.clone());
        let authenticator = Authenticator::load(&config)?;
        authenticator.start();
        let rules = Rules::load(&config)?;
        // Bound before the recovery, which may be long, so that an address in use is reported
        // at once.
        let (listeners, certificates) = bind(&config)?;
        certificates.observe(&registry);
        certificates.warn_of_changes();
        let mut tasks = JoinSet::new();
        let (stop_http, http_stopped) = watch::channel(());
        let tokens = Arc::new(Tokens::load(&config.http)?);
        listen::warn_of_plain_text(&config.http, tokens.is_on());
        let level = &setup.logs.level;
        let api = Api::new(Arc::clone(&config), Arc::clone(&tokens), Some(level.clone()));
        let (metrics_of, scope) = (Arc::clone(&registry), Scope::Everything);
        let state = AppState {
            metrics: metrics_of,
            readiness: readiness.clone(),
            api: api.clone(),
            events: setup.events.clone(),
            requests: listen::count_requests(&registry),
            scope,
            hosts: AllowedHosts::new(&config.http.allowed_hosts, config.http.bind),
        };
        // Registered before HTTP is served: a first scrape without these metrics would look
        // like a loss.
        let store_metrics = Arc::new(StoreMetrics::default());
        if config.persistence.enabled {
            let observed = observe_store(&registry, &store_metrics);
            observed.map_err(system("cannot register the store's metrics"))?;
        }
        let mut addresses = listen::http(&config.http, &state, &http_stopped, &mut tasks).await?;
        let opened = open_store(&config, store_metrics).await?;
        let broker =
            build(&config, authenticator, metrics, opened.store.as_ref(), opened.recovered).await?;
        broker.rules.replace(rules);
        let bridges = Bridges::start(&broker, &config.bridges).await;
        observe_bridges(&registry, &bridges);
        api.serve_bridges(bridges.clone());
        tasks.spawn(bridges.clone().until_ended());
        let reloader = Arc::new(Reloader {
            bridges: bridges.clone(),
            sources: setup.sources.clone(),
            running: Mutex::new(as_read.into()),
            broker: Arc::clone(&broker),
            tokens,
            level: level.clone(),
            certificates: certificates.clone(),
            runtime: tokio::runtime::Handle::current(),
        });
        tasks.spawn(certificates.warn_daily(Arc::clone(&broker)));
        let reload = reloader.as_reload();
        tasks.spawn(reload::at_signal(hangups, reload.clone(), Arc::clone(&broker)));
        let files = move || reloader.files();
        let (again, until) = (reload.clone(), Arc::clone(&broker));
        tasks.spawn(changes::at_changes(watch, watched, again, files, until));
        api.serve(Arc::clone(&broker), Some(reload));
        trace(&broker, &config.telemetry, setup, &registry);
        // Runs what fell due while the broker was down, before a client connects.
        broker.run_due().await;
        tasks.spawn(Arc::clone(&broker).background());
        tasks.spawn(Arc::clone(&broker).keep_memory_shared());
        tasks.spawn(keep_http(Arc::clone(&broker), stop_http));
        let asked = Arc::downgrade(&broker);
        readiness.ask(move || asked.upgrade().is_some_and(|broker| broker.is_disk_full()));
        let all = Arc::new(Semaphore::new(most_connections(&config)));
        for (name, listener) in listeners {
            addresses.extend(listener.address().map(|address| (name, address)));
            tasks.spawn(listener.run(Arc::clone(&broker), Arc::clone(&all)));
        }
        readiness.set(State::Ready);
        let running = Running { broker, store: opened.store, poisoned: opened.poisoned };
        Ok(Self { running, tasks, readiness, config, addresses })
    }

    /// The addresses of the listeners, by name; `http` is among them.
    pub fn addresses(&self) -> &[(String, ListenAt)] {
        &self.addresses
    }

    /// Runs until `stop` resolves or the store fails, then stops.
    ///
    /// # Errors
    /// [`ServeError::Poisoned`] if the store failed, [`ServeError::Unclosed`] if it was not
    /// closed in time.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let told = self.running.until_told(stop).await;
        if told.is_err() {
            // Nothing more may be acknowledged, so there is no orderly shutdown.
            self.readiness.set(State::Poisoned);
            self.running.broker.shut_down();
            return told;
        }
        self.readiness.set(State::ShuttingDown);
        let time = self.config.runtime.shutdown_timeout.duration();
        self.running.stop(self.tasks, time).await
    }
}

/// Traces messages if spans are exported.
fn trace(broker: &Broker, config: &config::Telemetry, setup: &Setup, registry: &MetricsRegistry) {
    let tracing = setup.push.traces.as_ref().map(|provider| {
        let sampling = Sampling { ratio: config.trace_ratio.get(), parent: config.trace_parent };
        let tracing = Tracing::new(provider, sampling);
        broker.trace_with(tracing.clone());
        tracing
    });
    telemetry::observe_tracing(registry, tracing);
}

/// The number of connections: the configured one, limited by the open files. A share of the
/// open files is kept for the database, HTTP and short-lived files, so that `/healthz` answers
/// even when all connections are taken.
fn most_connections(config: &Config) -> usize {
    const OTHERS: u64 = 128;
    let wanted = config.sizes(None).max_connections.min(Semaphore::MAX_PERMITS);
    let Some(files) = machine::open_files() else { return wanted };
    let room = usize::try_from(files.saturating_sub(OTHERS).max(files / 2)).unwrap_or(usize::MAX);
    if room < wanted {
        tracing::warn!(
            open_files = files,
            max_connections = wanted,
            possible = room,
            "the system's limit of open files is lower than limits.max_connections needs: raise \
             it (LimitNOFILE, --ulimit nofile, ulimit -n), or lower limits.max_connections"
        );
    }
    wanted.min(room)
}

/// Logs the sizes that `auto` resolved to, so that they can be checked in a container.
fn say_sizes(config: &Config) {
    let sizes = config.sizes(None);
    tracing::info!(
        memory = machine::memory(),
        worker_threads = tokio::runtime::Handle::current().metrics().num_workers(),
        max_connections = sizes.max_connections,
        max_memory = %sizes.max_memory,
        max_retained_bytes = %sizes.max_retained_bytes,
        cache_size = %sizes.cache_size,
        "limits"
    );
}

fn bind(config: &Config) -> Result<(Vec<(String, Listener)>, Certificates), ServeError> {
    let (mut listeners, mut contexts) = (Vec::new(), Vec::new());
    let max_packet_size = Settings::from(config).max_packet_size;
    for (name, listener) in config.listeners.iter().filter(|(_, one)| one.bind.is_on()) {
        let layers = Layers::load(name, listener, max_packet_size)?;
        contexts.extend(layers.tls.clone());
        let bound = Listener::bind(name, listener, layers)?;
        listeners.extend(bound.map(|bound| (name.clone(), bound)));
    }
    Ok((listeners, Certificates::new(contexts)))
}

/// Builds the broker. With many sessions this takes a second, so it does not run on a thread
/// that serves connections. The pool uses the thread that has read the file, so memory freed
/// on the way is used again.
async fn build(
    config: &Arc<Config>,
    authenticator: Authenticator,
    metrics: Arc<Metrics>,
    store: Option<&Store>,
    recovered: Recovered,
) -> Result<Arc<Broker>, ServeError> {
    let sessions = recovered.sessions.len();
    let queued: usize = recovered.sessions.iter().map(RecoveredSession::queued).sum();
    let retained = recovered.retained.len();
    if store.is_some() {
        tracing::info!(sessions, queued, retained, "recovered");
    }
    let waits = config.persistence.durability != config::Durability::Async;
    let persistence = Persistence::new(store.cloned(), waits);
    let settings = Settings::from(&**config);
    let build = move || Broker::new(settings, authenticator, metrics, persistence, recovered);
    tokio::task::spawn_blocking(build).await.map_err(|error| ServeError::System {
        what: "restoring the sessions failed",
        source: std::io::Error::other(error),
    })
}

/// Opens the store. This scans the file, so it does not run on a thread that serves
/// connections.
async fn open_store(config: &Config, metrics: Arc<StoreMetrics>) -> Result<Opened, ServeError> {
    let (poison, poisoned) = watch::channel(None);
    if !config.persistence.enabled {
        return Ok(Opened { store: None, recovered: Recovered::default(), poisoned });
    }
    let store_config = store_config(config);
    let hook = Box::new(move |reason: &str| {
        poison.send_replace(Some(reason.to_owned()));
    });
    let (store, recovered) =
        tokio::task::spawn_blocking(move || Store::open(&store_config, metrics, hook))
            .await
            .map_err(|error| ServeError::System {
                what: "opening the database failed",
                source: std::io::Error::other(error),
            })??;
    Ok(Opened { store: Some(store), recovered, poisoned })
}

fn store_config(config: &Config) -> StoreConfig {
    let persistence = &config.persistence;
    StoreConfig {
        path: persistence.path.clone(),
        create: persistence.create,
        durability: match persistence.durability {
            config::Durability::Fsync => DurabilityMode::Fsync,
            config::Durability::Commit => DurabilityMode::Commit,
            config::Durability::Async => DurabilityMode::Async,
        },
        flush_interval: persistence.flush_interval.duration(),
        elision_window: persistence.elision_window.duration(),
        max_size: persistence.max_size.bytes(),
        wal_limit: persistence.wal_limit.bytes(),
        wal_checkpoint_pages: persistence.wal_checkpoint_pages,
        checkpoints: match persistence.checkpoints {
            config::Checkpoints::Own => Checkpoints::Own,
            config::Checkpoints::External => Checkpoints::External,
        },
        cache_size: config.sizes(None).cache_size.bytes(),
        quick_check: persistence.quick_check,
        reserve_size: persistence.reserve_size.bytes(),
        ..StoreConfig::default()
    }
}

/// Keeps HTTP running until the broker shuts down.
async fn keep_http(broker: Arc<Broker>, stop_http: watch::Sender<()>) {
    broker.until_shut_down().await;
    drop(stop_http);
}

fn system<E: std::error::Error + Send + Sync + 'static>(
    what: &'static str,
) -> impl FnOnce(E) -> ServeError {
    move |error| ServeError::System { what, source: std::io::Error::other(error) }
}
