//! Rules of `forward` and `subscribe`: filters and prefixes that have a meaning.

use super::{Wrong, wrong};
use crate::config::{Bridge, BridgeRule};
use crate::protocol::TopicFilter;

/// The side that a rule brings messages to.
struct Target {
    /// The key of its prefix.
    prefix: &'static str,
    /// Whose `$SYS` it is.
    broker: &'static str,
}

pub(super) fn check(bridge: &Bridge) -> Result<(), Wrong> {
    if bridge.forward.is_empty() && bridge.subscribe.is_empty() {
        return wrong(
            "forward",
            "neither forward nor subscribe has a rule, so that nothing would pass: add one, such \
             as forward = [{ filter = \"site/#\" }]",
        );
    }
    let remote = Target { prefix: "remote_prefix", broker: "the remote broker" };
    let local = Target { prefix: "local_prefix", broker: "this broker" };
    let (to, from) = (BridgeRule::remote_filter, BridgeRule::local_filter);
    direction("forward", &bridge.forward, from, to, &remote)?;
    direction("subscribe", &bridge.subscribe, to, from, &local)
}

type Filter = fn(&BridgeRule) -> String;

fn direction(
    key: &'static str,
    rules: &[BridgeRule],
    from: Filter,
    to: Filter,
    target: &Target,
) -> Result<(), Wrong> {
    let mut subscribed: Vec<String> = Vec::new();
    for (number, rule) in (1..).zip(rules) {
        let check = single(rule).and_then(|()| reserved(&to(rule), target));
        check.map_err(|text| (key, format!("rule {number}, {text}")))?;
        let filter = from(rule);
        if let Some(other) = subscribed.iter().position(|other| *other == filter) {
            let other = other + 1;
            return wrong(
                key,
                format!(
                    "rule {number}, filter: rule {other} is for \"{filter}\" as well, and the \
                     first decides: remove one of them"
                ),
            );
        }
        subscribed.push(filter);
    }
    Ok(())
}

/// The key of the rule that is wrong, and why.
fn single(rule: &BridgeRule) -> Result<(), String> {
    let BridgeRule { filter, qos, local_prefix, remote_prefix, .. } = rule;
    if *qos > 2 {
        return Err(format!("qos: found {qos}, expected 0 to 2"));
    }
    let prefixes = [("local_prefix", local_prefix), ("remote_prefix", remote_prefix)];
    for (key, prefix) in prefixes {
        if prefix.contains(['+', '#']) {
            return Err(format!(
                "{key}: found \"{prefix}\", expected no wildcard: those are for filter"
            ));
        }
        if prefix.starts_with("$share/") {
            return Err(format!(
                "{key}: found \"{prefix}\": the group of a shared subscription is for filter"
            ));
        }
    }
    if filter.is_empty() && (local_prefix.is_empty() || remote_prefix.is_empty()) {
        return Err("filter: found \"\", expected a topic filter such as \"site/#\"; empty only \
                    with both prefixes, for one topic"
            .to_owned());
    }
    let filters = [rule.local_filter(), rule.remote_filter()];
    for ((key, prefix), whole) in prefixes.into_iter().zip(filters) {
        let Err(error) = TopicFilter::new(&whole) else { continue };
        if prefix.is_empty() {
            return Err(format!("filter: found \"{filter}\", which is {error}"));
        }
        return Err(format!(
            "{key}: \"{prefix}\" and the filter \"{filter}\" make \"{whole}\", which is {error}"
        ));
    }
    Ok(())
}

/// Nobody may publish there.
fn reserved(filter: &str, target: &Target) -> Result<(), String> {
    if filter != "$SYS" && !filter.starts_with("$SYS/") {
        return Ok(());
    }
    let Target { prefix, broker } = target;
    Err(format!(
        "{prefix}: messages would be published to \"{filter}\", and only {broker} publishes below \
         $SYS: set {prefix}, such as \"status/\""
    ))
}
