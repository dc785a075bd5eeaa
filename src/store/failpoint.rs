//! Crashes at chosen points, for tests. Compiled in only with the feature `failpoints`, and
//! active only if the environment names a point: `FERRYMQ_FAILPOINT=before-commit:received`.

use super::plan::Plan;
#[cfg(feature = "failpoints")]
use crate::schedule::{self, Point};

/// The point in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// All statements have run, COMMIT has not.
    BeforeCommit,
    /// COMMIT has returned; the commit number is not published yet.
    AfterCommit,
}

/// Aborts the process, as `kill -9` would, if this is the point that the environment names.
#[cfg(feature = "failpoints")]
pub(super) fn reached(moment: Moment, plan: &Plan) {
    use std::sync::LazyLock;
    static POINT: LazyLock<Option<String>> =
        LazyLock::new(|| std::env::var("FERRYMQ_FAILPOINT").ok());
    schedule::reached(match moment {
        Moment::BeforeCommit => Point::BeforeCommit,
        Moment::AfterCommit => Point::AfterCommit,
    });
    let Some((when, what)) = POINT.as_deref().and_then(|point| point.split_once(':')) else {
        return;
    };
    let now = match moment {
        Moment::BeforeCommit => "before-commit",
        Moment::AfterCommit => "after-commit",
    };
    let holds = match what {
        "publish" => !plan.deliveries.is_empty() || plan.opens_incoming(),
        "received" => !plan.received.is_empty(),
        "release" => plan.closes_incoming(),
        "dead-letter" => plan.letters.writes(),
        "delete" => !plan.deleted_deliveries.is_empty(),
        _ => false,
    };
    if when == now && holds {
        std::process::abort();
    }
}

/// Does nothing without the feature.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(super) fn reached(_: Moment, _: &Plan) {}
