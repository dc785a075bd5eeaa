//! Ending connections and sessions.

use std::sync::Arc;

use super::NotCommitted;
use crate::broker::{Broker, DisconnectKind, Step};
use crate::message::{Revoked, SessionWake, Wake};
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

/// The connection's task finds that it has lost the session, and why: in this order, so
/// that it finds at once that it has no step left.
fn revoke(wake: &Wake) {
    wake.leave();
    wake.revoke(Revoked::ByOperator);
}

impl Broker {
    /// Ends the connection of a client, as the broker does by itself when it has to: the
    /// will is published, unless `without_will`. Its session stays or ends as after any
    /// other connection. `None`: there is no such session. Not to be cancelled.
    pub async fn end_connection(
        self: &Arc<Self>,
        client_id: &str,
        without_will: bool,
    ) -> Option<Result<(), NotConnected>> {
        let handle = self.session_of(client_id)?;
        if !handle.is_online() {
            return Some(Err(NotConnected));
        }
        let permit = handle.begin().await;
        let held = handle.look().life.connected().map(|now| (now.epoch, Arc::clone(&now.wake)));
        let Some((epoch, wake)) = held else { return Some(Err(NotConnected)) };
        let leaving = if without_will {
            DisconnectKind::Normally { session_expiry: None }
        } else {
            DisconnectKind::WithWill { session_expiry: None }
        };
        revoke(&wake);
        self.disconnect(permit, epoch, leaving).await;
        Some(Ok(()))
    }

    /// Ends a session with everything of it. Its will is published, unless `without_will`:
    /// a session that ends is when a delayed one is due [MQTT-3.1.2-8]. Returns when that
    /// is on disk: no crash brings the session back. `None`: there is no such session. Not
    /// to be cancelled.
    ///
    /// # Errors
    /// The session has ended, and the disk does not confirm it.
    pub async fn remove_session(
        self: &Arc<Self>,
        client_id: &str,
        without_will: bool,
    ) -> Option<Result<Ended, NotCommitted>> {
        let handle = self.session_of(client_id)?;
        let permit = handle.begin().await;
        if handle.look().life.is_ended() {
            return None;
        }
        let mut step = Step::new(self);
        let (ended, connection, will) = {
            let mut session = handle.lock();
            let dropped = session.backlog();
            let connection = session.wake().cloned();
            let will = session.will.take().filter(|_| !without_will);
            if connection.is_some() {
                let gone = session.detach(step.now.wall);
                self.metrics.messages.dropped.add(DropReason::SessionEnded, gone.len() as u64);
            }
            (Ended { dropped, was_connected: connection.is_some() }, connection, will)
        };
        if let Some(connection) = &connection {
            revoke(connection);
        }
        if let Some(will) = will {
            self.publish_will(&will, &mut step).await;
        }
        let wake = Arc::new(Wake::default());
        step.wake_at_commit(&Arc::new(SessionWake::of(Arc::clone(&wake))));
        let remains = self.end_session(&handle, &mut step);
        let commit = step.submit(self);
        self.registry.remove(&handle);
        drop(permit);
        if let Some(remains) = remains {
            self.clear_away(remains);
        }
        let Ok(commit) = commit else { return Some(Err(NotCommitted::Down)) };
        Some(self.until_committed(&wake, commit).await.map(|()| ended))
    }
}
