//! Ranges of single values and rules between them.

mod auth;
pub(super) mod bridges;
mod listeners;
mod open;

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;

use super::{
    ByteSize, Config, ENDPOINTS, Http, LOG_LEVELS, Ratio, Span, Telemetry, check_token,
    is_endpoint, is_log_level,
};

/// A rule that the configuration breaks.
#[derive(Debug)]
pub(super) struct Problem {
    pub key: String,
    pub text: String,
}

pub(super) type Checked = Result<(), Problem>;

/// A set of rules.
pub(super) type Check = fn(&Config) -> Checked;

/// Checks everything that a broker needs to serve.
pub(super) fn check(config: &Config) -> Checked {
    values(config)?;
    open::protected(config)?;
    open::reachable(config)
}

/// Checks everything but who can reach the broker.
pub(super) fn values(config: &Config) -> Checked {
    listeners::values(config)?;
    listeners::apart(config)?;
    http(&config.http)?;
    super::acl_check::check(config)?;
    mqtt(config)?;
    session(config)?;
    persistence(config)?;
    limits(config)?;
    auth::values(config)?;
    bridges::values(&config.bridges)?;
    within("runtime.worker_threads", config.runtime.worker_threads, 0..=1024)?;
    within(
        "runtime.shutdown_timeout",
        config.runtime.shutdown_timeout,
        Span::ZERO..=Span::hours(1),
    )?;
    telemetry(&config.telemetry)
}

fn limits(config: &Config) -> Checked {
    let limits = &config.limits;
    if let Some(count) = limits.max_connections.set() {
        within("limits.max_connections", count, 1..=10_000_000)?;
    }
    if let Some(size) = limits.max_memory.set() {
        at_least("limits.max_memory", size, ByteSize::mib(1))?;
        memory_for_packets(size, config.mqtt.max_packet_size)?;
    }
    addresses(config)
}

/// Limits per address, and bans.
fn addresses(config: &Config) -> Checked {
    let (limits, bans) = (&config.limits, &config.bans);
    let most = limits.max_connections_per_address;
    within("limits.max_connections_per_address", most, 0..=10_000_000)?;
    within(
        "limits.connection_rate_per_address",
        limits.connection_rate_per_address,
        0..=1_000_000,
    )?;
    within("bans.max_failures", bans.max_failures, 0..=1_000_000)?;
    within("bans.window", bans.window, Span::seconds(1)..=Span::days(1))?;
    within("bans.time", bans.time, Span::seconds(1)..=Span::days(365))
}

/// A packet is held twice, in its read buffer and in its message. Without persistence, a
/// packet that never fits would be refused and sent again for ever.
fn memory_for_packets(memory: ByteSize, largest: ByteSize) -> Checked {
    const PACKETS: u64 = 4;
    if memory.bytes() >= largest.bytes().saturating_mul(PACKETS) {
        return Ok(());
    }
    Err(Problem {
        key: "limits.max_memory".to_owned(),
        text: format!(
            "{memory} is less than {PACKETS} times mqtt.max_packet_size ({largest}): raise it, or \
             lower mqtt.max_packet_size"
        ),
    })
}

fn http(http: &Http) -> Checked {
    let problem = |key: &str, text: &str| Err(Problem { key: key.into(), text: text.into() });
    let token = http.token.reveal();
    if token.is_empty() {
        return Ok(());
    }
    if http.token_file.is_some() {
        return problem("http.token_file", "http.token is set as well: keep one of them");
    }
    check_token(token).or_else(|text| problem("http.token", text))
}

fn mqtt(config: &Config) -> Checked {
    let mqtt = &config.mqtt;
    within("mqtt.max_packet_size", mqtt.max_packet_size, ByteSize(64)..=ByteSize(268_435_455))?;
    within("mqtt.max_topic_levels", mqtt.max_topic_levels, 1..=65_535)?;
    within("mqtt.connect_timeout", mqtt.connect_timeout, Span::millis(100)..=Span::hours(1))?;
    within_or_never(
        "mqtt.max_keep_alive",
        mqtt.max_keep_alive,
        Span::seconds(1)..=Span::seconds(65_535),
    )?;
    within("mqtt.receive_maximum", mqtt.receive_maximum, 1..=65_535)?;
    within("mqtt.max_retained_messages", mqtt.max_retained_messages, 0..=1_000_000_000)?;
    within_or_never("mqtt.sys_interval", mqtt.sys_interval, Span::seconds(1)..=Span::days(365))
}

