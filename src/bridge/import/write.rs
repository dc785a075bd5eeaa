//! Writes bridges as TOML: what differs from the defaults, in an order that people read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use toml::{Table, Value};

use crate::config::{Bridge, BridgeRule};

/// Keys that come first, in this order. The rest follows by name.
const FIRST: [&str; 5] = ["addresses", "version", "client_id", "username", "password_file"];
const RULES: [&str; 2] = ["forward", "subscribe"];

pub(super) fn toml(bridges: &BTreeMap<String, Bridge>) -> String {
    let tables = bridges.iter().map(|(name, bridge)| table(name, bridge));
    tables.collect::<Vec<_>>().join("\n")
}

fn table(name: &str, bridge: &Bridge) -> String {
    let mut keys = differing(bridge, &Bridge::default());
    let mut out = format!("[bridges.{name}]\n");
    let mut tables = Vec::new();
    let mut rules: Vec<(&str, Value)> = Vec::new();
    for key in RULES {
        rules.extend(keys.remove(key).map(|value| (key, value)));
    }
    let first = FIRST.iter().filter_map(|key| keys.remove_entry(*key)).collect::<Vec<_>>();
    for (key, value) in first.into_iter().chain(keys) {
        match value {
            Value::Table(table) => tables.push((key, table)),
            value => line(&mut out, &key, &value),
        }
    }
    for (key, value) in rules {
        let items = value.as_array().into_iter().flatten().map(rule);
        let _ = writeln!(out, "{key} = [\n{}]", items.collect::<String>());
    }
    for (key, table) in tables {
        let _ = writeln!(out, "\n[bridges.{name}.{key}]");
        for (key, value) in table.iter().filter(|(_, value)| !is_empty(value)) {
            line(&mut out, key, value);
        }
    }
    out
}

fn line(out: &mut String, key: &str, value: &Value) {
    let _ = writeln!(out, "{key} = {value}");
}

/// One rule in one line: filter, QoS, and what else is not as usual.
fn rule(rule: &Value) -> String {
    let usual = Table::try_from(BridgeRule::default()).unwrap_or_default();
    let keys = ["filter", "qos", "local_prefix", "remote_prefix", "retain"];
    let shown = keys.into_iter().filter_map(|key| {
        let value = rule.get(key)?;
        let is_shown = ["filter", "qos"].contains(&key) || usual.get(key) != Some(value);
        is_shown.then(|| format!("{key} = {value}"))
    });
    format!("  {{ {} }},\n", shown.collect::<Vec<_>>().join(", "))
}

fn differing(bridge: &Bridge, usual: &Bridge) -> Table {
    let table = |bridge| Table::try_from(bridge).unwrap_or_default();
    let (all, usual) = (table(bridge), table(usual));
    all.into_iter().filter(|(key, value)| usual.get(key) != Some(value)).collect()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}
