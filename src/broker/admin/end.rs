//! Ending connections and sessions.

use std::sync::Arc;

use super::NotCommitted;
use crate::broker::revocation::revoke;
use crate::broker::{Broker, DisconnectKind, Step};
use crate::message::{Revoked, SessionWake, Wake, WakeCause};
use crate::telemetry::DropReason;

/// The session exists, but no client is connected to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotConnected;

/// A session that was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Deliveries that were waiting or in flight.
    pub dropped: usize,
    /// True if a client was connected.
    pub was_connected: bool,
}

impl Broker {
    /// Disconnects a client. Its will is published, unless `without_will`; its session is kept
    /// or ended as after any other disconnect. `None`: there is no such session. Must not be
    /// cancelled.
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
        let leaving = if without_will {
            DisconnectKind::Normally { session_expiry: None }
        } else {
            DisconnectKind::WithWill { session_expiry: None }
        };
        let ended = self.end_held(permit, Revoked::ByOperator, leaving, |_| true).await;
        Some(if ended { Ok(()) } else { Err(NotConnected) })
    }

    /// Ends a session and removes all its state. Its will is published, unless `without_will`,
    /// even if its delay has not passed [MQTT-3.1.2-8]. Returns when this is on disk, so that
    /// no crash restores the session. `None`: there is no such session. Must not be cancelled.
    ///
    /// # Errors
    /// The session has ended, but the disk has not confirmed it.
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
            revoke(connection, Revoked::ByOperator);
        }
        if let Some(will) = will {
            self.publish_will(&handle, &will, &mut step).await;
        }
        let wake = Arc::new(Wake::default());
        let session = Arc::new(SessionWake::of(Arc::clone(&wake)));
        step.wake_at_commit(&session, WakeCause::Direct);
        let remains = self.end_session(&handle, &mut step);
        let commit = step.submit(self);
        self.registry.remove(&handle);
        drop(permit);
        if let Some(remains) = remains {
            self.clean_up(remains);
        }
        let Ok(commit) = commit else { return Some(Err(NotCommitted::Down)) };
        Some(self.until_committed(&wake, commit).await.map(|()| ended))
    }
}
