//! What is known of a bridge's connection: written by its link, read by metrics, the API and
//! the console.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::message::WallMillis;
use crate::protocol::Version;

/// The state of a link.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LinkState {
    /// It is about to connect, or connecting.
    #[default]
    Connecting,
    /// It is connected.
    Connected,
    /// It connects again after some time.
    Waiting,
    /// An operator has paused it, or `bridges.NAME.paused` is set.
    Paused,
    /// It stopped before a message that the other end refuses, until an operator resumes it.
    Stopped,
}

impl LinkState {
    /// As the API and the console show it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// Why a connection ended or was not established, for the counter of reconnects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// No TCP, TLS or WebSocket connection.
    Unreachable,
    /// CONNACK refused, or the connection closed instead.
    Refused,
    /// The connection was lost, or nothing was acknowledged or heard in time.
    Lost,
    /// The other end sent DISCONNECT.
    Disconnected,
    /// This broker ended the connection, because the other end broke a rule.
    Ended,
}

impl Failure {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 5] =
        [Self::Unreachable, Self::Refused, Self::Lost, Self::Disconnected, Self::Ended];

    /// As a label of a metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Lost => "lost",
            Self::Disconnected => "disconnected",
            Self::Ended => "ended",
        }
    }
}

/// What is known of a link at one moment.
#[derive(Debug, Clone, Default)]
pub struct LinkView {
    /// See [`LinkState`].
    pub state: LinkState,
    /// The address that is or was last tried.
    pub address: Option<Arc<str>>,
    /// The version of MQTT of the connection, while it is connected.
    pub version: Option<Version>,
    /// Since when it is in this state.
    pub since: Option<WallMillis>,
    /// Attempts since it was last connected.
    pub attempts: u32,
    /// What went wrong last, in words.
    pub last_error: Option<Arc<str>>,
    /// How often the connection had to be established again, by reason.
    pub failures: BTreeMap<Failure, u64>,
}

/// Shared by a link and those who look at it.
#[derive(Debug, Default)]
pub struct LinkStatus(Mutex<LinkView>);

impl LinkStatus {
    /// What is known now.
    pub fn view(&self) -> LinkView {
        self.0.lock().clone()
    }

    /// Changes what is known.
    pub(super) fn update(&self, change: impl FnOnce(&mut LinkView)) {
        change(&mut self.0.lock());
    }

    pub(super) fn enter(&self, state: LinkState, now: WallMillis) {
        self.update(|view| {
            if view.state != state {
                view.since = Some(now);
            }
            if state != LinkState::Connected {
                view.version = None;
            }
            view.state = state;
        });
    }
}
