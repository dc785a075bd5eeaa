//! Reloads of the configuration: how many, and how the last one ended.

use std::time::SystemTime;

use parking_lot::Mutex;

use super::labels::label;
use super::{Counters, Label};

label! {
    /// How a reload of the configuration ended.
    ReloadResult("result") {
        /// It took effect.
        Ok => "ok",
        /// It is invalid, and nothing has changed.
        Failed => "failed",
    }
}

/// Counts reloads and remembers the last one. Reloads are rare, so a lock costs nothing.
#[derive(Debug, Default)]
pub struct Reloads {
    results: Counters<ReloadResult>,
    last: Mutex<Option<LastReload>>,
}

/// The last reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastReload {
    /// When it ended.
    pub at: SystemTime,
    /// One line that says what is wrong; `None` if the configuration took effect.
    pub error: Option<String>,
}

impl Reloads {
    /// Records a reload that ended at `at`. `error`: why nothing has changed.
    pub fn record(&self, at: SystemTime, error: Option<String>) {
        let mut last = self.last.lock();
        self.results.inc(if error.is_some() { ReloadResult::Failed } else { ReloadResult::Ok });
        *last = Some(LastReload { at, error });
    }

    /// The counts, by result.
    pub fn results(&self) -> &Counters<ReloadResult> {
        &self.results
    }

    /// The last reload; `None` before the first.
    pub fn last(&self) -> Option<LastReload> {
        self.last.lock().clone()
    }

    /// True unless the last reload failed. The start counts: without a valid configuration
    /// there is no broker.
    pub fn is_current(&self) -> bool {
        self.last.lock().as_ref().is_none_or(|last| last.error.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_remembered_until_a_reload_succeeds() {
        let reloads = Reloads::default();
        assert!(reloads.is_current() && reloads.last().is_none());
        let at = SystemTime::UNIX_EPOCH;
        reloads.record(at, Some("auth.password_file: line 3".to_owned()));
        assert!(!reloads.is_current());
        let error = Some("auth.password_file: line 3".to_owned());
        assert_eq!(reloads.last(), Some(LastReload { at, error }));
        reloads.record(at, None);
        assert!(reloads.is_current());
        assert_eq!(reloads.last(), Some(LastReload { at, error: None }));
        let results = reloads.results();
        assert_eq!((results.get(ReloadResult::Ok), results.get(ReloadResult::Failed)), (1, 1));
    }
}