fn session(config: &Config) -> Checked {
    let session = &config.session;
    within("session.max_sessions", session.max_sessions, 1..=100_000_000)?;
    within("session.inflight_window", session.inflight_window, 1..=65_535)?;
    within("session.max_queued_messages", session.max_queued_messages, 1..=4_000_000_000)?;
    at_least("session.max_queued_bytes", session.max_queued_bytes, ByteSize::kib(1))?;
    within("session.max_subscriptions", session.max_subscriptions, 1..=10_000_000)?;
    within("session.memory_window", session.memory_window, 1..=1_000_000)
}

fn persistence(config: &Config) -> Checked {
    let disk = &config.persistence;
    if disk.path.as_os_str().is_empty() {
        return Err(Problem {
            key: "persistence.path".to_owned(),
            text: "found \"\", expected the path of the database file".to_owned(),
        });
    }
    if let Err(found) = is_clear(&disk.path) {
        return Err(Problem {
            key: "persistence.path".to_owned(),
            text: format!(
                "found {:?}, which has {found}: with it another file would be meant, most likely \
                 an empty one; write the path without",
                disk.path.to_string_lossy()
            ),
        });
    }
    within("persistence.flush_interval", disk.flush_interval, Span::millis(1)..=Span::seconds(60))?;
    within("persistence.elision_window", disk.elision_window, Span::ZERO..=Span::millis(10))?;
    at_least("persistence.max_size", disk.max_size, ByteSize::mib(1))?;
    at_least("persistence.wal_limit", disk.wal_limit, ByteSize::mib(1))?;
    // A larger cache is most likely a typing mistake.
    if let Some(size) = disk.cache_size.set() {
        within("persistence.cache_size", size, ByteSize::kib(64)..=ByteSize::gib(64))?;
    }
    within("persistence.max_pending", disk.max_pending, 1..=100_000_000)?;
    // Checkpoints must begin below the size at which the WAL is truncated.
    let pages = u32::try_from(disk.wal_limit.0 / 8192).unwrap_or(u32::MAX);
    within("persistence.wal_checkpoint_pages", disk.wal_checkpoint_pages, 1..=pages)?;
    if disk.reserve_size > disk.max_size {
        return Err(Problem {
            key: "persistence.reserve_size".to_owned(),
            text: format!(
                "found {}, expected at most persistence.max_size, which is {}",
                disk.reserve_size, disk.max_size
            ),
        });
    }
    Ok(())
}

/// Refuses what a path has only by mistake, such as from a file with Windows line ends or from
/// quotes that were passed on in the environment.
fn is_clear(path: &Path) -> Result<(), &'static str> {
    let path = path.to_string_lossy();
    let is_quote = |c: char| c == '"' || c == '\'';
    if path.contains(char::is_control) {
        Err("a control character (a line end?)")
    } else if path.trim() != path {
        Err("a space at its beginning or end")
    } else if path.starts_with(is_quote) || path.ends_with(is_quote) {
        Err("a quote at its beginning or end")
    } else {
        Ok(())
    }
}

fn telemetry(telemetry: &Telemetry) -> Checked {
    if !is_log_level(&telemetry.level) {
        return Err(Problem {
            key: "telemetry.level".to_owned(),
            text: format!("found \"{}\", expected {LOG_LEVELS}", telemetry.level),
        });
    }
    let endpoint = &telemetry.otlp_endpoint;
    if !endpoint.is_empty() && !is_endpoint(endpoint) {
        return Err(Problem {
            key: "telemetry.otlp_endpoint".to_owned(),
            text: format!("found \"{endpoint}\", expected {ENDPOINTS}"),
        });
    }
    within("telemetry.log_limit", telemetry.log_limit, 0..=1_000_000)?;
    within("telemetry.otlp_interval", telemetry.otlp_interval, Span::millis(100)..=Span::hours(1))?;
    within("telemetry.trace_ratio", telemetry.trace_ratio, Ratio::NONE..=Ratio::ALL)
}

fn within<T: Copy + PartialOrd + Display>(
    key: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Checked {
    if range.contains(&value) {
        return Ok(());
    }
    let (from, to) = range.into_inner();
    Err(Problem { key: key.to_owned(), text: format!("found {value}, expected {from} to {to}") })
}

fn within_or_never(key: &str, value: Span, range: RangeInclusive<Span>) -> Checked {
    if value.is_never() {
        return Ok(());
    }
    within(key, value, range)
        .map_err(|problem| Problem { text: format!("{} or \"never\"", problem.text), ..problem })
}

fn at_least(key: &str, value: ByteSize, least: ByteSize) -> Checked {
    if value >= least {
        return Ok(());
    }
    Err(Problem { key: key.to_owned(), text: format!("found {value}, expected at least {least}") })
}
