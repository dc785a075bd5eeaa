//! Enhanced authentication (MQTT 5.0, 4.12): methods that a client names in CONNECT and whose
//! data travels in AUTH packets. State machines without packets: `net/enhanced.rs` and
//! `broker/client/log_in.rs` exchange these.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::Identity;
use crate::config::Method;
use crate::message::WallMillis;
use crate::peer::PeerAddr;
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

/// The next step of an exchange, or the work that leads to it.
#[derive(Debug)]
pub enum NextStep {
    /// It is known.
    Known(Step),
    /// It is known when this ends.
    Verifies(Verification),
}

impl NextStep {
    /// Waits for the step.
    pub async fn reached(self) -> Step {
        match self {
            Self::Known(step) => step,
            Self::Verifies(verification) => verification.await,
        }
    }
}

impl From<Step> for NextStep {
    fn from(step: Step) -> Self {
        Self::Known(step)
    }
}

/// A verification that takes too long for a thread that serves connections. It runs elsewhere,
/// within the bounds for its address. It ends at [`Claimed::until`] at the latest; dropping it
/// gives up its place in the queue.
pub struct Verification(Pin<Box<dyn Future<Output = Step> + Send + Sync>>);

impl Verification {
    /// Does nothing before it is polled.
    pub fn new(verification: impl Future<Output = Step> + Send + Sync + 'static) -> Self {
        Self(Box::pin(verification))
    }
}

impl Future for Verification {
    type Output = Step;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Step> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verification(..)")
    }
}

/// One client's authentication. It is not used any more after [`Step::Done`] and
/// [`Step::Refuse`].
pub trait Exchange: fmt::Debug + Send + Sync {
    /// Takes the Authentication Data of CONNECT, or of the AUTH with reason code 0x19 that
    /// begins a re-authentication. Empty if the packet had none.
    fn begin(&mut self, data: &[u8]) -> NextStep;

    /// Takes the Authentication Data of the answer to [`Step::Continue`].
    fn next(&mut self, data: &[u8]) -> NextStep;
}

/// What is known of a client that begins an exchange.
#[derive(Debug, Clone, Copy)]
pub struct Claimed<'a> {
    /// The user name in its CONNECT.
    pub username: Option<&'a str>,
    /// The client id in its CONNECT, which may be empty; at a re-authentication, that of its
    /// session.
    pub client_id: &'a str,
    /// The remote address.
    pub peer: PeerAddr,
    /// The deadline for a verification.
    pub until: Instant,
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
