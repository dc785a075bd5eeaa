//! Decides which messages are traced.

use opentelemetry::trace::SpanContext;

use super::parent::Parent;
use crate::message::MessageId;

/// The rule for what is traced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// The ratio of messages without a `traceparent` that start their own trace, from 0 to 1;
    /// values outside this range are clamped.
    pub ratio: f64,
    /// Whether messages are traced if their `traceparent` says that the publisher's span is
    /// recorded. Otherwise no message with a `traceparent` is traced.
    pub parent: bool,
}

impl Default for Sampling {
    /// Only traces that publishers have started.
    fn default() -> Self {
        Self { ratio: 0.0, parent: true }
    }
}

/// The rule, prepared for use with each message.
#[derive(Debug)]
pub(super) struct Rule {
    /// How many of 2^64 messages start a trace; `None`: none.
    below: Option<u64>,
    parent: bool,
}

/// The decision about a message.
#[derive(Debug)]
pub(super) enum Decision {
    /// Not traced.
    No,
    /// The root of a new trace.
    Root,
    /// Part of its publisher's trace.
    Child(SpanContext),
}

impl Rule {
    pub(super) fn new(sampling: Sampling) -> Self {
        // 2^64. The conversion saturates: a larger float becomes the largest integer, NaN
        // becomes 0.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let below = (sampling.ratio.clamp(0.0, 1.0) * 18_446_744_073_709_551_616.0) as u64;
        Self { below: (below > 0).then_some(below), parent: sampling.parent }
    }

    /// True if [`Rule::decide`] has to be called: if no message starts its own trace, a
    /// message without properties is in none. Most messages are of that kind.
    #[inline]
    pub(super) fn may_take(&self, properties: &[u8]) -> bool {
        !properties.is_empty() || self.below.is_some()
    }

    /// Decides about a message that arrives.
    pub(super) fn decide(&self, message: MessageId, properties: &[u8]) -> Decision {
        match Parent::of(properties) {
            Parent::Sampled(context) if self.parent => Decision::Child(context),
            Parent::None if self.below.is_some_and(|below| scatter(message.0) <= below) => {
                Decision::Root
            }
            Parent::None | Parent::NotSampled | Parent::Sampled(_) => Decision::No,
        }
    }

    /// The sampled parent of a message that has no `receive` span.
    pub(super) fn parent_of(&self, properties: &[u8]) -> Option<SpanContext> {
        match Parent::of(properties) {
            Parent::Sampled(context) if self.parent => Some(context),
            _ => None,
        }
    }
}

/// Spreads consecutive numbers evenly over 2^64 (the finalizer of `SplitMix64`).
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
