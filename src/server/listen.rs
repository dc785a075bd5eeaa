//! The HTTP listeners: one for everything, and a separate one for metrics if it is configured.

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::ServeError;
use crate::config::{self, Bind, ListenAt};
use crate::http::{self, AllowedHosts, AppState, Requests, Scope};
use crate::telemetry::MetricsRegistry;

/// Opens the configured listeners and serves them until the sender of `stopped` is dropped.
/// Returns the names and addresses of the listeners.
pub(super) async fn http(
    config: &config::Http,
    state: &AppState,
    stopped: &watch::Receiver<()>,
    tasks: &mut JoinSet<()>,
) -> Result<Vec<(String, ListenAt)>, ServeError> {
    let separate = config.metrics_bind != Bind::Off;
    let all = if separate { Scope::WithoutMetrics } else { Scope::Everything };
    let mut addresses = Vec::new();
    for (name, key, bind, scope) in [
        ("http", "http.bind", config.bind, all),
        ("metrics", "http.metrics_bind", config.metrics_bind, Scope::Metrics),
    ] {
        let Some(bind) = bind.addr() else { continue };
        let failed = |source| ServeError::Http { key, bind, source };
        let listener = TcpListener::bind(bind).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        addresses.push((name.to_owned(), ListenAt::Inet(address)));
        let hosts = AllowedHosts::new(&config.allowed_hosts, Bind::Addr(bind));
        let state = AppState { scope, hosts, ..state.clone() };
        let mut stopped = stopped.clone();
        tasks.spawn(async move {
            // Nothing is ever sent: the loop ends when the sender is dropped.
            let until = async move { while stopped.changed().await.is_ok() {} };
            if let Err(error) = http::serve(listener, state, until).await {
                tracing::error!(%error, "HTTP listener failed: restart the broker to restore it");
            }
        });
    }
    Ok(addresses)
}

/// Registers the counter of the listeners' requests.
pub(super) fn count_requests(registry: &MetricsRegistry) -> Requests {
    let requests = Requests::default();
    let counted = requests.clone();
    registry.counter(
        "ferrymq_http_requests_total",
        "HTTP requests that were answered, by their status.",
        move |see| counted.each(|status, count| see(count, &[("code", &status.to_string())])),
    );
    requests
}

/// Warns if the token would cross a network in plain text, where it can be read.
pub(super) fn warn_of_plain_text(config: &config::Http, has_token: bool) {
    if has_token && !config.bind.is_loopback() {
        tracing::warn!(
            bind = %config.bind,
            "other machines reach the admin API over plain HTTP, where its token can be read: \
             put a proxy with TLS in front, or bind http.bind to 127.0.0.1"
        );
    }
}
