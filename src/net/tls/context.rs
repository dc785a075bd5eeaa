//! The TLS state of one listener: loaded as a whole, replaced as a whole.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rustls::crypto::{CryptoProvider, ring};
use tokio::io::{AsyncRead, AsyncWrite};

use super::client_verifier::ClientVerifier;
use super::error::TlsError;
use super::handshake;
use super::identity::ClientIdentity;
use super::material::{Digests, Material, TlsExpiry};
use super::open_clients::OpenClients;
use super::refusal::TlsRefusal;
use super::server_config::{Parameters, Resumption, ServerConfigs};
use super::stream::TlsStream;
use super::validity::{self, Findings};
use crate::broker::ConnectShare;
use crate::config::ListenerTls;

/// Certificates, authorities and revocation lists of one listener. Open connections and
/// handshakes keep the state that they began with, so replacing it cuts nobody off.
#[derive(Debug)]
pub struct TlsContext {
    listener: String,
    /// The application protocol (RFC 7301) of the listener.
    protocol: &'static [u8],
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<State>>,
    /// Held while a state is replaced: two at once would count one change.
    replacing: Mutex<()>,
    open_clients: OpenClients,
}

/// One state of a context.
#[derive(Debug)]
pub(super) struct State {
    pub configs: ServerConfigs,
    pub verifier: Option<Arc<ClientVerifier>>,
    settings: ListenerTls,
    resumption: Resumption,
    digests: Digests,
    findings: Findings,
    /// Counts changes of authorities, revocation lists and what is demanded of clients.
    pub generation: u64,
}

/// Files that were read and checked, also by the TLS library, and are not yet in force.
#[derive(Debug)]
pub struct PreparedTls {
    settings: ListenerTls,
    parameters: Parameters,
    verifier: Option<Arc<ClientVerifier>>,
    digests: Digests,
    findings: Findings,
    /// Used if authorities or revocation lists changed.
    resumption: Resumption,
}

/// What [`TlsContext::apply`] changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TlsReload {
    /// Some file or key differs.
    pub changed: bool,
    /// Authorities, revocation lists or what is demanded of clients differ. Sessions cannot be
    /// resumed any more, and open connections have to be looked at:
    /// [`TlsContext::is_still_trusted`].
    pub clients_changed: bool,
}

