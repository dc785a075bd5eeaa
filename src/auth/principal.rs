//! The principal: the identity on which access rules decide.

use std::sync::Arc;

use crate::peer::PeerAddr;

/// A client that has been let in. A bridge acts as one too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// As the client named itself, or as it was assigned.
    pub client_id: Arc<str>,
    /// Verified; `None` for an anonymous client.
    pub username: Option<Box<str>>,
    /// The other end.
    pub address: PeerAddr,
    /// The name of the listener that it came through.
    pub listener: Arc<str>,
    /// The subject of its certificate, if its transport has verified one.
    pub certificate: Option<Box<str>>,
}
