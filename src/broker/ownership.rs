//! A session belongs to the user who created it (`auth.bind_client_id`): with its client id
//! alone, another user would get its queue.
//!
//! | Owner | CONNECT by | Result |
//! | --- | --- | --- |
//! | nobody | an anonymous client | it gets the session, which stays nobody's |
//! | nobody | a user | the user gets the session and owns it from now on |
//! | a user | the same user | the user gets the session |
//! | a user | anyone else | refused, also with Clean Start, which would end the session |
//!
//! The owner is in the session's row, so it survives a restart if the session does.

use super::Broker;
use crate::message::WallMillis;
use crate::session::Session;

impl Broker {
    /// True if a client that was verified as `user` may have the session or end it.
    pub(super) fn may_claim(&self, session: &Session, user: Option<&str>, now: WallMillis) -> bool {
        let Some(owner) = session.owner.as_deref() else { return true };
        // What has expired is nobody's, although its timer may not have run yet.
        let is_over =
            session.life.is_ended() || session.life.expires_at().is_some_and(|at| at <= now);
        user == Some(owner) || is_over || !self.authenticator.binds_client_ids()
    }
}
