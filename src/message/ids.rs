//! Identifiers, each a type of its own.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl $name {
            /// As SQLite stores it. Ids start at 1 and count up; the sign bit is
            /// out of reach.
            pub fn to_sql(self) -> i64 {
                i64::try_from(self.0).unwrap_or(i64::MAX)
            }

            /// From a column; a negative number, which FerryMQ never writes, is 0.
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
    /// One message's way to one session; the order of a session's queue.
    DeliveryId
}
id! {
    /// A session, durable or not. Never used twice within one database.
    SessionId
}
id! {
    /// Milliseconds since 1970, by the machine's clock. Expiry counts in these,
    /// because they mean the same after a restart.
    WallMillis
}

impl WallMillis {
    /// This moment and `seconds` more, without overflow.
    #[must_use]
    pub fn plus_seconds(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(u64::from(seconds) * 1000))
    }
}
