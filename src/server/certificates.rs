//! The certificates of all listeners: read again at a reload, and observed.

use std::sync::Arc;

use crate::broker::Broker;
use crate::config::Config;
use crate::message::Revoked;
use crate::net::tls::{PreparedTls, TlsContext, TlsError, TlsExpiry};
use crate::telemetry::MetricsRegistry;

/// The TLS states of the listeners that have one.
#[derive(Debug, Clone, Default)]
pub(super) struct Certificates(pub(super) Vec<Arc<TlsContext>>);

/// A time of a listener, in Unix seconds.
type Figure = fn(&TlsExpiry) -> Option<i64>;

/// Files that were read and are not yet in force.
pub(super) struct Prepared(Vec<(Arc<TlsContext>, PreparedTls)>);

impl Certificates {
    /// Reads all files as this configuration has them. Blocks.
    ///
    /// # Errors
    /// A file cannot be used.
    pub(super) fn prepare(&self, config: &Config) -> Result<Prepared, TlsError> {
        let settings = |context: &Arc<TlsContext>| {
            config.listeners.get(context.listener()).and_then(|listener| listener.tls.as_ref())
        };
        let with = self.0.iter().filter_map(|context| Some((context, settings(context)?)));
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
            let contexts = self.0.clone();
            registry.gauge(name, help, move |see| {
                for context in &contexts {
                    if let Some(at) = of(&context.expiry()) {
                        #[allow(clippy::cast_precision_loss)] // Exact for 285 million years.
                        see(at as f64, &[("listener", context.listener())]);
                    }
                }
            });
        }
    }

    /// Logs what an operator should look at, such as a certificate that has expired.
    pub(super) fn warn(&self) {
        for context in &self.0 {
            for warning in context.warnings() {
                tracing::warn!(listener = context.listener(), "{warning}");
            }
        }
    }
}

impl Prepared {
    /// Puts the files in force. True if something changed. Clients whose certificate is no
    /// longer trusted are disconnected by tasks of `runtime`.
    ///
    /// # Errors
    /// The TLS library does not take the files of a listener, which keeps its old ones.
    pub(super) fn apply(
        self,
        broker: &Arc<Broker>,
        runtime: &tokio::runtime::Handle,
    ) -> Result<bool, TlsError> {
        let mut changed = false;
        for (context, prepared) in self.0 {
            let reload = context.apply(prepared)?;
            changed |= reload.changed;
            if reload.clients_changed {
                disconnect_untrusted(context, Arc::clone(broker), runtime);
            }
        }
        Ok(changed)
    }
}

fn disconnect_untrusted(
    context: Arc<TlsContext>,
    broker: Arc<Broker>,
    runtime: &tokio::runtime::Handle,
) {
    // Verifies signatures; a reload runs where that may block.
    let untrusted = context.no_longer_trusted();
    if untrusted.is_empty() {
        return;
    }
    runtime.spawn(async move {
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
    });
}
