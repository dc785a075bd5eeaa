//! Faults that break a guarantee on purpose, so that tests can prove that they detect it.
//! Compiled only with the feature `failpoints`, and active only if the environment names one:
//! `FERRYMQ_SABOTAGE=skip-fsync`.
//!
//! Each is checked at the one place that implements its guarantee. Nothing else belongs in
//! this file.

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Acknowledgements are sent one batch before their own is committed.
    AcknowledgeEarly,
    /// COMMIT returns without fsync.
    SkipFsync,
    /// A message counts as complete when the first of its receivers has acknowledged it.
    ElideEarly,
    /// The store ignores change numbers: the change that is submitted last wins.
    SubmitBeforeLock,
    /// A connection is not woken when it has something to do.
    ForgetWakeUp,
    /// A connection does not read after it has written.
    ForgetReadInterest,
    /// PUBREL is sent before the "received" that it follows is committed.
    UngatedPubrel,
    /// A bridge deletes a delivery when it has sent it, and not when it is acknowledged.
    DeleteEarly,
    /// A client that lost a message for lack of memory stays connected.
    ForgetToTell,
    /// A session's growth is charged at the end of the step instead of at once.
    ChargeLate,
    /// A message is charged once more for each of its receivers.
    ChargePerReceiver,
    /// The charge of a connection stays when it ends.
    ForgetRelease,
}

impl Sabotage {
    /// True if the environment names this fault.
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
                "delete-early" => Some(Sabotage::DeleteEarly),
                "forget-to-tell" => Some(Sabotage::ForgetToTell),
                "charge-late" => Some(Sabotage::ChargeLate),
                "charge-per-receiver" => Some(Sabotage::ChargePerReceiver),
                "forget-release" => Some(Sabotage::ForgetRelease),
                _ => None,
            });
        *ASKED == Some(self)
    }

    /// Always false without the feature.
    #[cfg(not(feature = "failpoints"))]
    #[inline]
    pub const fn is_on(self) -> bool {
        false
    }
}
