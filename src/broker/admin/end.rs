//! Ending connections and sessions.

use std::sync::Arc;

use super::Unsettled;
use crate::broker::{Broker, Leaving, StoreDown, Turn};
use crate::message::{CommitNo, Wake};
use crate::telemetry::DropReason;

/// The session is there and its client is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotConnected;

/// A session that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Deliveries that waited or were in flight.
    pub dropped: usize,
    /// Its client was connected.
    pub was_connected: bool,
}

impl Broker {
    /// Ends the connection of a client, as the broker does by itself when it has to: the
    /// will is published, unless `without_will`. Its session stays or ends as after any
    /// other connection. `None`: there is no such session.
    pub fn dismiss(
        self: &Arc<Self>,
        client_id: &str,
        without_will: bool,
    ) -> Option<Result<(), NotConnected>> {
        let handle = self.session_of(client_id)?;
        let held = handle.lock().life.connected().map(|now| (now.epoch, Arc::clone(&now.wake)));
        let Some((epoch, wake)) = held else { return Some(Err(NotConnected)) };
        let leaving = if without_will {
            Leaving::Normally { session_expiry: None }
        } else {
            Leaving::WithWill { session_expiry: None }
        };
        // The connection's task finds that it has lost the session, and why.
        wake.dismiss();
        self.disconnect(&handle, epoch, leaving);
        wake.ring();
        Some(Ok(()))
    }

    /// Ends a session with everything of it. Its will is published, unless `without_will`:
    /// a session that ends is when a delayed one is due [MQTT-3.1.2-8]. Returns when that
    /// is on disk: no crash brings the session back. `None`: there is no such session.
    ///
    /// # Errors
    /// The session has ended, and the disk does not confirm it.
    pub async fn remove_session(
        self: &Arc<Self>,
        client_id: &str,
        without_will: bool,
    ) -> Option<Result<Ended, Unsettled>> {
        let wake = Arc::new(Wake::default());
        let (ended, commit) = self.remove_at_once(client_id, without_will, &wake)?;
        let Ok(commit) = commit else { return Some(Err(Unsettled::Down)) };
        Some(self.until_committed(&wake, commit).await.map(|()| ended))
    }

    fn remove_at_once(
        &self,
        client_id: &str,
        without_will: bool,
        wake: &Arc<Wake>,
    ) -> Option<(Ended, Result<CommitNo, StoreDown>)> {
        let mut turn = Turn::new(self.clock.now());
        // Held to the end, as in `disconnect`: whoever connects next with this id finds
        // the end of this session written before the beginning of their own.
        let mut registry = self.registry.lock();
        let handle = registry.get(client_id).cloned()?;
        let (ended, connection, will) = {
            let mut session = handle.lock();
            let dropped = session.backlog();
            let connection = session.wake().cloned();
            let will = session.will.take().filter(|_| !without_will);
            if connection.is_some() {
                let gone = session.detach(turn.now.wall);
                self.metrics.messages.dropped.add(DropReason::SessionEnded, gone.len() as u64);
            }
            (Ended { dropped, was_connected: connection.is_some() }, connection, will)
        };
        if let Some(connection) = &connection {
            connection.dismiss();
            turn.wake(connection);
        }
        if let Some(will) = will {
            self.publish_will(&will, &mut turn);
        }
        self.end_session(&handle, &mut registry, &mut turn);
        turn.wake_at_commit(wake);
        Some((ended, turn.finish(self)))
    }
}
