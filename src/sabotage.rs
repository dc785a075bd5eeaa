//! Promises broken on purpose, so that tests can show that they would notice.
//! Compiled in by the feature `failpoints` alone, and then only awake if the
//! environment names one: `FERRYMQ_SABOTAGE=skip-fsync`.
//!
//! Each stands at the one place where its promise is kept. Nothing else may live here.

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Acknowledgements leave one batch before their own is committed.
    AcknowledgeEarly,
    /// COMMIT returns without fsync.
    SkipFsync,
    /// A message counts as settled when the first of its receivers has acknowledged
    /// it.
    ElideEarly,
    /// The file ignores the order in which changes were decided under locks: what is
    /// submitted last holds.
    SubmitBeforeLock,
    /// A connection is not told that something waits for it.
    ForgetWakeUp,
    /// A connection that has written no longer asks its socket for more to read.
    ForgetReadInterest,
    /// PUBREL leaves before the receipt that it follows is committed.
    UngatedPubrel,
    /// A client that lost a message for want of memory stays connected.
    ForgetToTell,
    /// A queue that grows is charged when the step that it grows in has ended.
    ChargeLate,
    /// A message is charged once more for each of its receivers.
    ChargePerReceiver,
    /// What is charged for a connection stays charged when it ends.
    ForgetRelease,
}

impl Sabotage {
    /// True if the environment asks for it.
    #[cfg(feature = "failpoints")]
    pub fn is_on(self) -> bool {
        use std::sync::LazyLock;
        static ASKED: LazyLock<Option<Sabotage>> =
            LazyLock::new(|| match std::env::var("FERRYMQ_SABOTAGE").ok()?.as_str() {
                "acknowledge-early" => Some(Sabotage::AcknowledgeEarly),
                "skip-fsync" => Some(Sabotage::SkipFsync),
                "elide-early" => Some(Sabotage::ElideEarly),
                "submit-before-lock" => Some(Sabotage::SubmitBeforeLock),
                "forget-wake-up" => Some(Sabotage::ForgetWakeUp),
                "forget-read-interest" => Some(Sabotage::ForgetReadInterest),
                "ungated-pubrel" => Some(Sabotage::UngatedPubrel),
                "forget-to-tell" => Some(Sabotage::ForgetToTell),
                "charge-late" => Some(Sabotage::ChargeLate),
                "charge-per-receiver" => Some(Sabotage::ChargePerReceiver),
                "forget-release" => Some(Sabotage::ForgetRelease),
                _ => None,
            });
        *ASKED == Some(self)
    }

    /// False, without the feature.
    #[cfg(not(feature = "failpoints"))]
    #[inline]
    pub const fn is_on(self) -> bool {
        false
    }
}
