//! The signals that can be pushed.

use crate::telemetry::Label;

/// One of OpenTelemetry's three kinds of telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Counters, gauges, histograms.
    Metrics,
    /// Log lines.
    Logs,
    /// Spans.
    Traces,
}

impl Label for Signal {
    const NAME: &'static str = "signal";
    const ALL: &'static [Self] = &[Self::Metrics, Self::Logs, Self::Traces];

    fn index(self) -> usize {
        self as usize
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Traces => "traces",
        }
    }
}

impl Signal {
    /// The name in the standard variables.
    pub(super) const fn in_variables(self) -> &'static str {
        match self {
            Self::Metrics => "METRICS",
            Self::Logs => "LOGS",
            Self::Traces => "TRACES",
        }
    }
}
