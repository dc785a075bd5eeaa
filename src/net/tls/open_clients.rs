//! The clients with certificates that are connected, so that those that are no longer trusted
//! can be found after authorities or revocation lists have changed.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::context::TlsContext;
use super::identity::ClientIdentity;

/// Identities by fingerprint, each with the number of its connections.
#[derive(Debug, Default)]
pub(super) struct OpenClients(Mutex<HashMap<Box<str>, (ClientIdentity, usize)>>);

/// A connection with a client certificate, listed until this is dropped.
#[derive(Debug)]
pub struct OpenClient {
    context: Arc<TlsContext>,
    identity: ClientIdentity,
}

impl OpenClients {
    fn enter(&self, identity: &ClientIdentity) {
        let mut clients = self.0.lock();
        let fingerprint = identity.certificate().fingerprint.clone();
        let (known, count) = clients.entry(fingerprint).or_insert_with(|| (identity.clone(), 0));
        // The latest one: it was verified against the latest lists.
        *known = identity.clone();
        *count += 1;
    }

    fn leave(&self, identity: &ClientIdentity) {
        let mut clients = self.0.lock();
        let fingerprint = &identity.certificate().fingerprint;
        if let Some((_, count)) = clients.get_mut(fingerprint) {
            *count -= 1;
            if *count == 0 {
                clients.remove(fingerprint);
            }
        }
    }

    fn all(&self) -> Vec<ClientIdentity> {
        self.0.lock().values().map(|(identity, _)| identity.clone()).collect()
    }
}

impl TlsContext {
    /// Lists a connection whose handshake is done.
    pub fn open_client(self: &Arc<Self>, identity: ClientIdentity) -> OpenClient {
        self.open_clients().enter(&identity);
        OpenClient { context: Arc::clone(self), identity }
    }

    /// The fingerprints of connected clients that are not trusted any more. Verifies signatures
    /// if authorities or revocation lists have changed, so it blocks.
    pub fn no_longer_trusted(&self) -> Vec<Box<str>> {
        let clients = self.open_clients().all().into_iter();
        let untrusted = clients.filter(|client| !self.is_still_trusted(client));
        untrusted.map(|client| client.certificate().fingerprint.clone()).collect()
    }
}

impl OpenClient {
    /// False if the client was trusted at its handshake and is not any more. To be asked when
    /// its session is attached, since lists may have been replaced between.
    pub fn is_still_trusted(&self) -> bool {
        self.context.is_still_trusted(&self.identity)
    }
}

impl Drop for OpenClient {
    fn drop(&mut self) {
        self.context.open_clients().leave(&self.identity);
    }
}
