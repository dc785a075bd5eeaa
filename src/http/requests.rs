//! Counts HTTP requests by result.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use parking_lot::Mutex;

/// Numbers of responses by status; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Requests(Arc<Mutex<BTreeMap<u16, u64>>>);

impl Requests {
    /// Passes each status with its number to `see`.
    pub fn each(&self, mut see: impl FnMut(u16, u64)) {
        let mut counts = self.0.lock().clone();
        // Always present: a series that begins at 0 shows its first change.
        counts.entry(200).or_default();
        for (status, count) in counts {
            see(status, count);
        }
    }
}

/// Counts responses.
pub(super) async fn count(
    State(requests): State<Requests>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    *requests.0.lock().entry(response.status().as_u16()).or_default() += 1;
    response
}
