//! The text of a scrape, in both formats that Prometheus reads.
//!
//! Nothing is counted or decided here. `OpenMetrics` is the stricter format: counters are
//! described without `_total`, bounds are written as floats, and only there can a bucket have
//! an exemplar.

use std::fmt::Write as _;
use std::time::UNIX_EPOCH;

use prometheus::proto::{Histogram, LabelPair, MetricFamily, MetricType};

use super::Exemplar;

/// The format of a scrape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    Prometheus,
    /// `OpenMetrics` 1.0.0, with exemplars.
    OpenMetrics,
}

impl Format {
    /// The value of the response's Content-Type header.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Encodes all families; `exemplars` returns those of each bucket of the named histogram.
pub(super) fn encode(
    families: &[MetricFamily],
    format: Format,
    exemplars: impl Fn(&str) -> Vec<Option<Exemplar>>,
) -> String {
    let mut text = Text { out: String::with_capacity(32 * 1024), format };
    for family in families.iter().filter(|family| !family.get_metric().is_empty()) {
        text.family(family, &exemplars);
    }
    if format == Format::OpenMetrics {
        text.out.push_str("# EOF\n");
    }
    text.out
}

struct Text {
    out: String,
    format: Format,
}

impl Text {
    fn family(
        &mut self,
        family: &MetricFamily,
        exemplars: &impl Fn(&str) -> Vec<Option<Exemplar>>,
    ) {
        let kind = family.get_field_type();
        self.describe(family.name(), family.help(), kind);
        for metric in family.get_metric() {
            let labels = metric.get_label();
            match kind {
                MetricType::HISTOGRAM => {
                    let exemplars = match self.format {
                        Format::Prometheus => Vec::new(),
                        Format::OpenMetrics => exemplars(family.name()),
                    };
                    self.histogram(family.name(), labels, metric.get_histogram(), &exemplars);
                }
                MetricType::COUNTER => {
                    self.sample(family.name(), "", labels, None, metric.get_counter().get_value());
                }
                // No other kind is registered.
                _ => self.sample(family.name(), "", labels, None, metric.get_gauge().get_value()),
            }
        }
    }

    fn describe(&mut self, name: &str, help: &str, kind: MetricType) {
        let kind_name = match kind {
            MetricType::COUNTER => "counter",
            MetricType::HISTOGRAM => "histogram",
            _ => "gauge",
        };
        let (name, kind_name) = match (self.format, kind) {
            (Format::OpenMetrics, MetricType::COUNTER) => (stripped(name, "_total"), kind_name),
            (Format::OpenMetrics, _) if name.ends_with("_info") => {
                (stripped(name, "_info"), "info")
            }
            _ => (name, kind_name),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "# HELP {name} {}", escape(help, self.format));
        let _ = writeln!(self.out, "# TYPE {name} {kind_name}");
        let unit = ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(unit));
        if let Some(unit) = unit.filter(|_| self.format == Format::OpenMetrics) {
            let _ = writeln!(self.out, "# UNIT {name} {unit}");
        }
    }

    fn histogram(
        &mut self,
        name: &str,
        labels: &[LabelPair],
        histogram: &Histogram,
        exemplars: &[Option<Exemplar>],
    ) {
        let exemplars = exemplars.iter().copied().chain(std::iter::repeat(None));
        for (bucket, exemplar) in histogram.get_bucket().iter().zip(exemplars) {
            let bound = self.bound(bucket.upper_bound());
            self.sample_start(name, "_bucket", labels, Some(&bound));
            let _ = write!(self.out, " {}", bucket.cumulative_count());
            if let Some(exemplar) = exemplar {
                self.exemplar(&exemplar);
            }
            self.out.push('\n');
        }
        self.sample(name, "_sum", labels, None, histogram.get_sample_sum());
        self.sample_start(name, "_count", labels, None);
        let _ = writeln!(self.out, " {}", histogram.get_sample_count());
    }

    fn exemplar(&mut self, exemplar: &Exemplar) {
        self.out.push_str(" # {trace_id=\"");
        hex(&mut self.out, &exemplar.trace_id);
        self.out.push_str("\",span_id=\"");
        hex(&mut self.out, &exemplar.span_id);
        let at = exemplar.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let _ = write!(self.out, "\"}} {} {at:.3}", exemplar.value);
    }

    fn bound(&self, bound: f64) -> String {
        match self.format {
            Format::OpenMetrics if bound.fract() == 0.0 => format!("{bound:.1}"),
            _ => number(bound),
        }
    }

    fn sample(&mut self, name: &str, suffix: &str, labels: &[LabelPair], le: Option<&str>, v: f64) {
        self.sample_start(name, suffix, labels, le);
        self.out.push(' ');
        self.out.push_str(&number(v));
        self.out.push('\n');
    }

    fn sample_start(&mut self, name: &str, suffix: &str, labels: &[LabelPair], le: Option<&str>) {
        self.out.push_str(name);
        self.out.push_str(suffix);
        let pairs = labels.iter().map(|label| (label.name(), label.value()));
        let mut separator = '{';
        for (label, value) in pairs.chain(le.map(|bound| ("le", bound))) {
            self.out.push(separator);
            let _ = write!(self.out, "{label}=\"{}\"", escape(value, Format::OpenMetrics));
            separator = ',';
        }
        if separator == ',' {
            self.out.push('}');
        }
    }
}

/// Formats a number for both formats.
fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        value.to_string()
    }
}

/// Escapes text: quotes in labels, and in `OpenMetrics` also in descriptions.
fn escape(text: &str, format: Format) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if format == Format::OpenMetrics { text.replace('"', "\\\"") } else { text }
}

fn stripped<'a>(name: &'a str, suffix: &str) -> &'a str {
    name.strip_suffix(suffix).unwrap_or(name)
}

fn hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
}

#[cfg(test)]
#[path = "exposition_tests.rs"]
mod tests;
