//! Metrics that the scrape reads without OpenTelemetry: histograms, for which it has no
//! observable instrument, and gauges that may be infinite, which it omits.

use std::collections::HashMap;
use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Gauge, Histogram, Metric, MetricFamily, MetricType};

use super::AtomicHistogram;

/// One metric without labels, read at each scrape.
pub(super) struct Scraped<F> {
    desc: Desc,
    kind: MetricType,
    read: F,
}

impl<F: Fn() -> Option<Metric>> Scraped<F> {
    fn new(name: &str, help: &str, kind: MetricType, read: F) -> prometheus::Result<Self> {
        let desc = Desc::new(name.to_owned(), help.to_owned(), Vec::new(), HashMap::new())?;
        Ok(Self { desc, kind, read })
    }
}

/// A collector for a histogram.
pub(super) fn histogram(
    name: &str,
    help: &str,
    histogram: Arc<AtomicHistogram>,
) -> prometheus::Result<impl Collector + use<>> {
    Scraped::new(name, help, MetricType::HISTOGRAM, move || Some(metric_of(&histogram)))
}

/// A collector for a gauge, which is omitted while `read` returns `None`.
pub(super) fn gauge<F>(
    name: &str,
    help: &str,
    read: Arc<F>,
) -> prometheus::Result<impl Collector + use<F>>
where
    F: Fn() -> Option<f64> + Send + Sync + 'static,
{
    Scraped::new(name, help, MetricType::GAUGE, move || {
        let mut gauge = Gauge::default();
        gauge.set_value(read()?);
        Some(Metric::from_gauge(gauge))
    })
}

impl<F: Fn() -> Option<Metric> + Send + Sync> Collector for Scraped<F> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Some(metric) = (self.read)() else { return Vec::new() };
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(self.kind);
        family.set_metric(vec![metric]);
        vec![family]
    }
}

fn metric_of(histogram: &AtomicHistogram) -> Metric {
    let snapshot = histogram.snapshot();
    let mut total = 0;
    let mut buckets = Vec::with_capacity(snapshot.counts.len());
    let bounds = snapshot.bounds.iter().copied().chain([f64::INFINITY]);
    for (bound, count) in bounds.zip(&snapshot.counts) {
        total += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(total);
        buckets.push(bucket);
    }
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(total);
    histogram.set_sample_sum(snapshot.sum);
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    metric
}
