//! One rule of a bridge: which topics pass, and under which names.

use serde::{Deserialize, Serialize};

/// The prefix of a shared subscription's filter.
const SHARE: &str = "$share/";

/// An item of `bridges.NAME.forward` or `bridges.NAME.subscribe`, with Mosquitto's meaning of
/// prefixes. With `forward`, `local_prefix` and `filter` together are subscribed to here; a
/// message's topic loses the local prefix and gets the remote one. With `subscribe` the two
/// sides are exchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BridgeRule {
    /// A topic filter, or `$share/GROUP/` and one. Empty to map one topic to another, with
    /// both prefixes set.
    pub filter: String,
    /// The highest QoS at which a message passes, 0 to 2. One of a higher QoS is lowered.
    pub qos: u8,
    /// What topics begin with at this broker; without wildcards.
    pub local_prefix: String,
    /// What topics begin with at the remote broker; without wildcards.
    pub remote_prefix: String,
    /// False: messages pass without the RETAIN flag.
    pub retain: bool,
}

impl Default for BridgeRule {
    fn default() -> Self {
        Self {
            filter: String::new(),
            qos: 2,
            local_prefix: String::new(),
            remote_prefix: String::new(),
            retain: true,
        }
    }
}

impl BridgeRule {
    /// The filter as this broker knows it. A group of a shared subscription stays in front.
    pub fn local_filter(&self) -> String {
        self.prefixed(&self.local_prefix)
    }

    /// The filter as the remote broker knows it.
    pub fn remote_filter(&self) -> String {
        self.prefixed(&self.remote_prefix)
    }

    /// True if the subscription is shared.
    pub fn is_shared(&self) -> bool {
        self.filter.starts_with(SHARE)
    }

    fn prefixed(&self, prefix: &str) -> String {
        let (group, filter) = self.parts();
        format!("{group}{prefix}{filter}")
    }

    /// `$share/GROUP/`, or nothing, and what follows it.
    fn parts(&self) -> (&str, &str) {
        let filter = self.filter.as_str();
        let group = filter.strip_prefix(SHARE).and_then(|rest| rest.find('/'));
        group.map_or(("", filter), |end| filter.split_at(SHARE.len() + end + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_stands_before_the_filter_and_behind_the_group() {
        for (filter, local, remote) in [
            ("a/#", "l/a/#", "r/a/#"),
            ("", "l/", "r/"),
            ("$share/g/a/#", "$share/g/l/a/#", "$share/g/r/a/#"),
            ("$SYS/#", "l/$SYS/#", "r/$SYS/#"),
            // No group: an error that the topic filter finds.
            ("$share/g", "l/$share/g", "r/$share/g"),
        ] {
            let rule = BridgeRule {
                filter: filter.to_owned(),
                local_prefix: "l/".to_owned(),
                remote_prefix: "r/".to_owned(),
                ..BridgeRule::default()
            };
            assert_eq!(
                (rule.local_filter().as_str(), rule.remote_filter().as_str()),
                (local, remote)
            );
        }
    }
}
