//! Authentication and access rules: who a client is, and what it may do.
//!
//! [`Authenticator::connect`] authenticates a client once, at CONNECT: it asks the methods of
//! the listener's chain (`chain.rs`) in their order. [`acl::Access`] is asked at every publish,
//! subscribe and delivery, by the rules in [`CurrentRules`]. This module has the credentials
//! and rules; the broker decides what happens to a refused client, and nothing here uses a
//! client's socket.

pub mod acl;
mod authenticator;
pub mod bans;
pub mod callback;
mod certificate;
mod chain;
mod exchange;
mod external_clock;
mod fair_queue;
mod hashing;
mod http_method;
pub mod jwt;
mod jwt_method;
mod password_file;
mod passwords;
mod policy;
mod principal;
mod private_file;
mod rules;
pub mod scram;
mod scram_method;
mod slots;
#[cfg(test)]
pub(crate) mod tests;
mod user_file;

pub use authenticator::Authenticator;
pub use exchange::{Claimed, EnhancedMethod, Exchange, NextStep, Step, Verification};
pub use password_file::{AuthError, PasswordFile};
pub use policy::{Policy, PolicyError};
pub use principal::Principal;
pub use rules::{CurrentRules, RulesError};

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use crate::config::Method;
use crate::message::WallMillis;
use crate::peer::{ClientCertificate, PeerAddr};
use crate::protocol::{ReasonCode, Redacted};
use crate::telemetry::{AuthMethod, AuthResult};

/// The data of a CONNECT that authentication uses.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The name of the listener that it came through.
    pub listener: &'a str,
    /// True if that listener can only be reached from this machine, and not through a proxy.
    pub loopback: bool,
    /// The client id in the CONNECT. Empty if the broker is to assign one, which it does after
    /// the client is authenticated.
    pub client_id: &'a str,
    /// The user name in the CONNECT.
    pub username: Option<&'a str>,
    /// The password in the CONNECT.
    pub password: Option<&'a [u8]>,
    /// The certificate that its transport has verified.
    pub certificate: Option<&'a Arc<ClientCertificate>>,
    /// The remote address.
    pub peer: PeerAddr,
    /// The deadline for waiting for a verification slot, or for a server.
    pub until: Instant,
    /// The broker's time.
    pub now: WallMillis,
}

/// Without the password.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            listener,
            loopback,
            client_id,
            username,
            password,
            certificate,
            peer,
            until,
            now,
        } = self;
        f.debug_struct("Request")
            .field("listener", listener)
            .field("loopback", loopback)
            .field("client_id", client_id)
            .field("username", username)
            .field("password", &password.map(Redacted::of))
            .field("certificate", certificate)
            .field("peer", peer)
            .field("until", until)
            .field("now", now)
            .finish()
    }
}

/// The authenticated identity of a client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The verified user name; `None` for an anonymous client, and for one without a user name
    /// that an authentication server has allowed.
    pub username: Option<Box<str>>,
    /// The method that verified it; `None` for an anonymous client.
    pub method: Option<Method>,
    /// Access rules that came with the log-in, before all others.
    pub rules: Option<acl::LogInRules>,
    /// When the log-in ends, such as the `exp` of a token.
    pub expires_at: Option<WallMillis>,
    /// Stands for the secret that was verified: it differs after the user's password or key
    /// has changed. 0 if the method has none. Not to be logged.
    pub credential: u64,
    /// What methods have added that were required beside an exchange: a renewal repeats the
    /// exchange, and not those.
    pub others: Option<Box<Others>>,
}

/// What required methods have added to what an exchange has verified.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Others {
    /// The first end among them.
    pub expires_at: Option<WallMillis>,
    /// The rules of the first of them that has any.
    pub rules: Option<acl::LogInRules>,
}

/// The log-in of a connected client, for the question whether it still holds.
#[derive(Debug, Clone, Copy)]
pub struct LogIn<'a> {
    /// The name of the listener that it came through.
    pub listener: &'a str,
    /// As in [`Identity`].
    pub username: Option<&'a str>,
    /// As in [`Identity`].
    pub method: Option<Method>,
    /// As in [`Identity`].
    pub credential: u64,
    /// The certificate that its transport has verified.
    pub certificate: Option<&'a ClientCertificate>,
}

/// What one method says about a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The client may connect.
    Allow(Identity),
    /// It may not, whatever other methods say.
    Refuse(ReasonCode),
    /// The client has given nothing that this method can verify.
    NotMine,
}

/// The decision about a CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The client may connect.
    Allow(Identity),
    /// The client is refused.
    Refuse {
        /// For the CONNACK; the encoder maps it for older versions.
        reason: ReasonCode,
        /// The method that decided; `None` if nobody did.
        by: Option<Method>,
    },
}

impl Decision {
    /// The labels of the counter that it belongs to.
    pub fn as_labels(&self) -> (AuthMethod, AuthResult) {
        match self {
            // By its method, since an authentication server may allow a client without a name.
            Self::Allow(Identity { method: None, .. }) => {
                (AuthMethod::Nobody, AuthResult::Anonymous)
            }
            Self::Allow(Identity { method, .. }) => (label(*method), AuthResult::Accepted),
            Self::Refuse { reason, by } => {
                let result = match reason {
                    ReasonCode::BadUserNameOrPassword => AuthResult::BadCredentials,
                    ReasonCode::NotAuthorized => AuthResult::NotAuthorized,
                    _ => AuthResult::Busy,
                };
                (label(*by), result)
            }
        }
    }
}

fn label(method: Option<Method>) -> AuthMethod {
    match method {
        None => AuthMethod::Nobody,
        Some(Method::Certificate) => AuthMethod::Certificate,
        Some(Method::Jwt) => AuthMethod::Jwt,
        Some(Method::Password) => AuthMethod::Password,
        Some(Method::Http) => AuthMethod::Http,
        Some(Method::Scram) => AuthMethod::Scram,
    }
}
