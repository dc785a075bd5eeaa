//! Cursors: the place where a page of a list ends, as opaque text. The text contains the place
//! itself, so that no state is kept for lists that are not continued. A place that is too long
//! for a query, since client ids may have 65,535 bytes, is kept here instead, and the text
//! refers to it.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::problem::{Answer, Problem};

/// Maximum bytes of a text that contains its place; a request has 65,534 bytes for path and
/// query.
const LONGEST: usize = 16 * 1024;
/// Number of kept places; the oldest is dropped. Each has about 128 KiB, or 800 KiB if it
/// consists of control characters.
const KEPT: usize = 16;
/// The first character of a text that refers to a kept place; not a character of Base64.
const MARK: char = '~';

/// Encodes and decodes cursors.
#[derive(Debug, Default)]
pub(super) struct Cursors(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    made: u64,
    places: VecDeque<(u64, Vec<u8>)>,
}

impl Cursors {
    /// The cursor for `place`.
    pub(super) fn to<T: Serialize>(&self, place: &T) -> Option<String> {
        let json = serde_json::to_vec(place).ok()?;
        if json.len() <= LONGEST / 4 * 3 {
            return Some(URL_SAFE_NO_PAD.encode(json));
        }
        let mut kept = self.0.lock();
        if kept.places.len() == KEPT {
            kept.places.pop_front();
        }
        kept.made += 1;
        let number = kept.made;
        kept.places.push_back((number, json));
        Some(format!("{MARK}{number}"))
    }

    /// The place where the previous page ended.
    pub(super) fn place<T: DeserializeOwned>(&self, cursor: Option<&str>) -> Answer<Option<T>> {
        let Some(cursor) = cursor else { return Ok(None) };
        let json = match cursor.strip_prefix(MARK) {
            None => URL_SAFE_NO_PAD.decode(cursor).ok(),
            Some(number) => number.parse().ok().and_then(|number| self.kept(number)),
        };
        let place = json.and_then(|json| serde_json::from_slice(&json).ok());
        let wrong = || {
            Problem::bad_request(
                "cursor: take it from `next` of the page before, and begin again if that is long \
                 ago",
            )
        };
        place.map(Some).ok_or_else(wrong)
    }

    fn kept(&self, wanted: u64) -> Option<Vec<u8>> {
        let kept = self.0.lock();
        kept.places.iter().find(|(number, _)| *number == wanted).map(|(_, json)| json.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_brings_back_the_place() {
        let cursors = Cursors::default();
        let here = (7_u64, "a/b ü".to_owned());
        let text = cursors.to(&here).unwrap();
        assert_eq!(cursors.place(Some(&text)).unwrap(), Some(here));
        assert_eq!(cursors.place::<u64>(None).unwrap(), None);
        for wrong in ["", "x", "====", "bm8", "~", "~1", "~x"] {
            assert!(cursors.place::<(u64, String)>(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_place_with_a_long_name_has_a_short_cursor_for_a_while() {
        let cursors = Cursors::default();
        let places: Vec<_> = (0..=KEPT).map(|n| format!("{n}{}", "\u{1}".repeat(65_000))).collect();
        let texts: Vec<_> = places.iter().map(|place| cursors.to(place).unwrap()).collect();
        assert!(texts.iter().all(|text| text.len() < 20), "{texts:?}");
        for (text, place) in texts.iter().zip(&places).skip(1) {
            assert_eq!(cursors.place::<String>(Some(text)).unwrap().as_ref(), Some(place));
        }
        assert!(cursors.place::<String>(Some(&texts[0])).is_err(), "bounded");
    }
}
