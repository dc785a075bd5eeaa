//! Turns figment's errors into one line: the key, the layer and what is allowed.

use figment::Figment;
use figment::error::{Error, Kind};
use figment::value::Value;

use super::sources::{FILE, FLAG, VARIABLE, has_free_names};
use super::{Config, ConfigError, Origin, validate};

/// The layer that set `key`, or else the nearest table above it that a layer has set.
pub(super) fn origin(figment: &Figment, key: &str) -> Origin {
    let mut path = key;
    loop {
        if let Some(metadata) = figment.find_metadata(path) {
            return parse_origin(&metadata.name);
        }
        match path.rsplit_once('.') {
            Some((parent, _)) => path = parent,
            None => return Origin::Default,
        }
    }
}

fn parse_origin(name: &str) -> Origin {
    if let Some(path) = name.strip_prefix(FILE) {
        Origin::File(path.into())
    } else if let Some(variable) = name.strip_prefix(VARIABLE) {
        Origin::Variable(variable.to_owned())
    } else if name == FLAG {
        Origin::Flag
    } else {
        Origin::Default
    }
}

/// Turns a failed extraction into an error in the terms of the configuration.
pub(super) fn explain(figment: &Figment, error: &Error) -> ConfigError {
    let mut path = error.path.clone();
    let problem = match &error.kind {
        Kind::InvalidType(..) if is_without_a_name(&path) => {
            let table = path.first().map_or("", String::as_str);
            format!("each item of {table} has a name: write the table as [{table}.NAME]")
        }
        Kind::UnknownField(_, allowed) => unknown_key(&path, allowed),
        Kind::MissingField(field) => {
            path.push(field.to_string());
            "this key is required".to_owned()
        }
        Kind::UnknownVariant(found, allowed) => {
            format!("\"{found}\" is not allowed; it can be {}", list(allowed))
        }
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            let expected = match largest(expected) {
                Some(largest) => whole_number(figment, &path.join("."), largest),
                None => type_name(expected).to_owned(),
            };
            format!("found {}, expected {expected}", actual(found))
        }
        other => other.to_string(),
    };
    let key = path.join(".");
    let origin = origin(figment, &key);
    ConfigError::Key { key, origin, problem }
}

fn actual(found: &figment::error::Actual) -> String {
    use figment::error::Actual;
    match found {
        Actual::Str(text) => format!("\"{text}\""),
        Actual::Unsigned(number) => number.to_string(),
        Actual::Signed(number) => number.to_string(),
        Actual::Float(number) => number.to_string(),
        Actual::Bool(value) => value.to_string(),
        Actual::Map => "a table".to_owned(),
        Actual::Seq => "a list".to_owned(),
        other => other.to_string(),
    }
}

/// The largest value that the configuration can hold of an integer type.
fn largest(expected: &str) -> Option<i64> {
    match expected {
        "u16" => Some(u16::MAX.into()),
        "u32" => Some(u32::MAX.into()),
        "u64" | "usize" => Some(i64::MAX),
        _ => None,
    }
}

/// "a whole number" with the range of the key, which is mostly narrower than that of its type.
/// The range comes from the rule that refuses the largest or the smallest value of the type.
fn whole_number(figment: &Figment, key: &str, largest: i64) -> String {
    let range = [largest, 0].into_iter().find_map(|value| {
        let config: Config = figment.clone().merge((key, value)).extract().ok()?;
        let problem = validate::check(&config).err().filter(|problem| problem.key == key)?;
        problem.text.split_once("expected ").map(|(_, range)| range.to_owned())
    });
    match range {
        Some(range) => format!("a whole number from {range}"),
        None if largest == i64::MAX => "a whole number".to_owned(),
        None => format!("a whole number from 0 to {largest}"),
    }
}

/// Replaces Rust's type names, which mean nothing to the author of a configuration file.
fn type_name(expected: &str) -> &str {
    match expected {
        "a boolean" => "true or false",
        // The only numbers of this type.
        "u8" => "a QoS of 0, 1 or 2",
        "a string" | "path string" => "text",
        "a map" => "a table",
        "a sequence" => "a list",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}

/// True if a key of a listener or a bridge stands where the name belongs, or there is a list.
fn is_without_a_name(path: &[String]) -> bool {
    let is_key = |table: &str, name: &str| {
        known_paths()
            .iter()
            .any(|known| matches!(&known[..], [first, _, key] if first == table && key == name))
    };
    match path {
        [table] => has_free_names(table),
        [table, name] => has_free_names(table) && is_key(table, name),
        // An item of a list.
        [table, name, item] => {
            has_free_names(table) && is_key(table, name) && item.parse::<usize>().is_ok()
        }
        _ => false,
    }
}

fn list(allowed: &[&str]) -> String {
    allowed.iter().map(|value| format!("\"{value}\"")).collect::<Vec<_>>().join(", ")
}

fn unknown_key(path: &[String], allowed: &[&str]) -> String {
    match suggestion(path) {
        Some(key) => format!("there is no such key; did you mean {key}?"),
        None => format!("there is no such key; there are {}", allowed.join(", ")),
    }
}

/// The known key that was probably meant: one with a similar name in the same table, or one
/// with the same name in another table.
fn suggestion(path: &[String]) -> Option<String> {
    let (name, parent) = path.split_last()?;
    let known = known_paths();
    let is_sibling = |other: &[String]| match (parent, other) {
        // The user names listeners and bridges; all of them have the same keys.
        ([table, _, below @ ..], [first, _, other @ ..]) if has_free_names(table) => {
            first == table && below == other
        }
        _ => parent == other,
    };
    let near = known
        .iter()
        .filter_map(|other| other.split_last())
        .filter(|(_, other)| is_sibling(other))
        .map(|(other, _)| (distance(name, other), other))
        .filter(|(distance, other)| *distance <= (other.len() / 3).max(2))
        .min();
    if let Some((_, other)) = near {
        return Some(parent.iter().chain([other]).cloned().collect::<Vec<_>>().join("."));
    }
    known.iter().find(|other| other.last() == Some(name)).map(|other| other.join("."))
}

/// Every table and key.
fn known_paths() -> Vec<Vec<String>> {
    fn walk(value: &Value, path: &mut Vec<String>, out: &mut Vec<Vec<String>>) {
        for (name, child) in value.as_dict().into_iter().flatten() {
            path.push(name.clone());
            out.push(path.clone());
            walk(child, path, out);
            path.pop();
        }
    }
    let mut paths = Vec::new();
    if let Ok(defaults) = Value::serialize(Config::with_all_tables()) {
        walk(&defaults, &mut Vec::new(), &mut paths);
    }
    paths
}

/// The Levenshtein distance: letters to insert, delete or change to turn one word into the
/// other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut left = i + 1;
        let mut diagonal = std::mem::replace(row.first_mut().unwrap_or(&mut 0), left);
        for (b, cell) in to.iter().zip(row.iter_mut().skip(1)) {
            let change = diagonal + usize::from(a != *b);
            diagonal = *cell;
            *cell = change.min(left + 1).min(diagonal + 1);
            left = *cell;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_single_letters() {
        for (a, b, expected) in
            [("", "", 0), ("bind", "bind", 0), ("bnd", "bind", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }
}
