//! `[telemetry]`.

use serde::{Deserialize, Serialize};

use super::{Ratio, Span};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `[telemetry]`: logs, written to standard error, and what is pushed to a collector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
// The bools are independent keys, not the states of one machine.
#[allow(clippy::struct_excessive_bools)]
pub struct Telemetry {
    /// `error`, `warn`, `info`, `debug`, `trace` or `off`; also by module, as in
    /// `info,ferrymq::store=debug`.
    pub level: String,
    /// `text` or `json`.
    pub format: LogFormat,
    /// Lines per second that one kind of event may write after a burst of five times as many,
    /// 0 to 1,000,000; 0 for no limit. Applies only to `info` and above.
    pub log_limit: u32,
    /// The collector's address for OTLP over gRPC, `http://` or `https://`. If empty, the
    /// standard `OTEL_` variables decide; without them nothing is pushed.
    pub otlp_endpoint: String,
    /// Whether metrics are pushed if there is an endpoint.
    pub otlp_metrics: bool,
    /// Whether logs are pushed if there is an endpoint.
    pub otlp_logs: bool,
    /// Whether traces are pushed if there is an endpoint.
    pub otlp_traces: bool,
    /// How often metrics are pushed, 100ms to 1h.
    pub otlp_interval: Span,
    /// The fraction of messages without a `traceparent` that are traced, 0 to 1.
    pub trace_ratio: Ratio,
    /// Whether messages with a `traceparent` that says "sampled" are traced.
    pub trace_parent: bool,
}

impl Telemetry {
    /// The default of `otlp_interval`.
    pub const DEFAULT_INTERVAL: Span = Span::seconds(60);
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
            log_limit: 10,
            otlp_endpoint: String::new(),
            otlp_metrics: true,
            otlp_logs: true,
            otlp_traces: true,
            otlp_interval: Self::DEFAULT_INTERVAL,
            trace_ratio: Ratio::NONE,
            trace_parent: true,
        }
    }
}

/// The form of a collector's address, for errors.
pub const ENDPOINTS: &str = "an address as in http://collector:4317 or https://collector:4317";

/// True for the address of a gRPC server: a scheme, a host, an optional port, and no path but
/// `/`.
pub fn is_endpoint(address: &str) -> bool {
    let rest = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"));
    let Some(authority) = rest.map(|rest| rest.strip_suffix('/').unwrap_or(rest)) else {
        return false;
    };
    // The last colon separates the port, unless it is inside the brackets of an IPv6 address.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_host = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(plain),
    };
    is_host && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// The form of a log level, for errors.
pub const LOG_LEVELS: &str =
    "error, warn, info, debug, trace or off, also by module as in info,ferrymq::store=debug";

/// True for a level, or a list of levels by module.
pub fn is_log_level(level: &str) -> bool {
    // `EnvFilter` takes any single word for a module name, also a misspelled level such as
    // "inof".
    let is_level = |word: &str| {
        ["error", "warn", "info", "debug", "trace", "off"]
            .iter()
            .any(|l| word.eq_ignore_ascii_case(l))
    };
    let is_directive = |part: &str| is_level(part.rsplit('=').next().unwrap_or(part).trim());
    level.split(',').all(is_directive) && tracing_subscriber::EnvFilter::try_new(level).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_scheme_a_host_and_perhaps_a_port() {
        for good in [
            "http://localhost:4317",
            "https://collector.example.org/",
            "http://127.0.0.1:1",
            "http://[::1]:4317",
            "http://[::1]",
        ] {
            assert!(is_endpoint(good), "{good}");
        }
        for bad in [
            "",
            "localhost:4317",
            "grpc://localhost:4317",
            "http://",
            "http://:4317",
            "http://host:",
            "http://host:0",
            "http://host:65536",
            "http://user@host:1",
            "http://ho st:1",
            "http://host:4317/v1/traces",
            "http://[::1",
            "http://::1:4317",
        ] {
            assert!(!is_endpoint(bad), "{bad}");
        }
    }
}
