//! Decisions of access rules that are remembered by topic, where they take a search among many
//! rules. Which rules concern a client is not known here: whoever gets other rules makes new
//! ones.

use crate::auth::acl::{Access, Decision};
use crate::protocol::QoS;

/// The longest topic whose decision is remembered, in bytes.
const LONGEST: usize = 128;

/// Topics whose decisions are remembered, if a decision takes a search among many rules.
const REMEMBERED: usize = 8;

/// Bytes that [`Decisions`] take at most. A topic's buffer may be twice as long as needed.
pub(super) const MOST_BYTES: u64 = (REMEMBERED * (size_of::<Slot>() + 2 * LONGEST)) as u64;

/// The last decisions about the topics of one client. Clients tend to repeat a few in turn.
#[derive(Debug)]
pub(super) struct Decisions {
    /// Each topic has one slot, in which it replaces another one. Empty before the first
    /// decision.
    slots: Box<[Slot]>,
    /// 0: nothing is remembered, since a few comparisons take less time than to find a slot.
    most: usize,
    hasher: ahash::RandomState,
}

/// A decision, and what was asked.
#[derive(Debug, Default)]
struct Slot {
    topic: String,
    about: Option<(QoS, bool)>,
    decision: Option<Decision>,
}

impl Decisions {
    pub(super) fn new(access: &Access) -> Self {
        Self::remembering(if access.is_short() { 0 } else { REMEMBERED })
    }

    fn remembering(most: usize) -> Self {
        Self { slots: Box::default(), most, hasher: ahash::RandomState::new() }
    }

    /// The decision about a topic; `about` is what else it depends on.
    pub(super) fn of(
        &mut self,
        topic: &str,
        about: Option<(QoS, bool)>,
        decide: impl FnOnce() -> Decision,
    ) -> Decision {
        if self.most == 0 || topic.len() > LONGEST {
            return decide();
        }
        if self.slots.is_empty() {
            self.slots = std::iter::repeat_with(Slot::default).take(self.most).collect();
        }
        #[allow(clippy::cast_possible_truncation)] // A few bits of the hash are used.
        let at = self.hasher.hash_one(topic) as usize % self.slots.len();
        let Some(slot) = self.slots.get_mut(at) else { return decide() };
        match slot.decision {
            Some(decision) if slot.about == about && slot.topic == topic => decision,
            _ => {
                let decision = decide();
                slot.topic.clear();
                slot.topic.push_str(topic);
                (slot.about, slot.decision) = (about, Some(decision));
                decision
            }
        }
    }

    /// Bytes that it takes in memory besides this.
    pub(super) fn memory(&self) -> usize {
        let topics: usize = self.slots.iter().map(|slot| slot.topic.capacity()).sum();
        size_of_val(&*self.slots) + topics
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::acl::{Effect, Origin};

    /// Allowed if the topic begins with `a`, from QoS 1 on not.
    fn decide(topic: &str, qos: QoS) -> Decision {
        let allowed = topic.starts_with('a') && qos == QoS::AtMostOnce;
        let effect = if allowed { Effect::Allow } else { Effect::Deny };
        Decision { effect, origin: Origin::NoRule }
    }

    #[test]
    fn a_remembered_decision_is_the_one_that_would_be_made() {
        for slots in [0, 1, 2, REMEMBERED] {
            let mut decisions = Decisions::remembering(slots);
            for round in 0..3 {
                for number in 0..40 {
                    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
                        let topic = format!("{}{}", ["a", "b"][number % 2], number * 7 % 20);
                        let expected = decide(&topic, qos);
                        let found =
                            decisions.of(&topic, Some((qos, false)), || decide(&topic, qos));
                        assert_eq!(found, expected, "{topic}, {slots} slots, round {round}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_few_topics_in_turn_are_decided_once_and_long_ones_take_no_memory() {
        let mut decisions = Decisions::remembering(REMEMBERED);
        let mut made = 0;
        for _ in 0..100 {
            decisions.of("a/b", None, || {
                made += 1;
                decide("a", QoS::AtMostOnce)
            });
        }
        assert_eq!(made, 1);
        let before = decisions.memory();
        decisions.of(&"a".repeat(LONGEST + 1), None, || decide("a", QoS::AtMostOnce));
        assert_eq!(decisions.memory(), before);
    }
}
