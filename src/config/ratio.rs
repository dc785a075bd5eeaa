//! Ratios from 0 to 1.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A ratio. Any number can be read; the range check in `validate` refuses those outside 0 to
/// 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Ratio(f64);

impl Ratio {
    /// The ratio 0.
    pub const NONE: Self = Self(0.0);
    /// The ratio 1.
    pub const ALL: Self = Self(1.0);

    /// The ratio as a number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

/// Reads a number, or text: the environment layer passes `0.5` as text.
impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl serde::de::Visitor<'_> for Number {
            type Value = Ratio;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number from 0 to 1")
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Ratio, E> {
                Ok(Ratio(number))
            }

            // Integers that an f64 cannot hold exactly are out of range in any case.
            #[allow(clippy::cast_precision_loss)]
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Ratio, E> {
                Ok(Ratio(number as f64))
            }

            #[allow(clippy::cast_precision_loss)]
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Ratio, E> {
                Ok(Ratio(number as f64))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Ratio, E> {
                let number = text.trim().parse().ok().filter(|number: &f64| number.is_finite());
                let wrong = || E::invalid_value(serde::de::Unexpected::Str(text), &self);
                number.map(Ratio).ok_or_else(wrong)
            }
        }

        deserializer.deserialize_any(Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_text_are_read_alike() {
        for text in ["0.25", "\"0.25\"", "\" 0.25\""] {
            let ratio = serde_json::from_str::<Ratio>(text).unwrap();
            assert!((ratio.get() - 0.25).abs() < f64::EPSILON, "{text}");
        }
        assert_eq!(serde_json::from_str::<Ratio>("1").unwrap(), Ratio::ALL);
        for text in ["\"much\"", "\"NaN\"", "\"inf\"", "true"] {
            assert!(serde_json::from_str::<Ratio>(text).is_err(), "{text}");
        }
    }
}
