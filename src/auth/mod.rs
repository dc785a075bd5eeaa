//! Authentication and access rules: who a client is, and what it may do.
//!
//! [`Authenticator::connect`] authenticates a client once, at CONNECT;
//! [`Authenticator::may_publish`] and its siblings are called at every publish, subscribe and
//! delivery. This module has the credentials and rules; the broker decides what happens to a
//! refused client, and nothing here uses a socket.

mod authenticator;
mod fair_queue;
mod hashing;
mod password_file;
mod principal;
mod rules;
mod slots;

pub use authenticator::{Authenticator, Policy};
pub use password_file::{AuthError, PasswordFile};
pub use principal::Principal;

use tokio::time::Instant;

use crate::peer::PeerAddr;
use crate::protocol::ReasonCode;
use crate::telemetry::AuthResult;

/// The data of a CONNECT that authentication uses.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The name of the listener that it came through.
    pub listener: &'a str,
    /// True if that listener can only be reached from this machine.
    pub loopback: bool,
    /// The client id that the session will have, even if the broker assigned it.
    pub client_id: &'a str,
    /// The user name in the CONNECT.
    pub username: Option<&'a str>,
    /// The password in the CONNECT.
    pub password: Option<&'a [u8]>,
    /// The remote address.
    pub peer: PeerAddr,
    /// The deadline for waiting for a verification slot.
    pub until: Instant,
}

/// The authenticated identity of a client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The verified user name; `None` for an anonymous client.
    pub username: Option<Box<str>>,
}

/// The decision about a CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The client may connect.
    Allow(Identity),
    /// The client is refused with this reason; the encoder maps it for older versions.
    Refuse(ReasonCode),
}

impl Decision {
    /// The label of the counter that it belongs to.
    pub fn as_result(&self) -> AuthResult {
        match self {
            Self::Allow(Identity { username: Some(_) }) => AuthResult::Accepted,
            Self::Allow(Identity { username: None }) => AuthResult::Anonymous,
            Self::Refuse(ReasonCode::BadUserNameOrPassword) => AuthResult::BadCredentials,
            Self::Refuse(ReasonCode::NotAuthorized) => AuthResult::NotAuthorized,
            Self::Refuse(_) => AuthResult::Busy,
        }
    }
}
