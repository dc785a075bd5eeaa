//! Macros for values that every layer writes as text.

/// Serialises through `Display`, reads through `FromStr`.
macro_rules! serde_as_text {
    ($type:ty, $expected:expr) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        deserialize_from_text!($type, $expected);
    };
}

/// Reads through `FromStr`. A plain number is passed to it as text, since the environment
/// cannot tell `"5"` from `5`.
macro_rules! deserialize_from_text {
    ($type:ty, $expected:expr) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;

                impl serde::de::Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse()
                            .map_err(|()| E::invalid_value(serde::de::Unexpected::Str(text), &self))
                    }

                    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<$type, E> {
                        number.to_string().parse().map_err(|()| {
                            E::invalid_value(serde::de::Unexpected::Unsigned(number), &self)
                        })
                    }

                    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<$type, E> {
                        number.to_string().parse().map_err(|()| {
                            E::invalid_value(serde::de::Unexpected::Signed(number), &self)
                        })
                    }
                }

                deserializer.deserialize_any(Text)
            }
        }
    };
}
