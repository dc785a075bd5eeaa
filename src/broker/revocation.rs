//! Ends connections that someone else than their client ends: an operator, or a reload that
//! removes users or revokes certificates.

use std::sync::Arc;

use super::handle::StepPermit;
use super::{Broker, DisconnectKind, SessionHandle};
use crate::auth::LogIn;
use crate::message::{Revoked, Wake};
use crate::session::{Connected, ConnectionInfo};

/// Makes the connection's task close. `leave` comes first, so that the task sees that it has
/// no last step to take.
pub(super) fn revoke(wake: &Wake, why: Revoked) {
    wake.leave();
    wake.revoke(why);
}

/// The log-in of a connection.
pub(super) fn log_in(info: &ConnectionInfo) -> LogIn<'_> {
    LogIn {
        listener: &info.listener,
        username: info.user.as_deref(),
        method: info.method,
        credential: info.credential,
        certificate: info.certificate.as_deref(),
    }
}

impl Broker {
    /// Disconnects all clients for whose client id and connection `is_gone` is true, in client
    /// id order, as an operator would: wills are published, sessions kept or ended as after
    /// any other disconnect. Returns their number. `why` is what they are told.
    ///
    /// It takes short steps and yields in between. A client that connects meanwhile may be
    /// missed: what `is_gone` depends on has to be decided before, and asked at CONNECT. Must
    /// not be cancelled.
    pub async fn disconnect_where(
        self: &Arc<Self>,
        why: Revoked,
        is_gone: impl Fn(&str, &ConnectionInfo) -> bool,
    ) -> usize {
        let (mut after, mut count) = (None::<Arc<str>>, 0);
        loop {
            let page = self.registry.page_behind(after.as_deref());
            let Some(last) = page.last() else { return count };
            after = Some(Arc::clone(&last.client_id));
            for handle in &page {
                count += usize::from(self.disconnect_if(handle, why, &is_gone).await);
            }
            tokio::task::yield_now().await;
        }
    }

    async fn disconnect_if(
        self: &Arc<Self>,
        handle: &Arc<SessionHandle>,
        why: Revoked,
        is_gone: &impl Fn(&str, &ConnectionInfo) -> bool,
    ) -> bool {
        let is_gone = |now: &Connected| is_gone(&handle.client_id, &now.info);
        if !handle.look().life.connected().is_some_and(is_gone) {
            return false;
        }
        let permit = handle.begin().await;
        // Asked again: another connection may have taken the session over meanwhile.
        let leaving = DisconnectKind::WithWill { session_expiry: None };
        self.end_held(permit, why, leaving, is_gone).await
    }

    /// Ends the connection that holds the session, if there is one and `ends` is true for it.
    /// Must not be cancelled.
    pub(super) async fn end_held(
        self: &Arc<Self>,
        permit: StepPermit,
        why: Revoked,
        leaving: DisconnectKind,
        ends: impl FnOnce(&Connected) -> bool,
    ) -> bool {
        let held = {
            let session = permit.session().look();
            let held = session.life.connected().filter(|now| ends(now));
            held.map(|now| (now.epoch, Arc::clone(&now.wake)))
        };
        let Some((epoch, wake)) = held else { return false };
        revoke(&wake, why);
        self.disconnect(permit, epoch, leaving).await;
        true
    }

    /// Disconnects the clients whose log-in the current policy would not allow again. To be
    /// called after [`Authenticator::replace`](crate::auth::Authenticator::replace). Must not
    /// be cancelled.
    pub async fn disconnect_removed_users(self: &Arc<Self>) -> usize {
        let is_gone =
            |_: &str, info: &ConnectionInfo| !self.authenticator.still_valid(&log_in(info));
        self.disconnect_where(Revoked::LogInRemoved, is_gone).await
    }
}
