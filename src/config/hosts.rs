//! Host names that HTTP accepts.

use std::fmt;
use std::str::FromStr;

/// `http.allowed_hosts`: the names that the Host header of a request may have. `localhost` and
/// IP addresses are always allowed, since DNS rebinding cannot use them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Hosts {
    /// No names on a listener that only this machine can reach, all names on others.
    #[default]
    Auto,
    /// All names.
    Any,
    /// These names, in lower case, without ports.
    Listed(Vec<String>),
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Any => f.write_str("*"),
            Self::Listed(names) => f.write_str(&names.join(", ")),
        }
    }
}

impl FromStr for Hosts {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.trim() {
            "auto" => return Ok(Self::Auto),
            "*" => return Ok(Self::Any),
            _ => {}
        }
        let names = text.split([',', ' ']).filter(|name| !name.is_empty());
        let names: Vec<String> = names.map(str::to_ascii_lowercase).collect();
        let is_name = |name: &String| {
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        };
        names.iter().all(is_name).then_some(Self::Listed(names)).ok_or(())
    }
}

serde_as_text!(
    Hosts,
    "names without ports, such as \"broker, mqtt.example.org\"; \"*\" for all, or \"auto\""
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_separated_by_commas_or_spaces() {
        let listed = |names: &[&str]| {
            Ok(Hosts::Listed(names.iter().map(|name| (*name).to_owned()).collect()))
        };
        assert_eq!("broker, MQTT.example.org".parse(), listed(&["broker", "mqtt.example.org"]));
        assert_eq!("a b,c".parse(), listed(&["a", "b", "c"]));
        assert_eq!("".parse(), listed(&[]));
        assert_eq!("*".parse(), Ok(Hosts::Any));
        assert_eq!("auto".parse(), Ok(Hosts::Auto));
        for bad in ["broker:8080", "http://broker", "*.example.org", "a, *"] {
            assert_eq!(bad.parse::<Hosts>(), Err(()), "{bad}");
        }
        for text in ["auto", "*", "a, b.c"] {
            assert_eq!(text.parse::<Hosts>().unwrap().to_string(), text);
        }
    }
}
