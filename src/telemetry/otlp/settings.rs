//! Settings of the push, from the configuration and the standard variables.
//!
//! Our own keys take precedence if they are set. The variables are those of the OpenTelemetry
//! specification, where an empty one counts as not set. The library reads the others: headers,
//! timeouts, compression, queue sizes.

use std::path::PathBuf;
use std::time::Duration;

use super::{PushError, Signal};
use crate::config::{ENDPOINTS, Telemetry, is_endpoint};

/// The value of an environment variable, unless it is empty.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The target of one signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Scheme, host and port.
    pub endpoint: String,
    /// PEM files: the trusted authority instead of the system's, and the client's certificate
    /// and key.
    pub authority: Option<PathBuf>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

/// The settings of all signals.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    pub metrics: Option<Target>,
    pub logs: Option<Target>,
    pub traces: Option<Target>,
    pub interval: Duration,
    /// Settings in the environment that cannot be applied, for the log.
    pub notes: Vec<String>,
}

impl Settings {
    /// # Errors
    /// A variable has an invalid endpoint.
    pub(super) fn new(config: &Telemetry, variables: Variables<'_>) -> Result<Self, PushError> {
        let mut settings = Self { interval: interval(config, variables), ..Self::default() };
        if variables("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(settings);
        }
        let mut notes = Vec::new();
        let mut target = |signal, wanted| {
            if wanted { target(config, variables, signal, &mut notes) } else { Ok(None) }
        };
        settings.metrics = target(Signal::Metrics, config.otlp_metrics)?;
        settings.logs = target(Signal::Logs, config.otlp_logs)?;
        settings.traces = target(Signal::Traces, config.otlp_traces)?;
        notes.dedup();
        settings.notes = notes;
        Ok(settings)
    }
}

fn target(
    config: &Telemetry,
    variables: Variables<'_>,
    signal: Signal,
    notes: &mut Vec<String>,
) -> Result<Option<Target>, PushError> {
    // Looks for the signal's own variable first, then for the one of all signals. Returns the
    // name and the value.
    let variable = |what: &str| {
        let own = format!("OTEL_EXPORTER_OTLP_{}_{what}", signal.in_variables());
        let all = format!("OTEL_EXPORTER_OTLP_{what}");
        [own, all].into_iter().find_map(|name| variables(&name).map(|value| (name, value)))
    };
    let exporter = format!("OTEL_{}_EXPORTER", signal.in_variables());
    if variables(&exporter).is_some_and(|list| !list.split(',').any(|one| one.trim() == "otlp")) {
        return Ok(None);
    }
    let endpoint = if config.otlp_endpoint.is_empty() {
        let Some((name, endpoint)) = variable("ENDPOINT") else { return Ok(None) };
        if let Some((protocol, found)) =
            variable("PROTOCOL").filter(|(_, protocol)| protocol != "grpc")
        {
            notes.push(format!(
                "{protocol}: found \"{found}\", but only grpc is spoken: nothing is pushed to \
                 {endpoint}; set it to grpc, and {name} to the collector's port for it (4317)"
            ));
            return Ok(None);
        }
        if !is_endpoint(&endpoint) {
            return Err(PushError::Variable { name, found: endpoint, expected: ENDPOINTS });
        }
        endpoint
    } else {
        config.otlp_endpoint.clone()
    };
    let file = |what: &str| variable(what).map(|(_, path)| PathBuf::from(path));
    Ok(Some(Target {
        endpoint,
        authority: file("CERTIFICATE"),
        certificate: file("CLIENT_CERTIFICATE"),
        key: file("CLIENT_KEY"),
    }))
}

/// The interval of metric exports. The variable is in milliseconds, and applies only if our
/// own key has its default.
fn interval(config: &Telemetry, variables: Variables<'_>) -> Duration {
    let given = variables("OTEL_METRIC_EXPORT_INTERVAL")
        .filter(|_| config.otlp_interval == Telemetry::DEFAULT_INTERVAL)
        .and_then(|millis| millis.trim().parse().ok())
        .filter(|millis| *millis > 0)
        .map(Duration::from_millis);
    given.unwrap_or(config.otlp_interval.duration())
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
