//! Which version of MQTT a bridge speaks, and whether it says that it is a bridge. Pure.
//!
//! With `version = "auto"` it is 5.0 until the other end refuses that. Before 5.0, the highest
//! bit of the level says that the client is a bridge (`try_private`); brokers that do not know
//! it refuse the version, too.

use crate::config::{Bridge, BridgeVersion};
use crate::protocol::Version;

/// A version, and whether the bit of bridges is set.
type Choice = (Version, bool);

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    choices: [Option<Choice>; 3],
    at: usize,
    /// The other end has accepted this one, and not refused it since.
    settled: bool,
    /// The other end has accepted this one.
    accepted: bool,
}

impl Dialect {
    /// The first one that the configuration allows.
    pub fn of(bridge: &Bridge) -> Self {
        let v5 = (bridge.version != BridgeVersion::V311).then_some((Version::V5, false));
        let before = bridge.version != BridgeVersion::V5;
        let private = (before && bridge.try_private).then_some((Version::V311, true));
        let plain = before.then_some((Version::V311, false));
        let mut dialect =
            Self { choices: [v5, private, plain], at: 0, settled: false, accepted: false };
        dialect.skip();
        dialect
    }

    fn skip(&mut self) {
        while self.at < self.choices.len() && self.choices.get(self.at).copied().flatten().is_none()
        {
            self.at += 1;
        }
    }

    /// The one to try now.
    pub fn current(self) -> Choice {
        self.choices.get(self.at).copied().flatten().unwrap_or((Version::V311, false))
    }

    /// The other end has accepted it.
    pub fn settle(&mut self) {
        self.settled = true;
        self.accepted = true;
    }

    /// The other end has closed the connection without a word. As [`Dialect::advance`], but one
    /// that was ever accepted stays: whatever stands before a broker that is down closes as well,
    /// and an older version loses properties and what prevents circles.
    pub fn guess(&mut self) -> bool {
        !self.accepted && self.advance()
    }

    /// The other end does not know it. False: there is no other one that was
    /// not tried, and it begins with the first again.
    pub fn advance(&mut self) -> bool {
        // One that was accepted before is not given up for one refusal: the other end may only
        // have been starting.
        if std::mem::take(&mut self.settled) {
            return false;
        }
        self.accepted = false;
        self.at += 1;
        self.skip();
        let is_another = self.at < self.choices.len();
        if !is_another {
            self.at = 0;
            self.skip();
        }
        is_another
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(bridge: &Bridge) -> Vec<Choice> {
        let mut dialect = Dialect::of(bridge);
        let mut tried = vec![dialect.current()];
        while dialect.advance() {
            tried.push(dialect.current());
        }
        assert_eq!(dialect, Dialect::of(bridge), "it begins again");
        tried
    }

    #[test]
    fn auto_tries_5_0_then_3_1_1_as_a_bridge_then_as_a_client() {
        let mut bridge = Bridge::default();
        let (v5, v311) = ((Version::V5, false), Version::V311);
        assert_eq!(tried(&bridge), [v5, (v311, true), (v311, false)]);
        bridge.try_private = false;
        assert_eq!(tried(&bridge), [v5, (v311, false)]);
        bridge.version = BridgeVersion::V311;
        assert_eq!(tried(&bridge), [(v311, false)]);
        bridge.version = BridgeVersion::V5;
        assert_eq!(tried(&bridge), [v5]);
    }

    #[test]
    fn what_was_accepted_is_not_given_up_for_one_refusal() {
        let mut dialect = Dialect::of(&Bridge::default());
        assert!(dialect.advance());
        dialect.settle();
        let accepted = dialect.current();
        assert!(!dialect.advance());
        assert_eq!(dialect.current(), accepted);
        assert!(dialect.advance());
    }

    #[test]
    fn what_was_accepted_is_never_given_up_because_the_other_end_closes() {
        let mut dialect = Dialect::of(&Bridge::default());
        let first = dialect.current();
        dialect.settle();
        for _ in 0..5 {
            assert!(!dialect.guess());
            assert_eq!(dialect.current(), first);
        }
        // It was replaced by one that does not know the version, and says so.
        while !dialect.advance() {}
        assert_ne!(dialect.current(), first);
        assert!(dialect.guess(), "nothing was accepted in this version");
    }
}
