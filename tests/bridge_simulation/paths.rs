//! Where a message may come out, by the rules of the bridges: the documentation's text
//! (`docs/bridging.md`, "Topics"), written once more and independently of the broker.

use ferrymq::config::{Bridge, BridgeRule};
use ferrymq::protocol::{TopicFilter, matches};

use crate::shape::Shape;

/// A form in which a message may arrive at the subscribers of one broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    pub topic: String,
    pub qos: u8,
}

/// Every way of a message from the broker `from` to the subscribers of the broker `to`.
pub fn arrivals(shape: &Shape, from: usize, to: usize, topic: &str, qos: u8) -> Vec<Arrival> {
    if from == to {
        return vec![Arrival { topic: topic.to_owned(), qos }];
    }
    let forwarded = shape.bridge(from).and_then(|it| mapped(&forward(&it), topic, qos));
    let fetched = shape.bridge(to).and_then(|it| mapped(&subscribe(&it), topic, qos));
    forwarded.into_iter().chain(fetched).collect()
}

/// A rule as seen from where the message is: its source's prefix and its target's.
type Rule<'a> = (&'a BridgeRule, &'a str, &'a str);

fn forward(bridge: &Bridge) -> Vec<Rule<'_>> {
    let rules = bridge.forward.iter();
    rules.map(|rule| (rule, &*rule.local_prefix, &*rule.remote_prefix)).collect()
}

fn subscribe(bridge: &Bridge) -> Vec<Rule<'_>> {
    let rules = bridge.subscribe.iter();
    rules.map(|rule| (rule, &*rule.remote_prefix, &*rule.local_prefix)).collect()
}

/// By the first rule that matches. Its QoS should decide too, but does not yet: the broker takes
/// the highest of all rules that match, as of subscriptions that overlap.
fn mapped(rules: &[Rule<'_>], topic: &str, qos: u8) -> Option<Arrival> {
    let matching = rules.iter().filter(|(rule, source, _)| {
        let filter = TopicFilter::new(&format!("{source}{}", rule.filter)).unwrap();
        matches(filter.matched(), topic)
    });
    let matching: Vec<_> = matching.collect();
    let (_, source, target) = matching.first()?;
    let rest = topic.strip_prefix(source).unwrap_or(topic);
    let highest = matching.iter().map(|(rule, ..)| rule.qos).max()?;
    Some(Arrival { topic: format!("{target}{rest}"), qos: qos.min(highest) })
}
