//! What differs between two configurations.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::Config;

/// Keys whose values differ, without the values, since some are secret.
pub(super) fn differences(running: &Config, new: &Config) -> Vec<String> {
    let (running, new) = (flatten(running), flatten(new));
    let keys = running.keys().chain(new.keys());
    let mut keys: Vec<String> =
        keys.filter(|key| running.get(*key) != new.get(*key)).cloned().collect();
    keys.sort();
    keys.dedup();
    keys
}

fn flatten(config: &Config) -> BTreeMap<String, Value> {
    fn walk(prefix: &str, value: Value, flat: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(table) => {
                for (key, value) in table {
                    let dot = if prefix.is_empty() { "" } else { "." };
                    walk(&format!("{prefix}{dot}{key}"), value, flat);
                }
            }
            value => {
                flat.insert(prefix.to_owned(), value);
            }
        }
    }
    let mut flat = BTreeMap::new();
    // Serialization cannot fail for these types.
    walk("", serde_json::to_value(config).unwrap_or_default(), &mut flat);
    flat
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_differ_are_named_and_no_others() {
        let (a, mut b) = (Config::default(), Config::default());
        assert!(differences(&a, &b).is_empty());
        b.mqtt.receive_maximum = 7;
        let listener = a.listeners.get("tcp").unwrap().clone();
        b.listeners.insert("other".into(), listener);
        let keys = differences(&a, &b);
        assert!(keys.contains(&"mqtt.receive_maximum".to_owned()), "{keys:?}");
        assert!(keys.contains(&"listeners.other.bind".to_owned()), "{keys:?}");
        assert!(!keys.iter().any(|key| key.starts_with("listeners.tcp")), "{keys:?}");
    }
}
