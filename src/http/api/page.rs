//! Pagination of long lists.

use serde::Serialize;
use utoipa::ToSchema;

use super::problem::{Answer, Problem};

/// Items of a page that asks for no number.
const USUAL: usize = 100;
/// Items of the largest page.
pub(in crate::http) const MOST: usize = 1000;

/// Part of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Page<T> {
    /// In order. There may be fewer than were asked for, or none, and more to come.
    pub items: Vec<T>,
    /// Given as `cursor`, brings the next page; null: that was all.
    pub next: Option<String>,
}

/// How many items are wanted.
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
