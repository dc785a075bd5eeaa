//! Chooses the exposition format by the Accept header.
//!
//! Never 406: a client that accepts neither format is sent Prometheus' own, as Prometheus'
//! client libraries do.

use axum::http::{HeaderMap, header};

use crate::telemetry::Format;

/// Media types and versions of the two formats.
const OPEN_METRICS: (&str, &str, &[&str]) =
    ("application", "openmetrics-text", &["1.0.0", "0.0.1"]);
const PLAIN: (&str, &str, &[&str]) = ("text", "plain", &["0.0.4"]);

/// The format of the response. `OpenMetrics` only if the client names it, or `application/*`:
/// `curl` and browsers accept `*/*` and are sent plain text.
pub(super) fn format(headers: &HeaderMap) -> Format {
    let header = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<Range<'_>> =
        header.flat_map(|value| value.split(',')).filter_map(Range::parse).collect();
    let open = quality(&ranges, OPEN_METRICS, false);
    if open > 0 && open >= quality(&ranges, PLAIN, true) {
        Format::OpenMetrics
    } else {
        Format::Prometheus
    }
}

/// The quality of the most specific range that a format matches; 0 if none does
/// (RFC 9110, 12.5.1).
fn quality(ranges: &[Range<'_>], format: (&str, &str, &[&str]), any: bool) -> u16 {
    let matching = ranges.iter().filter_map(|range| Some((range.matches(format)?, range.quality)));
    let matching = matching.filter(|(specific, _)| any || *specific > 0);
    matching.max_by_key(|matched| *matched).map_or(0, |(_, quality)| quality)
}

/// A media range of the header.
struct Range<'a> {
    main: &'a str,
    sub: &'a str,
    version: Option<&'a str>,
    /// In thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    /// Parses a media range. `None` if it is not one.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (main, sub) = parts.next()?.split_once('/')?;
        let mut range = Self { main, sub, version: None, quality: 1000 };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            if name.trim().eq_ignore_ascii_case("q") {
                range.quality = thousandths(value)?;
            } else if name.trim().eq_ignore_ascii_case("version") {
                range.version = Some(value);
            }
        }
        Some(range)
    }

    /// How specific the range is for a format: 3 with its version, 0 for `*/*`. `None` if it
    /// does not match.
    fn matches(&self, (main, sub, versions): (&str, &str, &[&str])) -> Option<u8> {
        if self.main == "*" {
            return Some(0);
        }
        if !self.main.eq_ignore_ascii_case(main) {
            return None;
        }
        match self.version {
            _ if self.sub == "*" => Some(1),
            _ if !self.sub.eq_ignore_ascii_case(sub) => None,
            None => Some(2),
            Some(version) => versions.contains(&version).then_some(3),
        }
    }
}

/// Parses a qvalue: 0 to 1 with up to three digits.
fn thousandths(text: &str) -> Option<u16> {
    let value: f64 = text.parse().ok()?;
    // In range, so nothing is truncated.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (0.0..=1.0).contains(&value).then(|| (value * 1000.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(accept: &[&str]) -> Format {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(header::ACCEPT, value.parse().unwrap());
        }
        format(&headers)
    }

    #[test]
    fn openmetrics_is_for_who_prefers_it() {
        for accept in [
            "application/openmetrics-text",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "Application/OpenMetrics-Text;version=\"1.0.0\"",
            // Prometheus 2.42.
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
             q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "text/plain;q=0.3, application/*;q=0.4",
            "*/*, application/openmetrics-text, text/plain;q=0.9",
        ] {
            assert_eq!(asked(&[accept]), Format::OpenMetrics, "{accept}");
        }
        assert_eq!(
            asked(&["text/plain;q=0.5", "application/openmetrics-text"]),
            Format::OpenMetrics
        );
    }

    #[test]
    fn everybody_else_is_sent_plain_text() {
        for accept in [
            "*/*",
            "",
            "nonsense",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "application/json",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;version=2.0.0",
            "application/openmetrics-text;q=2",
            "application/openmetrics-text;q=0.4,text/plain;version=0.0.4;q=0.5",
            "application/openmetrics-text;q=0.4,*/*",
        ] {
            assert_eq!(asked(&[accept]), Format::Prometheus, "{accept}");
        }
        assert_eq!(asked(&[]), Format::Prometheus);
    }
}
