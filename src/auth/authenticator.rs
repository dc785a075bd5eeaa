//! Decides which clients may connect, and which may stay.

use std::sync::Arc;

use parking_lot::RwLock;

use super::exchange::{Claimed, Exchange};
use super::policy::{Policy, PolicyError};
use super::{Decision, Identity, LogIn, Request};
use crate::config::{Config, Method};

/// Created from the configuration, called at every CONNECT.
#[derive(Debug)]
pub struct Authenticator(RwLock<Arc<Policy>>);

impl Authenticator {
    /// Reads the configuration's files.
    ///
    /// # Errors
    /// A file cannot be used, or a required method cannot allow anybody.
    pub fn load(config: &Config) -> Result<Self, PolicyError> {
        Ok(Self(RwLock::new(Arc::new(Policy::load(config)?))))
    }

    /// Reads a policy without applying it.
    ///
    /// # Errors
    /// As [`Authenticator::load`].
    pub fn read(&self, config: &Config) -> Result<Policy, PolicyError> {
        Policy::load(config)
    }

    /// Applies `policy` to later CONNECTs. True if it differs from the current one: then
    /// [`Authenticator::still_valid`] says which connected clients may stay.
    pub fn replace(&self, policy: Policy) -> bool {
        let mut current = self.0.write();
        let differs = !current.says_the_same(&policy);
        if differs {
            policy.start(Some(&current));
            *current = Arc::new(policy);
        }
        differs
    }

    /// Begins what a policy needs while it is in force, such as reading keys from a URL. To be
    /// called once, on a Tokio runtime.
    pub fn start(&self) {
        self.policy().start(None);
    }

    fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.0.read())
    }

    /// Authenticates a client. May wait for a verification slot until `request.until`;
    /// dropping the future gives up its place in the queue.
    pub async fn connect(&self, request: Request<'_>) -> Decision {
        self.policy().chain(request.listener).connect(&request).await
    }

    /// Begins an enhanced authentication; `None` if the listener has no method of this name.
    /// Returns the method as well, for the metrics.
    pub fn exchange(
        &self,
        listener: &str,
        name: &str,
        claimed: Claimed<'_>,
    ) -> Option<(Method, Box<dyn Exchange>)> {
        let policy = self.policy();
        let method = policy.chain(listener).enhanced(name)?;
        Some((method.method(), method.exchange(claimed)))
    }

    /// Decides about a client that an exchange at CONNECT has verified: other methods may be
    /// required beside it. May wait, as [`Authenticator::connect`].
    pub async fn exchanged(&self, request: Request<'_>, identity: Identity) -> Decision {
        self.policy().chain(request.listener).exchanged(&request, identity).await
    }

    /// True if a connected client would be allowed again: its user exists, its password is the
    /// one that was verified, and its listener still has the method that verified it. An
    /// anonymous client has no log-in that could be taken away.
    pub fn still_valid(&self, log_in: &LogIn<'_>) -> bool {
        self.0.read().chain(log_in.listener).still_valid(log_in)
    }

    /// True if a session belongs to the user who created it (`auth.bind_client_id`).
    pub fn binds_client_ids(&self) -> bool {
        self.0.read().binds_client_ids()
    }

    #[cfg(test)]
    pub(super) fn current(&self) -> Arc<Policy> {
        self.policy()
    }
}
