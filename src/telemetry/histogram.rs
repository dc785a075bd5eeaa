//! Histograms of plain atomics, as Prometheus wants to read them.

use std::collections::HashMap;
use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, Metric, MetricFamily, MetricType};

/// What a histogram holds at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSnapshot {
    /// Upper bounds of the buckets, rising, without infinity.
    pub boundaries: &'static [f64],
    /// Values in each bucket alone, not added up; one more than there are
    /// boundaries, the last for what is above them all.
    pub counts: Vec<u64>,
    /// The sum of all values.
    pub sum: f64,
}

/// Whoever counts into buckets.
pub trait HistogramSource: Send + Sync + 'static {
    /// Read at each scrape.
    fn snapshot(&self) -> HistogramSnapshot;
}

/// One histogram in the registry.
pub(super) struct HistogramCollector {
    desc: Desc,
    source: Arc<dyn HistogramSource>,
}

impl HistogramCollector {
    pub(super) fn new(
        name: &str,
        help: &str,
        source: Arc<dyn HistogramSource>,
    ) -> prometheus::Result<Self> {
        let desc = Desc::new(name.to_owned(), help.to_owned(), Vec::new(), HashMap::new())?;
        Ok(Self { desc, source })
    }
}

impl Collector for HistogramCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let snapshot = self.source.snapshot();
        let mut histogram = Histogram::default();
        let mut total = 0;
        let mut buckets = Vec::with_capacity(snapshot.boundaries.len());
        for (bound, count) in snapshot.boundaries.iter().zip(&snapshot.counts) {
            total += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(total);
            buckets.push(bucket);
        }
        // The text encoder adds the last bucket, which is the count of them all.
        total += snapshot.counts.iter().skip(snapshot.boundaries.len()).sum::<u64>();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(total);
        histogram.set_sample_sum(snapshot.sum);
        let mut metric = Metric::default();
        metric.set_histogram(histogram);
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(vec![metric]);
        vec![family]
    }
}
