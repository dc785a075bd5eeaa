//! Identifiers, each with a type of its own.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl $name {
            /// The value for SQLite. Ids count up from 1 and never reach the sign bit.
            pub fn to_sql(self) -> i64 {
                i64::try_from(self.0).unwrap_or(i64::MAX)
            }

            /// From a column. A negative number, which FerryMQ never writes, becomes 0.
            pub fn from_sql(value: i64) -> Self {
                Self(u64::try_from(value).unwrap_or(0))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A message, in the order in which the broker accepted them.
    MessageId
}
id! {
    /// The delivery of one message to one session. A session's queue is in the order of these.
    DeliveryId
}
id! {
    /// A session, durable or not. Never reused within one database.
    SessionId
}
id! {
    /// Wall time in milliseconds since 1970. Expiry uses it because it stays valid after a
    /// restart.
    WallMillis
}

impl WallMillis {
    /// This time plus `seconds`, without overflow.
    #[must_use]
    pub fn plus_seconds(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(u64::from(seconds) * 1000))
    }
}
