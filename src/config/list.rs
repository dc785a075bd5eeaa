//! Lists of values that layers without lists, such as the environment, write with commas.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::str::FromStr;

use serde::de::{Error, SeqAccess, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What an item of a list is, for errors.
pub trait Item: FromStr + fmt::Display {
    /// Completes "expected".
    const EXPECTED: &'static str;

    /// An item that cannot be read, as an error shows it: without what may be secret.
    fn shown(text: &str) -> Cow<'_, str> {
        text.into()
    }
}

/// A list: in TOML an array of text, in the environment and with `--set` text with commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Item> Serialize for List<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

impl<'de, T: Item> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Items(PhantomData))
    }
}

struct Items<T>(PhantomData<T>);

impl<T: Item> Items<T> {
    fn item<E: Error>(text: &str) -> Result<T, E> {
        text.trim()
            .parse()
            .map_err(|_| E::invalid_value(Unexpected::Str(&T::shown(text.trim())), &T::EXPECTED))
    }
}

impl<'de, T: Item> serde::de::Visitor<'de> for Items<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list; each item is {}", T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<List<T>, E> {
        let items = text.split(',').filter(|item| !item.trim().is_empty());
        items.map(Self::item).collect::<Result<_, _>>().map(List)
    }

    /// A number that no list would be of, such as an audience: the environment cannot tell it
    /// from text.
    fn visit_i64<E: Error>(self, number: i64) -> Result<List<T>, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<List<T>, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<List<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(text) = sequence.next_element::<String>()? {
            items.push(Self::item(&text)?);
        }
        Ok(List(items))
    }
}

impl Item for String {
    const EXPECTED: &'static str = "text";
}

impl Item for ipnet::IpNet {
    const EXPECTED: &'static str = "a network such as 10.0.0.0/8 or 2001:db8::/32";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_an_array_or_text_with_commas() {
        let expected = List(vec!["a".to_owned(), "b c".to_owned()]);
        assert_eq!(serde_json::from_str::<List<String>>(r#"["a", "b c"]"#).unwrap(), expected);
        assert_eq!(serde_json::from_str::<List<String>>(r#""a, b c,""#).unwrap(), expected);
        assert_eq!(serde_json::from_str::<List<String>>(r#""""#).unwrap(), List::default());
        assert_eq!(serde_json::to_string(&expected).unwrap(), r#"["a","b c"]"#);
    }

    #[test]
    fn an_item_that_cannot_be_read_is_shown() {
        let error = serde_json::from_str::<List<ipnet::IpNet>>(r#"["10.0.0.0/8", "x"]"#);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("\"x\"") && error.contains("a network such as"), "{error}");
    }
}
