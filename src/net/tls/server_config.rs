//! The parameters of a listener's handshakes, and the sessions that clients may resume.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{Error, ServerConfig, version};

use super::client_verifier::ClientVerifier;
use crate::config::{ListenerTls, TlsVersion};

/// TLS 1.2 sessions that are kept for clients that know no tickets (RFC 5077), which hold the
/// client's certificates: at most 512 times 16 KiB, and typically 1 MiB.
const CACHED_SESSIONS: usize = 512;
/// Tickets for each TLS 1.3 handshake. MQTT clients have one connection and need one to come
/// back; each holds the client's certificates.
const TICKETS: usize = 1;

/// What clients resume sessions with: keys of tickets, and the cache. Whoever replaces it
/// voids all of them.
#[derive(Clone)]
pub struct Resumption {
    ticketer: Arc<dyn ProducesTickets>,
    sessions: Arc<dyn StoresServerSessions>,
}

impl Resumption {
    /// With new keys, which rustls replaces every 6 hours; a ticket lives 12 hours at most.
    pub fn new() -> Result<Self, Error> {
        let ticketer = rustls::crypto::ring::Ticketer::new()?;
        Ok(Self { ticketer, sessions: ServerSessionMemoryCache::new(CACHED_SESSIONS) })
    }
}

impl fmt::Debug for Resumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resumption")
    }
}

/// The parameters of a listener's handshakes, checked by the TLS library. Only the sessions that
/// may be resumed are missing, which cannot fail.
#[derive(Debug)]
pub struct Parameters {
    protocol: &'static [u8],
    config: ServerConfig,
}

/// Rustls refuses a client that offers application protocols (RFC 7301) of which it knows none.
/// This has to refuse nobody, so such clients are answered without one.
#[derive(Debug, Clone)]
pub struct ServerConfigs {
    /// The protocol of the listener.
    protocol: &'static [u8],
    with_protocol: Arc<ServerConfig>,
    without_protocol: Arc<ServerConfig>,
}

impl Parameters {
    pub fn new(
        provider: &Arc<CryptoProvider>,
        settings: &ListenerTls,
        key: Arc<CertifiedKey>,
        verifier: Option<Arc<ClientVerifier>>,
        protocol: &'static [u8],
    ) -> Result<Self, Error> {
        let versions: &[_] = match settings.min_version {
            TlsVersion::V12 => &[&version::TLS13, &version::TLS12],
            TlsVersion::V13 => &[&version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(versions)?;
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.send_tls13_tickets = TICKETS;
        Ok(Self { protocol, config })
    }

    /// With the sessions that clients may resume.
    pub fn resuming(self, resumption: Resumption) -> ServerConfigs {
        let Self { protocol, mut config } = self;
        config.ticketer = resumption.ticketer;
        config.session_storage = resumption.sessions;
        let without_protocol = Arc::new(config.clone());
        config.alpn_protocols = vec![protocol.to_owned()];
        ServerConfigs { protocol, with_protocol: Arc::new(config), without_protocol }
    }
}

impl ServerConfigs {
    /// The parameters for a client that offers these protocols.
    pub fn for_offer<'a>(&self, mut offered: impl Iterator<Item = &'a [u8]>) -> Arc<ServerConfig> {
        let config = if offered.any(|protocol| protocol == self.protocol) {
            &self.with_protocol
        } else {
            &self.without_protocol
        };
        Arc::clone(config)
    }
}
