//! Connection metrics by listener.
//!
//! The configuration determines the listeners, so the label is bounded.

use std::sync::Arc;

use parking_lot::RwLock;

use super::labels::RejectReason;
use super::{Counters, Gauge, Gauges};
use crate::protocol::Version;

/// The metrics of one listener.
#[derive(Debug)]
pub struct ListenerMetrics {
    /// The configured name.
    pub name: Arc<str>,
    /// Sockets whose CONNECT has not been accepted yet.
    pub handshaking: Gauge,
    /// Connected clients.
    pub connected: Gauges<Version>,
    /// CONNECT packets that were accepted.
    pub opened: Counters<Version>,
    /// Accepted connections that have ended.
    pub closed: Counters<Version>,
    /// Connections rejected before they had a session.
    pub rejected: Counters<RejectReason>,
}

/// All listeners.
#[derive(Debug, Default)]
pub struct Listeners(RwLock<Vec<Arc<ListenerMetrics>>>);

impl Listeners {
    /// The metrics of the listener of this name, which are created at the first call. Not
    /// meant to be called for each connection.
    pub fn of(&self, name: &str) -> Arc<ListenerMetrics> {
        let mut listeners = self.0.write();
        if let Some(known) = listeners.iter().find(|known| &*known.name == name) {
            return Arc::clone(known);
        }
        let new = Arc::new(ListenerMetrics {
            name: name.into(),
            handshaking: Gauge::default(),
            connected: Gauges::default(),
            opened: Counters::default(),
            closed: Counters::default(),
            rejected: Counters::default(),
        });
        listeners.push(Arc::clone(&new));
        new
    }

    /// All listeners, in the order in which they were created.
    pub fn all(&self) -> Vec<Arc<ListenerMetrics>> {
        self.0.read().clone()
    }

    /// Open sockets, whether or not their CONNECT was accepted.
    pub fn open(&self) -> i64 {
        let handshaking: i64 =
            self.0.read().iter().map(|listener| listener.handshaking.get()).sum();
        handshaking + self.connected()
    }

    /// Connected clients of all listeners.
    pub fn connected(&self) -> i64 {
        self.0.read().iter().map(|listener| listener.connected.sum()).sum()
    }
}

/// An accepted socket, counted for the lifetime of this value.
#[derive(Debug)]
pub struct OpenConnection {
    listener: Arc<ListenerMetrics>,
    version: Option<Version>,
}

impl OpenConnection {
    /// Counts an accepted socket.
    pub fn accepted(listener: Arc<ListenerMetrics>) -> Self {
        listener.handshaking.inc();
        Self { listener, version: None }
    }

    /// Counts an accepted CONNECT of this version.
    pub fn connected(&mut self, version: Version) {
        if self.version.replace(version).is_none() {
            self.listener.handshaking.dec();
            self.listener.connected.add(version, 1);
            self.listener.opened.inc(version);
        }
    }

    /// Counts a rejection.
    pub fn rejected(&self, reason: RejectReason) {
        self.listener.rejected.inc(reason);
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        match self.version {
            None => self.listener.handshaking.dec(),
            Some(version) => {
                self.listener.connected.add(version, -1);
                self.listener.closed.inc(version);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_counts_from_its_socket_to_its_end() {
        let listeners = Listeners::default();
        let tcp = listeners.of("tcp");
        let mut connection = OpenConnection::accepted(listeners.of("tcp"));
        assert_eq!((tcp.handshaking.get(), listeners.connected()), (1, 0));
        connection.connected(Version::V5);
        assert_eq!((tcp.handshaking.get(), listeners.connected()), (0, 1));
        assert_eq!((tcp.opened.get(Version::V5), tcp.closed.get(Version::V5)), (1, 0));
        drop(connection);
        assert_eq!((listeners.connected(), tcp.closed.get(Version::V5)), (0, 1));
        let refused = OpenConnection::accepted(Arc::clone(&tcp));
        refused.rejected(RejectReason::ClientId);
        drop(refused);
        assert_eq!((tcp.handshaking.get(), tcp.rejected.get(RejectReason::ClientId)), (0, 1));
        assert_eq!(tcp.closed.get(Version::V5), 1, "what never was open is not closed");
        assert_eq!(listeners.all().len(), 1);
    }
}
