//! Bridges: sessions whose client is another broker, which this one dials.
//!
//! A bridge's session is like any other, with three differences: it never expires, it has
//! limits of its own, and its client id, which begins with [`PREFIX`], is nobody else's. What
//! all connections of one bridge share is in [`BridgeTerms`]. Dialling is not done here: see
//! `crate::bridge`.

mod refusals;
mod session;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

pub use self::refusals::{Refusals, Verdict, Window};
pub use self::session::{Backlog, LISTENER, peer_of};

use crate::protocol::ReasonCode;
use crate::router::TopicMap;
use crate::session::Limits;
use crate::sync::Mutex;
use crate::token_bucket::Rate;

/// What the client ids of bridges' sessions begin with. No client may use it.
pub const PREFIX: &str = "bridge:";

/// The client id and user name of a bridge at this broker.
pub fn principal_of(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// What happens to a message that the other end refuses for good: `bridges.NAME.on_refused`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnRefused {
    /// It becomes a dead letter.
    #[default]
    DeadLetter,
    /// The bridge stops before it.
    Stop,
}

/// What a bridge has done since the process began.
#[derive(Debug, Default)]
pub struct Counts {
    /// Messages that the other end has acknowledged, and those of QoS 0 that were sent.
    pub forwarded: AtomicU64,
    /// What was brought forward: acknowledged deliveries, dead letters, and messages of the other end
    /// that were taken.
    pub progress: AtomicU64,
    /// Messages of the other end that were taken.
    pub received: AtomicU64,
    /// Dead letters by reason code.
    pub dead_letters: Mutex<BTreeMap<u8, u64>>,
    /// When the oldest message of its queue was accepted, in milliseconds since 1970, as was
    /// last known: it cannot be seen while it waits on disk. 0: never seen.
    pub oldest: AtomicU64,
}

impl Counts {
    /// Counts a dead letter.
    pub(super) fn dead_letter(&self, reason: ReasonCode) {
        *self.dead_letters.lock().entry(reason as u8).or_default() += 1;
    }
}

/// What the connections of one bridge share. Replaced as a whole when its configuration
/// changes.
#[derive(Debug)]
pub struct BridgeTerms {
    /// The bridge's name in the configuration.
    pub name: Arc<str>,
    /// The limits of its session; `None`: those of other sessions.
    pub limits: Option<Arc<Limits>>,
    /// QoS 1 and 2 messages that the other end may send before the first of them is answered, as
    /// it is told in CONNECT; `None`: `mqtt.receive_maximum`.
    pub receive_maximum: Option<u16>,
    /// Topics on their way to the other end; `None`: they stay as they are.
    pub forward: Option<TopicMap>,
    /// Topics on their way from the other end; `None`: they stay as they are.
    pub subscribe: Option<TopicMap>,
    /// See [`OnRefused`].
    pub on_refused: OnRefused,
    /// Dead letters that are kept.
    pub max_dead_letters: u32,
    /// How long the other end may leave everything unacknowledged; `None`: for ever.
    pub ack_timeout: Option<Duration>,
    /// Messages in a second that are sent at most.
    pub message_rate: Option<Rate>,
    /// Bytes in a second that are sent at most.
    pub byte_rate: Option<Rate>,
    /// What the other end has refused.
    pub refusals: Mutex<Refusals>,
    /// Outlives the terms when the configuration changes.
    pub counts: Arc<Counts>,
}

impl Default for BridgeTerms {
    fn default() -> Self {
        Self {
            name: "".into(),
            limits: None,
            receive_maximum: None,
            forward: None,
            subscribe: None,
            on_refused: OnRefused::default(),
            max_dead_letters: 1000,
            ack_timeout: None,
            message_rate: None,
            byte_rate: None,
            refusals: Mutex::default(),
            counts: Arc::default(),
        }
    }
}
