//! Decides which messages are traced.

use opentelemetry::trace::SpanContext;

use super::parent::Parent;
use crate::message::MessageId;

/// The rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Share of the messages without a `traceparent` that begin a trace of their own: 0
    /// to 1, anything outside counts as the nearer of the two.
    pub ratio: f64,
    /// Messages whose `traceparent` says that their publisher's span is recorded are
    /// traced. Otherwise no message with a `traceparent` is.
    pub parent: bool,
}

impl Default for Sampling {
    /// No traces but those that publishers have begun.
    fn default() -> Self {
        Self { ratio: 0.0, parent: true }
    }
}

/// The rule in the form in which it is asked for each message.
#[derive(Debug)]
pub(super) struct Rule {
    /// Of 2^64 messages; `None`: none.
    below: Option<u64>,
    parent: bool,
}

/// What becomes of a message.
#[derive(Debug)]
pub(super) enum Decision {
    /// Not traced.
    No,
    /// A trace of its own.
    Root,
    /// Part of its publisher's.
    Child(SpanContext),
}

impl Rule {
    pub(super) fn new(sampling: Sampling) -> Self {
        // 2^64. A float that is too large becomes the largest integer, NaN becomes 0.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let below = (sampling.ratio.clamp(0.0, 1.0) * 18_446_744_073_709_551_616.0) as u64;
        Self { below: (below > 0).then_some(below), parent: sampling.parent }
    }

    /// Whether [`Rule::decide`] has to be asked: where none begins a trace of its own,
    /// what has no properties is in none. Most messages are of that kind.
    #[inline]
    pub(super) fn may_take(&self, properties: &[u8]) -> bool {
        !properties.is_empty() || self.below.is_some()
    }

    /// For a message that arrives.
    pub(super) fn decide(&self, message: MessageId, properties: &[u8]) -> Decision {
        match Parent::of(properties) {
            Parent::Sampled(context) if self.parent => Decision::Child(context),
            Parent::None if self.below.is_some_and(|below| scatter(message.0) <= below) => {
                Decision::Root
            }
            Parent::None | Parent::NotSampled | Parent::Sampled(_) => Decision::No,
        }
    }

    /// For a message whose arrival is not, or no more, at hand.
    pub(super) fn parent_of(&self, properties: &[u8]) -> Option<SpanContext> {
        match Parent::of(properties) {
            Parent::Sampled(context) if self.parent => Some(context),
            _ => None,
        }
    }
}

/// Spreads numbers that count up evenly over all 2^64 (the finaliser of `SplitMix64`).
fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(ratio: f64) -> usize {
        let rule = Rule::new(Sampling { ratio, parent: true });
        let root = |id: &u64| matches!(rule.decide(MessageId(*id), &[]), Decision::Root);
        (1..=100_000).filter(root).count()
    }

    #[test]
    fn what_need_not_be_asked_would_not_be_traced() {
        for ratio in [0.0, 0.5, 1.0] {
            let rule = Rule::new(Sampling { ratio, parent: true });
            let traced =
                (1..100).any(|id| !matches!(rule.decide(MessageId(id), &[]), Decision::No));
            assert_eq!(rule.may_take(&[]), traced, "{ratio}");
            assert!(rule.may_take(&[0x26]), "it may have a parent");
        }
    }

    #[test]
    fn about_the_asked_share_begins_a_trace() {
        assert_eq!(share(0.0), 0);
        assert_eq!(share(f64::NAN), 0);
        assert_eq!(share(-1.0), 0);
        assert_eq!(share(1.0), 100_000);
        assert_eq!(share(7.0), 100_000);
        let tenth = share(0.1);
        assert!((9_500..=10_500).contains(&tenth), "{tenth}");
    }
}
