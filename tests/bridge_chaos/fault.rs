//! The faults, and how often each occurs.

use std::collections::BTreeMap;
use std::fmt;

use crate::common::rng::Rng;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Mostly within a packet.
    Cut,
    /// Bytes are held back for a while, in both directions.
    Stall,
    /// What the bridge sends does not arrive any more.
    SilentToRemote,
    /// What the remote broker sends does not arrive any more.
    SilentToBridge,
    Throttle,
    KillEdge,
    KillRemote,
    /// SIGTERM, and a new start.
    RestartRemote,
}

use Fault::{
    Cut, KillEdge, KillRemote, RestartRemote, SilentToBridge, SilentToRemote, Stall, Throttle,
};

pub const ALL: [Fault; 8] =
    [Cut, Stall, SilentToRemote, SilentToBridge, Throttle, KillEdge, KillRemote, RestartRemote];

/// All that a remote broker survives whose sessions are on disk only after it ended in order.
pub const WITHOUT_KILLS_OF_THE_REMOTE: [Fault; 7] =
    [Cut, Stall, SilentToRemote, SilentToBridge, Throttle, KillEdge, RestartRemote];

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Cut => "cuts",
            Stall => "stalls",
            SilentToRemote => "half-open to the remote",
            SilentToBridge => "half-open to the bridge",
            Throttle => "throttled",
            KillEdge => "kill -9 of the edge",
            KillRemote => "kill -9 of the remote",
            RestartRemote => "restarts of the remote",
        }
    }
}

/// Each fault equally often, in random order.
pub fn deal(kinds: &[Fault], count: usize, rng: &mut Rng) -> Vec<Fault> {
    let mut dealt = Vec::with_capacity(count + kinds.len());
    while dealt.len() < count {
        let mut deck = kinds.to_vec();
        while !deck.is_empty() {
            dealt.push(deck.swap_remove(rng.index(deck.len())));
        }
    }
    dealt.truncate(count);
    dealt
}

/// How often each occurred.
#[derive(Debug, Default)]
pub struct Counts(BTreeMap<Fault, u32>);

impl Counts {
    pub fn add(&mut self, fault: Fault) {
        *self.0.entry(fault).or_default() += 1;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.0.iter().map(|(fault, count)| format!("{count} {}", fault.name()));
        f.write_str(&parts.collect::<Vec<_>>().join(", "))
    }
}