impl TlsContext {
    /// Reads the files of the listener of this name. Blocks.
    ///
    /// # Errors
    /// A file is missing, damaged, or does not fit to the others.
    pub fn load(listener: &str, websocket: bool, settings: &ListenerTls) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        // Names of IANA's registry; WebSocket begins as HTTP/1.1 (RFC 6455, 4.1).
        let protocol: &[u8] = if websocket { b"http/1.1" } else { b"mqtt" };
        let prepared = PreparedTls::load(listener, settings, &provider, protocol)?;
        let resumption = prepared.resumption.clone();
        Ok(Self {
            listener: listener.to_owned(),
            protocol,
            current: RwLock::new(Arc::new(prepared.into_state(resumption, 0))),
            provider,
            replacing: Mutex::new(()),
            open_clients: OpenClients::default(),
        })
    }

    /// Reads all files as these settings have them, without a change of what is in force.
    /// Blocks.
    ///
    /// # Errors
    /// As [`TlsContext::load`].
    pub fn prepare(&self, settings: &ListenerTls) -> Result<PreparedTls, TlsError> {
        PreparedTls::load(&self.listener, settings, &self.provider, self.protocol)
    }

    /// Puts prepared files in force for handshakes that begin from now on. Cannot fail, so that
    /// several parts of a configuration can be replaced all or none.
    pub fn apply(&self, prepared: PreparedTls) -> TlsReload {
        let _replacing = self.replacing.lock();
        let old = self.current();
        let (settings, digests) = (&prepared.settings, &prepared.digests);
        let clients_changed = digests.clients != old.digests.clients
            || settings.client_auth != old.settings.client_auth
            || settings.expired_crl != old.settings.expired_crl;
        let changed = clients_changed
            || *digests != old.digests
            || settings.min_version != old.settings.min_version;
        let generation = old.generation + u64::from(clients_changed);
        let sessions = if clients_changed { &prepared.resumption } else { &old.resumption };
        let sessions = sessions.clone();
        // Also if nothing changed: paths and permissions may have, about which it warns.
        *self.current.write() = Arc::new(prepared.into_state(sessions, generation));
        TlsReload { changed, clients_changed }
    }

    /// Reads the same files again and puts them in force, all or none. Blocks.
    ///
    /// # Errors
    /// As [`TlsContext::load`]; the old state stays in force.
    pub fn reload(&self) -> Result<TlsReload, TlsError> {
        let settings = self.current().settings.clone();
        Ok(self.apply(self.prepare(&settings)?))
    }

    /// Makes the handshake with a client that connected. It takes as long as the client likes:
    /// the caller limits the time.
    ///
    /// What it may have the library hold is charged to `memory`, and further on until
    /// [`ByteStream::client_connected`](crate::net::ByteStream::client_connected).
    ///
    /// `turn` is awaited before each poll that computes, which may take milliseconds; what it
    /// returns is dropped after that poll. Nothing is computed before the client's first
    /// message is complete.
    ///
    /// # Errors
    /// The client does not speak TLS, is not let in, or is gone. It has been told why, where
    /// TLS has an alert for it.
    pub async fn accept<S, F>(
        &self,
        stream: S,
        memory: ConnectShare,
        turn: impl FnMut() -> F,
    ) -> Result<TlsStream<S>, TlsRefusal>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        F: Future,
    {
        // Boxed, so that the handshake takes no room in the task while the connection lives.
        Box::pin(handshake::accept(self, stream, memory, turn)).await
    }

    /// False if the client's certificate is revoked now, or its authority is gone. Cheap while
    /// authorities and revocation lists are those of its handshake; otherwise it verifies
    /// signatures, 0.1 to 0.3 ms. Ask once when a connection is registered, since they may
    /// have changed since its handshake, and for all open ones after a change.
    ///
    /// The time is not looked at: an expired certificate or revocation list ends no open
    /// connection.
    pub fn is_still_trusted(&self, client: &ClientIdentity) -> bool {
        let state = self.current();
        if client.generation() == state.generation {
            return true;
        }
        // Without a verifier no certificate is asked for any more, so none says anything.
        state.verifier.as_ref().is_some_and(|verifier| verifier.is_still_trusted(client))
    }

    /// Times for metrics.
    pub fn expiry(&self) -> TlsExpiry {
        let state = self.current();
        let (certificate, crl) = (state.findings.own.until, state.findings.crl_next_update());
        TlsExpiry { certificate, crl }
    }

    /// What an operator should look at now, one line each, such as an expired certificate.
    /// Each begins with a key of `listeners.NAME.tls`.
    pub fn warnings(&self) -> Vec<String> {
        self.current().findings.warnings(validity::now())
    }

    /// The files to watch.
    pub fn files(&self) -> Vec<PathBuf> {
        let settings = &self.current().settings;
        let own = [&settings.certificate_file, &settings.key_file];
        let clients = [&settings.client_ca_file, &settings.crl_file];
        own.into_iter().chain(clients).flatten().cloned().collect()
    }

    /// The name of its listener.
    pub fn listener(&self) -> &str {
        &self.listener
    }

    pub(super) fn open_clients(&self) -> &OpenClients {
        &self.open_clients
    }

    pub(super) fn current(&self) -> Arc<State> {
        Arc::clone(&self.current.read())
    }

    /// Puts a state in force that trusts nobody and has the old tickets, as if they had been
    /// stolen.
    #[cfg(test)]
    pub(super) fn forget_authorities(&self) {
        let old = self.current();
        let mut prepared = self.prepare(&old.settings).unwrap();
        let mut material = Material::load(&self.listener, &old.settings, &self.provider).unwrap();
        material.verifier.as_mut().unwrap().anchors.clear();
        prepared.verifier = material.verifier.map(Arc::new);
        let state = prepared.into_state(old.resumption.clone(), old.generation + 1);
        *self.current.write() = Arc::new(state);
    }
}

impl PreparedTls {
    fn load(
        listener: &str,
        settings: &ListenerTls,
        provider: &Arc<CryptoProvider>,
        protocol: &'static [u8],
    ) -> Result<Self, TlsError> {
        let setup = |source| TlsError::Setup { listener: listener.to_owned(), source };
        let Material { key, verifier, digests, findings } =
            Material::load(listener, settings, provider)?;
        let verifier = verifier.map(Arc::new);
        let parameters = Parameters::new(provider, settings, key, verifier.clone(), protocol);
        Ok(Self {
            settings: settings.clone(),
            parameters: parameters.map_err(setup)?,
            verifier,
            digests,
            findings,
            resumption: Resumption::new().map_err(setup)?,
        })
    }

    fn into_state(self, resumption: Resumption, generation: u64) -> State {
        State {
            configs: self.parameters.resuming(resumption.clone()),
            verifier: self.verifier,
            settings: self.settings,
            resumption,
            digests: self.digests,
            findings: self.findings,
            generation,
        }
    }
}
