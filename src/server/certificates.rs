//! The certificates of all listeners: read again at a reload, and observed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, interval_at};

use crate::broker::Broker;
use crate::config::Config;
use crate::message::Revoked;
use crate::net::tls::{PreparedTls, TlsContext, TlsError, TlsExpiry};
use crate::telemetry::MetricsRegistry;

/// How often what an operator should look at is logged while it stays as it is.
const TELL_EVERY: Duration = Duration::from_hours(24);

/// The TLS states of the listeners that have one. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Certificates {
    contexts: Arc<[Arc<TlsContext>]>,
    /// The warnings that were logged last.
    told: Arc<Mutex<BTreeSet<Warning>>>,
}

/// A listener, and what an operator should look at.
type Warning = (Box<str>, String);

/// A time of a listener, in Unix seconds.
type Figure = fn(&TlsExpiry) -> Option<i64>;

/// Files that were read and are not yet in force.
pub(super) struct Prepared(Vec<(Arc<TlsContext>, PreparedTls)>);

impl Certificates {
    pub(super) fn new(contexts: Vec<Arc<TlsContext>>) -> Self {
        Self { contexts: contexts.into(), told: Arc::default() }
    }

    /// Reads all files as this configuration has them. Listeners that it has no files for keep
    /// what they have. Blocks.
    ///
    /// # Errors
    /// A file cannot be used.
    pub(super) fn prepare(&self, config: &Config) -> Result<Prepared, TlsError> {
        let settings = |context: &Arc<TlsContext>| {
            config.listeners.get(context.listener()).and_then(|listener| listener.tls.as_ref())
        };
        let with = self.contexts.iter().filter_map(|context| Some((context, settings(context)?)));
        let prepared = with.map(|(context, tls)| Ok((Arc::clone(context), context.prepare(tls)?)));
        prepared.collect::<Result<_, _>>().map(Prepared)
    }

    /// Registers when certificates and revocation lists end.
    pub(super) fn observe(&self, registry: &MetricsRegistry) {
        let figures: [(_, _, Figure); 2] = [
            (
                "ferrymq_certificate_expiry_timestamp_seconds",
                "When the certificate of a listener expires, in Unix time.",
                |expiry| Some(expiry.certificate),
            ),
            (
                "ferrymq_crl_next_update_timestamp_seconds",
                "When the first revocation list of a listener is due for its next update, in \
                 Unix time.",
                |expiry| expiry.crl,
            ),
        ];
        for (name, help, of) in figures {
            let contexts = Arc::clone(&self.contexts);
            registry.gauge(name, help, move |see| {
                for context in &*contexts {
                    if let Some(at) = of(&context.expiry()) {
                        #[allow(clippy::cast_precision_loss)] // Exact for 285 million years.
                        see(at as f64, &[("listener", context.listener())]);
                    }
                }
            });
        }
    }

    /// Logs what an operator should look at, such as a certificate that has expired, unless it
    /// was logged already.
    pub(super) fn warn_of_changes(&self) {
        for (listener, warning) in self.new_warnings() {
            tracing::warn!(%listener, "{warning}");
        }
    }

    /// Logs all of it once a day, until the broker stops: nothing else may be read in that time,
    /// and what is valid now may expire.
    pub(super) async fn warn_daily(self, broker: Arc<Broker>) {
        let mut days = interval_at(Instant::now() + TELL_EVERY, TELL_EVERY);
        loop {
            tokio::select! {
                _ = days.tick() => {}
                () = broker.until_shut_down() => return,
            }
            self.told.lock().clear();
            self.warn_of_changes();
        }
    }

    fn new_warnings(&self) -> Vec<Warning> {
        let of = |context: &Arc<TlsContext>| {
            let listener: Box<str> = context.listener().into();
            context.warnings().into_iter().map(move |warning| (listener.clone(), warning))
        };
        let now: BTreeSet<Warning> = self.contexts.iter().flat_map(of).collect();
        let mut told = self.told.lock();
        let new = now.difference(&told).cloned().collect();
        *told = now;
        new
    }
}

impl Prepared {
    /// Puts the files in force. True if something changed. Clients whose certificate is no
    /// longer trusted are disconnected by tasks of `runtime`.
    pub(super) fn apply(self, broker: &Arc<Broker>, runtime: &tokio::runtime::Handle) -> bool {
        let mut changed = false;
        for (context, prepared) in self.0 {
            let reload = context.apply(prepared);
            changed |= reload.changed;
            if reload.clients_changed {
                runtime.spawn(disconnect_untrusted(context, Arc::clone(broker)));
            }
        }
        changed
    }
}

/// In the background: signatures of all connected clients are verified, and the reload has been
/// made.
async fn disconnect_untrusted(context: Arc<TlsContext>, broker: Arc<Broker>) {
    let asked = Arc::clone(&context);
    let found = tokio::task::spawn_blocking(move || asked.no_longer_trusted()).await;
    // It fails if the runtime shuts down, which ends all connections.
    let untrusted = found.unwrap_or_default();
    if untrusted.is_empty() {
        return;
    }
    let listener = context.listener();
    let disconnected = broker
        .disconnect_where(Revoked::CertificateRevoked, |_, info| {
            let shown = info.certificate.as_ref();
            *info.listener == *listener
                && shown.is_some_and(|shown| untrusted.contains(&shown.fingerprint))
        })
        .await;
    tracing::info!(
        listener,
        disconnected,
        "clients disconnected whose certificate was revoked, or whose authority was removed"
    );
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::config::ListenerTls;

    #[test]
    fn a_warning_is_logged_when_it_is_new() {
        let directory = tempfile::tempdir().unwrap();
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (directory.path().join("c"), directory.path().join("k"));
        fs::write(&certificate, own.cert.pem()).unwrap();
        fs::write(&key, own.signing_key.serialize_pem()).unwrap();
        let permit = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        permit(0o644);
        let settings = ListenerTls {
            certificate_file: Some(certificate.clone()),
            key_file: Some(key.clone()),
            ..ListenerTls::default()
        };
        let context = Arc::new(TlsContext::load("secure", false, &settings).unwrap());
        let certificates = Certificates::new(vec![Arc::clone(&context)]);
        assert_eq!(certificates.new_warnings().len(), 1, "everyone may read the key");
        context.reload().unwrap();
        assert_eq!(certificates.new_warnings(), []);
        for (mode, new) in [(0o600, 0), (0o644, 1)] {
            permit(mode);
            context.reload().unwrap();
            assert_eq!(certificates.new_warnings().len(), new, "{mode:o}");
        }
    }
}
