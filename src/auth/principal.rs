//! The principal: the identity on which access rules decide.

use std::sync::Arc;

use crate::peer::{ClientCertificate, PeerAddr};

/// A client that was allowed to connect. A bridge acts as one too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The client id, sent by the client or assigned.
    pub client_id: Arc<str>,
    /// The verified user name; `None` for an anonymous client.
    pub username: Option<Box<str>>,
    /// The remote address.
    pub address: PeerAddr,
    /// The name of the listener that it came through.
    pub listener: Arc<str>,
    /// Its certificate, if its transport has verified one.
    pub certificate: Option<Arc<ClientCertificate>>,
}
