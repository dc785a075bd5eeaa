//! Enhanced authentication (MQTT 5.0, 4.12): methods that a client names in CONNECT and whose
//! data travels in AUTH packets. Pure state machines; `net/enhanced.rs` and
//! `broker/client/log_in.rs` exchange the packets.

use std::fmt;

use super::Identity;
use crate::config::Method;
use crate::message::WallMillis;
use crate::protocol::ReasonCode;

/// What follows from data that the client has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The client is sent this data in an AUTH with reason code 0x18, and answers.
    Continue(Vec<u8>),
    /// The client is authenticated; the data, if any, is sent in the CONNACK, or in the AUTH
    /// with reason code 0x00 that ends a re-authentication.
    Done(Identity, Option<Vec<u8>>),
    /// The client is refused.
    Refuse(ReasonCode),
}

/// One client's authentication. It is not used any more after [`Step::Done`] and
/// [`Step::Refuse`].
pub trait Exchange: fmt::Debug + Send + Sync {
    /// Takes the Authentication Data of CONNECT, or of the AUTH with reason code 0x19 that
    /// begins a re-authentication. Empty if the packet had none.
    fn begin(&mut self, data: &[u8]) -> Step;

    /// Takes the Authentication Data of the answer to [`Step::Continue`].
    fn next(&mut self, data: &[u8]) -> Step;
}

/// What the client's CONNECT says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Claimed<'a> {
    /// The user name.
    pub username: Option<&'a str>,
    /// The client id; empty at a CONNECT without one.
    pub client_id: &'a str,
    /// The broker's time.
    pub now: WallMillis,
}

/// A method of enhanced authentication.
pub trait EnhancedMethod: fmt::Debug + Send + Sync {
    /// The Authentication Method, such as `SCRAM-SHA-256`.
    fn name(&self) -> &'static str;

    /// The method of which its [`Identity`] is.
    fn method(&self) -> Method;

    /// Begins an authentication.
    fn exchange(&self, claimed: Claimed<'_>) -> Box<dyn Exchange>;

    /// True if a client that was authenticated with [`Identity::credential`] may stay
    /// connected.
    fn still_has(&self, user: &str, credential: u64) -> bool;

    /// A number that stands for its keys and users, so that a reload can tell whether anything
    /// has changed.
    fn fingerprint(&self) -> u64;
}
