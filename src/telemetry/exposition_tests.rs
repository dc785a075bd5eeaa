//! Both formats, compared exactly; `tests/clients/operations/test_metrics.py` also reads the
//! second one with an independent parser.

use std::time::Duration;

use prometheus::proto::{Bucket, Counter, Gauge, Metric};

use super::*;

const OPEN_METRICS: &str = include_str!("../../tests/clients/operations/exemplars.openmetrics");

fn family(name: &str, help: &str, kind: MetricType, metric: Metric) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(vec![metric]);
    family
}

fn labelled(mut metric: Metric, name: &str, value: &str) -> Metric {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value.to_owned());
    metric.set_label(vec![label]);
    metric
}

fn counter(value: f64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut metric = Metric::default();
    metric.set_counter(counter);
    metric
}

fn gauge(value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    Metric::from_gauge(gauge)
}

fn histogram(buckets: &[(f64, u64)], sum: f64) -> Metric {
    let mut histogram = Histogram::default();
    let bucket = |(bound, count): &(f64, u64)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(*count);
        bucket
    };
    histogram.set_bucket(buckets.iter().map(bucket).collect());
    histogram.set_sample_count(buckets.last().unwrap().1);
    histogram.set_sample_sum(sum);
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    metric
}

fn families() -> Vec<MetricFamily> {
    let odd = "a \"quoted\" \\ word\nand a line";
    let info = labelled(gauge(1.0), "version", "1.2.3");
    vec![
        family("x_build_info", "Always 1.", MetricType::GAUGE, info),
        family("x_empty", "Nothing.", MetricType::GAUGE, gauge(0.0)),
        family(
            "x_read_bytes_total",
            "Bytes.",
            MetricType::COUNTER,
            labelled(counter(7.0), "of", odd),
        ),
        family("x_seconds_to_full", odd, MetricType::GAUGE, gauge(f64::INFINITY)),
        family(
            "x_took_seconds",
            "Time.",
            MetricType::HISTOGRAM,
            histogram(&[(0.000_05, 1), (0.5, 1), (1.0, 3), (f64::INFINITY, 4)], 12.75),
        ),
    ]
}

fn text(format: Format) -> String {
    let mut families = families();
    families[1].set_metric(Vec::new());
    encode(&families, format, |name| {
        assert_eq!(name, "x_took_seconds");
        let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
        let exemplar = Exemplar { trace_id: [0xAB; 16], span_id: [1; 8], value: 0.75, at };
        vec![None, None, Some(exemplar), None]
    })
}

#[test]
fn openmetrics_has_exemplars_units_and_an_end() {
    assert_eq!(text(Format::OpenMetrics), OPEN_METRICS);
}

#[test]
fn plain_text_names_counters_in_full_and_points_to_no_trace() {
    let text = text(Format::Prometheus);
    for line in [
        "# TYPE x_build_info gauge",
        "# TYPE x_read_bytes_total counter",
        "x_read_bytes_total{of=\"a \\\"quoted\\\" \\\\ word\\nand a line\"} 7",
        "# HELP x_seconds_to_full a \"quoted\" \\\\ word\\nand a line",
        "x_seconds_to_full +Inf",
        "x_took_seconds_bucket{le=\"0.00005\"} 1",
        "x_took_seconds_bucket{le=\"1\"} 3",
        "x_took_seconds_bucket{le=\"+Inf\"} 4",
        "x_took_seconds_sum 12.75",
        "x_took_seconds_count 4",
    ] {
        assert!(text.lines().any(|other| other == line), "{line} is missing in\n{text}");
    }
    for absent in ["trace_id", "# UNIT", "# EOF", "x_empty"] {
        assert!(!text.contains(absent), "{absent} in\n{text}");
    }
}
