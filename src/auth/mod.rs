//! Who a client is, and what it may do.
//!
//! [`Authenticator::connect`] answers the first question once, at CONNECT;
//! [`Authenticator::may_publish`] and its siblings answer the second at every
//! publish, subscribe and delivery. Here live credentials and rules; what becomes
//! of a refused client is decided by the broker, and nothing here knows a socket.

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

/// What a CONNECT says about who it comes from.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The name of the listener it came through.
    pub listener: &'a str,
    /// That listener can only be reached from this machine.
    pub loopback: bool,
    /// As it will be used, also if the broker assigned it.
    pub client_id: &'a str,
    /// From the CONNECT.
    pub username: Option<&'a str>,
    /// From the CONNECT.
    pub password: Option<&'a [u8]>,
    /// The other end of the socket.
    pub peer: PeerAddr,
    /// Until then it may wait for its password to be verified.
    pub until: Instant,
}

/// Who a client has been found to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// Verified; `None` for an anonymous client.
    pub username: Option<Box<str>>,
}

/// What becomes of a CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Come in.
    Allow(Identity),
    /// The reason to answer with; the encoder maps it for the older versions.
    Refuse(ReasonCode),
}

impl Decision {
    /// The counter that it belongs to.
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
