//! The contents of a scrape and of a push.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_sdk::metrics::data::{
    AggregatedMetrics, MetricData, ResourceMetrics, SumDataPoint,
};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader};

use super::*;
use crate::protocol::QoS;
use crate::telemetry::{DropReason, PacketType, RejectReason, State};

const COMMIT: &str = "ferrymq_persistence_commit_duration_seconds";
const SYNC: &str = "ferrymq_persistence_sync_duration_seconds";

fn scrape(prepare: impl FnOnce(&Metrics, &Readiness, &MetricsRegistry)) -> String {
    let (metrics, readiness) = (Arc::new(Metrics::default()), Readiness::default());
    let registry = MetricsRegistry::new(&metrics, &readiness).unwrap();
    prepare(&metrics, &readiness, &registry);
    registry.render(Format::Prometheus)
}

fn assert_lines(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|other| other == *line), "{line} is missing in\n{text}");
    }
}

fn with_store_metrics(_: &Metrics, _: &Readiness, registry: &MetricsRegistry) {
    let histogram = Arc::new(AtomicHistogram::seconds());
    registry.histogram(COMMIT, "COMMIT.", &histogram).unwrap();
    for micros in [10, 700, 900, 20_000_000] {
        histogram.record_duration(Duration::from_micros(micros));
    }
    registry
        .counter("ferrymq_persistence_errors_total", "Errors.", |see| see(7, &[("code", "full")]));
    registry
        .limitless_gauge("ferrymq_persistence_seconds_to_full", "Forecast.", || Some(f64::INFINITY))
        .unwrap();
}

