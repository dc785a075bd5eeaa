//! Pagination of long lists.

use serde::Serialize;
use utoipa::ToSchema;

use super::problem::{Answer, Problem};

/// The default number of items of a page.
const USUAL: usize = 100;
/// The maximum number of items of a page.
pub(in crate::http) const MOST: usize = 1000;

/// Part of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items, in order. There may be fewer than requested, or none, although there are
    /// more.
    pub items: Vec<T>,
    /// The `cursor` of the next page; null: this was the last one.
    pub next: Option<String>,
}

/// Validates the number of items.
pub(in crate::http) fn limit(limit: Option<usize>) -> Answer<usize> {
    match limit.unwrap_or(USUAL) {
        limit @ 1..=MOST => Ok(limit),
        limit => Err(Problem::bad_request(format!("limit={limit}: expected 1 to {MOST}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_bounds() {
        assert_eq!(limit(None).unwrap(), USUAL);
        assert_eq!(limit(Some(1)).unwrap(), 1);
        assert!(limit(Some(0)).is_err() && limit(Some(MOST + 1)).is_err());
    }
}
