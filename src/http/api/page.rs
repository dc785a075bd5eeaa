//! Long lists, a page at a time.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
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

/// Where a page ends, as text that nobody has to understand.
pub(in crate::http) fn cursor<T: Serialize>(place: &T) -> Option<String> {
    serde_json::to_vec(place).ok().map(|json| URL_SAFE_NO_PAD.encode(json))
}

/// Where the page before has ended.
pub(in crate::http) fn place<T: DeserializeOwned>(cursor: Option<&str>) -> Answer<Option<T>> {
    let Some(cursor) = cursor else { return Ok(None) };
    let json = URL_SAFE_NO_PAD.decode(cursor).ok();
    let place = json.and_then(|json| serde_json::from_slice(&json).ok());
    let wrong = || Problem::bad_request("cursor: take it from `next` of the page before");
    place.map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_brings_back_the_place() {
        let here = (7_u64, "a/b ü".to_owned());
        let text = cursor(&here).unwrap();
        assert_eq!(place(Some(&text)).unwrap(), Some(here));
        assert_eq!(place::<u64>(None).unwrap(), None);
        for wrong in ["", "x", "====", "bm8"] {
            assert!(place::<(u64, String)>(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_page_has_bounds() {
        assert_eq!(limit(None).unwrap(), USUAL);
        assert_eq!(limit(Some(1)).unwrap(), 1);
        assert!(limit(Some(0)).is_err() && limit(Some(MOST + 1)).is_err());
    }
}
