//! What a scrape looks like.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::*;
use crate::protocol::QoS;
use crate::telemetry::{DropReason, HistogramSnapshot, PacketType, State};

fn scrape(prepare: impl FnOnce(&Metrics, &Readiness, &MetricsRegistry)) -> String {
    let (metrics, readiness) = (Arc::new(Metrics::default()), Readiness::default());
    let registry = MetricsRegistry::new(&metrics, &readiness).unwrap();
    prepare(&metrics, &readiness, &registry);
    registry.render().unwrap()
}

struct Fixed;

impl HistogramSource for Fixed {
    fn snapshot(&self) -> HistogramSnapshot {
        HistogramSnapshot { boundaries: &[0.001, 0.01], counts: vec![2, 3, 1], sum: 0.5 }
    }
}

fn with_store_metrics(_: &Metrics, _: &Readiness, registry: &MetricsRegistry) {
    registry
        .histogram("ferrymq_persistence_commit_duration_seconds", "COMMIT.", Arc::new(Fixed))
        .unwrap();
    registry
        .counter("ferrymq_persistence_errors_total", "Errors.", |see| see(7, &[("code", "full")]));
}

#[test]
fn counts_are_scraped_under_their_names() {
    let text = scrape(|metrics, readiness, _| {
        metrics.messages.received.add(QoS::AtLeastOnce, 5);
        metrics.messages.dropped.inc(DropReason::TooLarge);
        metrics.packets.received_bytes.add(PacketType::Publish, 1234);
        metrics.sessions.waiting.set(3);
        readiness.set(State::Ready);
    });
    for line in [
        "# TYPE ferrymq_messages_received_total counter",
        "ferrymq_messages_received_total{qos=\"1\"} 5",
        "ferrymq_messages_received_total{qos=\"2\"} 0",
        "ferrymq_persistence_dropped_messages_total{reason=\"too_large\"} 1",
        "ferrymq_received_bytes_total{type=\"publish\"} 1234",
        "ferrymq_sessions{state=\"waiting\"} 3",
        "ferrymq_state{state=\"ready\"} 1",
        "ferrymq_state{state=\"starting\"} 0",
        "# TYPE ferrymq_connections gauge",
        concat!("ferrymq_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
    ] {
        assert!(text.lines().any(|other| other == line), "{line} is missing in\n{text}");
    }
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
    for line in [
        "ferrymq_persistence_commit_duration_seconds_bucket{le=\"0.001\"} 2",
        "ferrymq_persistence_commit_duration_seconds_bucket{le=\"0.01\"} 5",
        "ferrymq_persistence_commit_duration_seconds_bucket{le=\"+Inf\"} 6",
        "ferrymq_persistence_commit_duration_seconds_sum 0.5",
        "ferrymq_persistence_commit_duration_seconds_count 6",
        "ferrymq_persistence_errors_total{code=\"full\"} 7",
    ] {
        assert!(text.lines().any(|other| other == line), "{line} is missing in\n{text}");
    }
}

#[test]
fn a_histogram_can_be_registered_once() {
    scrape(|metrics, readiness, registry| {
        with_store_metrics(metrics, readiness, registry);
        let name = "ferrymq_persistence_commit_duration_seconds";
        assert!(registry.histogram(name, "COMMIT.", Arc::new(Fixed)).is_err());
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

/// Runs where Prometheus' own checker is installed, as it is in CI.
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