#[test]
fn counts_are_scraped_under_their_names() {
    let text = scrape(|metrics, readiness, _| {
        let listener = metrics.connections.listeners.of("tcp");
        listener.opened.inc(crate::protocol::Version::V5);
        listener.rejected.inc(RejectReason::ClientId);
        listener.handshaking.inc();
        metrics.messages.received.add(QoS::AtLeastOnce, 5);
        metrics.messages.dropped.inc(DropReason::TooLarge);
        metrics.messages.in_flight.add(4);
        metrics.packets.received_bytes.add(PacketType::Publish, 1234);
        metrics.sessions.waiting.set(3);
        readiness.set(State::Ready);
    });
    assert_lines(
        &text,
        &[
            "# TYPE ferrymq_messages_received_total counter",
            "ferrymq_messages_received_total{qos=\"1\"} 5",
            "ferrymq_messages_received_total{qos=\"2\"} 0",
            "ferrymq_persistence_dropped_messages_total{reason=\"too_large\"} 1",
            "ferrymq_received_bytes_total{type=\"publish\"} 1234",
            "ferrymq_sessions{state=\"waiting\"} 3",
            "ferrymq_inflight_messages 4",
            "ferrymq_state{state=\"ready\"} 1",
            "ferrymq_state{state=\"starting\"} 0",
            "# TYPE ferrymq_connections gauge",
            "ferrymq_connections{listener=\"tcp\",version=\"none\"} 1",
            "ferrymq_connections{listener=\"tcp\",version=\"5.0\"} 0",
            "ferrymq_connections_opened_total{listener=\"tcp\",version=\"5.0\"} 1",
            "ferrymq_connections_rejected_total{listener=\"tcp\",reason=\"client_id\"} 1",
            concat!("ferrymq_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ],
    );
    assert!(!text.contains("otel_scope"), "{text}");
}

#[test]
fn every_name_begins_like_ours_and_every_counter_ends_in_total() {
    let text = scrape(with_store_metrics);
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let ours = name.starts_with("ferrymq_") || name.starts_with("process_");
        assert!(ours || name == "target_info", "{line}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
    }
}

#[test]
fn the_store_can_add_histograms_and_counters() {
    let text = scrape(with_store_metrics);
    assert_lines(
        &text,
        &[
            "ferrymq_persistence_commit_duration_seconds_bucket{le=\"0.00005\"} 1",
            "ferrymq_persistence_commit_duration_seconds_bucket{le=\"0.001\"} 3",
            "ferrymq_persistence_commit_duration_seconds_bucket{le=\"10\"} 3",
            "ferrymq_persistence_commit_duration_seconds_bucket{le=\"+Inf\"} 4",
            "ferrymq_persistence_commit_duration_seconds_sum 20.00161",
            "ferrymq_persistence_commit_duration_seconds_count 4",
            "ferrymq_persistence_errors_total{code=\"full\"} 7",
            "ferrymq_persistence_seconds_to_full +Inf",
        ],
    );
}

#[test]
fn a_histogram_can_be_registered_once() {
    scrape(|metrics, readiness, registry| {
        with_store_metrics(metrics, readiness, registry);
        let another = Arc::new(AtomicHistogram::seconds());
        assert!(registry.histogram(COMMIT, "COMMIT.", &another).is_err());
    });
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_reports_memory_files_and_time() {
    let text = scrape(|_, _, _| ());
    for name in ["resident_memory_bytes", "open_fds", "max_fds", "threads", "start_time_seconds"] {
        let value = text.lines().find_map(|line| line.strip_prefix(&format!("process_{name} ")));
        assert!(value.unwrap().parse::<f64>().unwrap() > 0.0, "{name} in\n{text}");
    }
    assert!(text.contains("process_cpu_seconds_total "));
}

/// A push, as the SDK passes it to an exporter, and the scrape of the same registry.
fn pushed(prepare: impl FnOnce(&Metrics, &MetricsRegistry)) -> (Vec<ResourceMetrics>, String) {
    let exporter = InMemoryMetricExporter::default();
    let reader = PeriodicReader::builder(exporter.clone()).build();
    let push = SdkMeterProvider::builder().with_reader(reader).build();
    let (metrics, readiness) = (Arc::new(Metrics::default()), Readiness::default());
    let resource = Resource::builder_empty().with_service_name("ferrymq").build();
    let registry =
        MetricsRegistry::with_push(&metrics, &readiness, resource, Some(push.clone())).unwrap();
    prepare(&metrics, &registry);
    push.force_flush().unwrap();
    (exporter.get_finished_metrics().unwrap(), registry.render(Format::Prometheus))
}

fn find<'a>(pushed: &'a [ResourceMetrics], name: &str) -> Option<&'a AggregatedMetrics> {
    let scopes = pushed.iter().flat_map(ResourceMetrics::scope_metrics);
    let mut found = scopes.flat_map(opentelemetry_sdk::metrics::data::ScopeMetrics::metrics);
    found.find(|metric| metric.name() == name).map(opentelemetry_sdk::metrics::data::Metric::data)
}

#[test]
fn what_is_scraped_is_pushed_from_the_same_atomics() {
    let (pushed, scraped) = pushed(|metrics, _| metrics.messages.received.add(QoS::AtLeastOnce, 5));
    let Some(AggregatedMetrics::U64(MetricData::Sum(sum))) =
        find(&pushed, "ferrymq_messages_received")
    else {
        panic!("{pushed:?}")
    };
    let values: Vec<_> = sum.data_points().map(SumDataPoint::value).collect();
    assert_eq!((values.iter().sum::<u64>(), sum.is_monotonic()), (5, true));
    assert_lines(&scraped, &["ferrymq_messages_received_total{qos=\"1\"} 5"]);
}

#[test]
fn histograms_are_pushed_with_their_boundaries_and_scraped_once() {
    let (pushed, scraped) = pushed(|_, registry| {
        let histogram = Arc::new(AtomicHistogram::seconds());
        registry.operation(SYNC, "COMMIT.", &histogram, "COMMIT").unwrap();
        histogram.record_duration(Duration::from_millis(3));
        histogram.record_duration(Duration::from_millis(4));
    });
    for name in [SYNC, "db.client.operation.duration"] {
        let Some(AggregatedMetrics::F64(MetricData::Histogram(histogram))) = find(&pushed, name)
        else {
            panic!("{name} in {pushed:?}")
        };
        let point = histogram.data_points().next().unwrap();
        assert_eq!((point.count(), point.bounds().collect::<Vec<_>>()), (2, SECONDS.to_vec()));
        assert!((point.sum() - 0.007).abs() < 1e-9);
        let operation = point.attributes().any(|pair| pair.value.as_str() == "COMMIT");
        assert_eq!(operation, name != SYNC);
    }
    assert_eq!(scraped.matches(&format!("# TYPE {SYNC} ")).count(), 1);
    assert!(!scraped.contains("db_client"), "the scrape does not repeat it:\n{scraped}");
}

/// Runs if Prometheus' own checker is installed, as `tests/run` ensures. `tests/metrics.rs`,
/// which requires it, checks the scrape of a real broker.
#[test]
fn promtool_finds_nothing_to_say() {
    let spawned = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = spawned else { return };
    let text = scrape(with_store_metrics);
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}
