//! The publisher's span, from the W3C Trace Context of a message: `traceparent` and
//! `tracestate` as user properties, by the draft "Trace Context: MQTT protocol".

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

use crate::protocol::user_properties;

/// `00-<32 hex digits>-<16 hex digits>-<2 hex digits>`.
const LEN: usize = 55;

/// Maximum bytes of a `tracestate`; longer ones are dropped. Every system has to propagate at
/// least this much (W3C Trace Context, 3.3.1.5), and a client must not fill the memory.
const MAX_STATE: usize = 512;

/// Bytes of the shortest block with a `traceparent`: identifier, two lengths, name, value.
const SHORTEST: usize = 1 + 2 + 11 + 2 + LEN;

/// The trace context of a message.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Parent {
    /// None, or one that cannot be parsed: W3C Trace Context requires the same treatment for
    /// both.
    None,
    /// Its publisher's span is not recorded, so nothing is recorded here.
    NotSampled,
    /// Its publisher's span is recorded.
    Sampled(SpanContext),
}

impl Parent {
    /// Parses it from the encoded user properties of a message.
    pub(super) fn of(properties: &[u8]) -> Self {
        if properties.len() < SHORTEST {
            return Self::None;
        }
        let mut parent = None;
        let mut state = None;
        for (name, value) in user_properties(properties) {
            match name {
                // Two values contradict each other.
                b"traceparent" if parent.is_some() => return Self::None,
                b"traceparent" => parent = Some(value),
                b"tracestate" => state = Some(value),
                _ => {}
            }
        }
        let Some((trace, span, flags)) = parent.and_then(parse) else { return Self::None };
        if !flags.is_sampled() {
            return Self::NotSampled;
        }
        let state = state.and_then(parse_state).unwrap_or_default();
        Self::Sampled(SpanContext::new(trace, span, flags, true, state))
    }
}

/// W3C Trace Context, 3.2.2: for version 00 the value has exactly this form; for later
/// versions the same fields come first.
fn parse(value: &[u8]) -> Option<(TraceId, SpanId, TraceFlags)> {
    let (known, rest) = value.split_at_checked(LEN)?;
    let mut fields = known.split(|byte| *byte == b'-');
    let version = number(fields.next()?, 2)?;
    let trace = TraceId::from(number(fields.next()?, 32)?);
    let span = SpanId::from(u64::try_from(number(fields.next()?, 16)?).ok()?);
    let flags = u8::try_from(number(fields.next()?, 2)?).ok()?;
    let fits = match version {
        0 => rest.is_empty(),
        0xFF => false,
        _ => rest.is_empty() || rest.starts_with(b"-"),
    };
    let valid = fits && trace != TraceId::INVALID && span != SpanId::INVALID;
    // Bits other than "sampled" have no known meaning.
    valid.then(|| (trace, span, TraceFlags::new(flags & 1)))
}

/// Parses exactly `digits` hexadecimal digits, in lower case.
fn number(field: &[u8], digits: usize) -> Option<u128> {
    let lower = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if field.len() != digits || !field.iter().all(lower) {
        return None;
    }
    u128::from_str_radix(std::str::from_utf8(field).ok()?, 16).ok()
}

/// A list that cannot be parsed is dropped; the parent is valid without it.
fn parse_state(value: &[u8]) -> Option<TraceState> {
    if value.len() > MAX_STATE {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn block(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut block = Vec::new();
        for (name, value) in pairs {
            block.push(0x26);
            for text in [name, value] {
                block.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
                block.extend(text.as_bytes());
            }
        }
        block
    }

    fn parent(value: &str) -> Parent {
        Parent::of(&block(&[("traceparent", value)]))
    }

    fn sampled(parent: Parent) -> SpanContext {
        match parent {
            Parent::Sampled(context) => context,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_sampled_parent_is_read() {
        let context = sampled(parent(GOOD));
        assert_eq!(context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.span_id().to_string(), "b7ad6b7169203331");
        assert!(context.is_remote() && context.is_sampled() && context.is_valid());
    }

    #[test]
    fn a_parent_that_is_not_sampled_is_known_as_such() {
        assert_eq!(parent(&GOOD.replace("-01", "-00")), Parent::NotSampled);
        assert_eq!(parent(&GOOD.replace("-01", "-02")), Parent::NotSampled, "another flag");
        assert!(matches!(parent(&GOOD.replace("-01", "-03")), Parent::Sampled(_)));
    }

    #[test]
    fn what_is_not_of_the_form_counts_as_absent() {
        let zero_trace = format!("00-{:032}-b7ad6b7169203331-01", 0);
        let zero_span = format!("00-0af7651916cd43dd8448eb211c80319c-{:016}-01", 0);
        let wrong = [
            "",
            "00",
            &GOOD[..54],
            &format!("{GOOD}-"),
            &format!("{GOOD}0"),
            &format!(" {GOOD}"),
            &GOOD.to_uppercase(),
            &GOOD.replace("cd43", "cD43"),
            &GOOD.replace("cd43", "cg43"),
            &GOOD.replace("cd43", "+d43"),
            &GOOD.replace("-01", "-0x"),
            &GOOD.replace('-', "_"),
            &GOOD.replacen("00-", "ff-", 1),
            &GOOD.replacen("00-", "0-0", 1),
            &zero_trace,
            &zero_span,
        ];
        for value in wrong {
            assert_eq!(parent(value), Parent::None, "{value:?}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = GOOD.replacen("00-", "cc-", 1);
        assert!(matches!(parent(&later), Parent::Sampled(_)));
        assert!(matches!(parent(&format!("{later}-what-comes")), Parent::Sampled(_)));
        assert_eq!(parent(&format!("{later}.what")), Parent::None);
    }

    #[test]
    fn it_stands_under_its_name_in_lower_case_and_once() {
        assert_eq!(Parent::of(&block(&[("Traceparent", GOOD)])), Parent::None);
        assert_eq!(Parent::of(&block(&[("other", GOOD), ("x", "traceparent")])), Parent::None);
        let twice = [("traceparent", GOOD), ("traceparent", GOOD)];
        assert_eq!(Parent::of(&block(&twice)), Parent::None);
        let among = [("a", "b"), ("traceparent", GOOD), ("c", "d")];
        assert!(matches!(Parent::of(&block(&among)), Parent::Sampled(_)));
    }

    #[test]
    fn the_state_goes_along_and_a_bad_one_is_left_out() {
        let with = |state: &str| {
            let pairs = [("tracestate", state), ("traceparent", GOOD)];
            sampled(Parent::of(&block(&pairs))).trace_state().header()
        };
        assert_eq!(with("congo=t61rcWkgMzE,rojo=00f0"), "congo=t61rcWkgMzE,rojo=00f0");
        assert_eq!(with("no list"), "");
        assert_eq!(with(&format!("a={}", "x".repeat(MAX_STATE))), "");
    }
}
