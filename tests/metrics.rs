//! The metrics of a real broker, checked with Prometheus' `promtool` in each state, and
//! compared with the table in `docs/metrics.md` in both directions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // As inside the crate's tests.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::broker::{Broker, binary};
use common::raw::{Publish, Raw, publish};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose,
};

/// A metric as the table or a scrape describes it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Metric {
    kind: String,
    labels: BTreeSet<String>,
    unit: String,
    help: String,
}

type Metrics = BTreeMap<String, Metric>;

fn unit_of(name: &str) -> &'static str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    match name.rsplit('_').next() {
        Some("seconds") => "seconds",
        Some("bytes") => "bytes",
        _ if name.contains("_seconds_") => "seconds",
        _ => "",
    }
}

/// The body of a `/metrics` response.
fn scrape(broker: &Broker) -> Option<String> {
    let answer = broker.get("/metrics")?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    Some(body.to_owned())
}

fn labels_of(series: &str) -> BTreeSet<String> {
    let inside = series.split_once('{').map_or("", |(_, rest)| rest.trim_end_matches('}'));
    // No label value here has a comma or an equals sign.
    let names = inside.split(',').filter_map(|pair| pair.split_once('=')).map(|(name, _)| name);
    names.filter(|name| *name != "le").map(str::to_owned).collect()
}

fn scraped(text: &str) -> Metrics {
    let (mut metrics, mut help, mut current) = (Metrics::new(), String::new(), String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            rest.split_once(' ').unwrap().1.clone_into(&mut help);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            name.clone_into(&mut current);
            let (kind, unit) = (kind.to_owned(), unit_of(name).to_owned());
            let metric = Metric { kind, labels: BTreeSet::new(), unit, help: help.clone() };
            assert!(metrics.insert(current.clone(), metric).is_none(), "{name} comes twice");
        } else {
            let (series, _) = line.rsplit_once(' ').unwrap();
            metrics.get_mut(&current).unwrap().labels.extend(labels_of(series));
        }
    }
    metrics
}

/// Parses rows that begin with a metric's name: name, type, labels, unit, meaning, advice.
fn documented() -> Metrics {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut metrics = Metrics::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, unit, help, _] = cells[..] else { panic!("six columns: {line}") };
        let labels = labels.split(", ").map(|label| label.trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        let (kind, unit, help) = (kind.to_owned(), unit.to_owned(), help.to_owned());
        let known =
            metrics.insert(name.trim_matches('`').to_owned(), Metric { kind, labels, unit, help });
        assert!(known.is_none(), "{name} stands twice in the table");
    }
    metrics
}

/// Sends messages of each QoS, stored and delivered, some still queued and some acknowledged.
fn make_traffic(broker: &Broker) {
    let mut receiver = Raw::connect(broker.port, 5, "receiver", false).unwrap();
    receiver.subscribe("t", 2).unwrap();
    Raw::connect(broker.port, 4, "away", false).unwrap().subscribe("t", 1).unwrap();
    let mut publisher = Raw::connect(broker.port, 4, "publisher", true).unwrap();
    let mut out = Vec::new();
    for qos in 0..3_u8 {
        let (topic, payload) = ("t".into(), b"x".to_vec());
        publish(&mut out, 4, &Publish { dup: false, qos, pid: 1 + u16::from(qos), topic, payload });
    }
    publisher.send(&out).unwrap();
    publisher.recv().unwrap();
    publisher.recv().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while broker.metric("ferrymq_persistence_last_commit_timestamp_seconds") == 0.0 {
        assert!(Instant::now() < deadline, "no commit\n{}", broker.log());
    }
}

fn assert_promtool_is_silent(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool of Debian's package prometheus, which tests/run installs");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
}

/// A listener with TLS, for the metrics of its certificate and its revocation list.
fn add_tls(broker: &mut Broker) {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let own = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let crl = CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2020, 1, 1),
        next_update: rcgen::date_time_ymd(2100, 1, 1),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let crl = crl.signed_by(&own).unwrap().pem().unwrap();
    broker.set("FERRYMQ_LISTENERS__SECURE__BIND", "127.0.0.1:0");
    broker.set("FERRYMQ_LISTENERS__SECURE__PROTOCOL", "mqtts");
    broker.set("FERRYMQ_LISTENERS__SECURE__TLS__CLIENT_AUTH", "optional");
    for (key, name, text) in [
        ("CERTIFICATE_FILE", "own.pem", own.pem()),
        ("CLIENT_CA_FILE", "ca.pem", own.pem()),
        ("KEY_FILE", "own.key", own.key().serialize_pem()),
        ("CRL_FILE", "crl.pem", crl),
    ] {
        let path = broker.directory().join(name);
        std::fs::write(&path, text).unwrap();
        broker.set(&format!("FERRYMQ_LISTENERS__SECURE__TLS__{key}"), path.to_str().unwrap());
    }
}

#[test]
fn each_metric_is_in_the_table_and_each_row_is_scraped() {
    let mut broker = Broker::stopped(binary(), &[]);
    add_tls(&mut broker);
    // Nobody listens there.
    broker.set("FERRYMQ_BRIDGES__UP__ADDRESSES", "[\"mqtt://127.0.0.1:1\"]");
    broker.set("FERRYMQ_BRIDGES__UP__FORWARD", "[{ filter = \"nothing/#\" }]");
    broker.up();
    make_traffic(&broker);
    let (documented, scraped) = (documented(), scraped(&scrape(&broker).unwrap()));
    for (name, metric) in &scraped {
        let Metric { kind, labels, unit, help } = metric;
        let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let row = format!("| `{name}` | {kind} | {labels} | {unit} | {help} | ... |");
        assert_eq!(documented.get(name), Some(metric), "docs/metrics.md needs a row like\n{row}");
    }
    let gone: Vec<_> = documented.keys().filter(|name| !scraped.contains_key(*name)).collect();
    assert!(gone.is_empty(), "in docs/metrics.md and not scraped: {gone:?}");
}

#[test]
fn promtool_has_nothing_to_say_after_traffic_and_without_persistence() {
    let broker = Broker::start();
    assert_promtool_is_silent(&scrape(&broker).unwrap());
    make_traffic(&broker);
    assert_promtool_is_silent(&scrape(&broker).unwrap());

    let memory = Broker::with(&[("FERRYMQ_PERSISTENCE__ENABLED", "false")]);
    Raw::connect(memory.port, 5, "a", true).unwrap().subscribe("t", 1).unwrap();
    let text = scrape(&memory).unwrap();
    assert_promtool_is_silent(&text);
    let store = "ferrymq_persistence_commits_total";
    assert!(!text.contains(store), "without a store there is nothing to tell of it\n{text}");
}

#[test]
fn a_broker_that_is_still_starting_can_be_scraped() {
    let mut broker = Broker::start();
    assert_eq!(broker.stop(), Some(0));
    let text = scrape_of_a_start(&mut broker);
    assert_promtool_is_silent(&text);
    assert!(text.contains("ferrymq_state{state=\"starting\"} 1"), "{text}");
    assert!(text.contains("ferrymq_persistence_commits_total 0"), "{text}");
    let size = "ferrymq_persistence_database_size_bytes";
    assert!(!text.contains(size), "not known yet: 0 would be an empty file\n{text}");
}

/// Scrapes a start that waits because another program has locked the database. The wait is
/// limited, and a busy machine may be too slow, so there are several attempts.
fn scrape_of_a_start(broker: &mut Broker) -> String {
    for _ in 0..10 {
        let file = rusqlite::Connection::open(broker.database()).unwrap();
        file.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
        broker.spawn();
        while broker.is_alive() {
            if let Some(text) = scrape(broker) {
                drop(file);
                broker.kill();
                return text;
            }
        }
    }
    panic!("never seen while it starts\n{}", broker.log());
}

#[test]
fn connections_are_counted_by_listener_and_version() {
    let broker = Broker::stopped(binary(), &[("FERRYMQ_LISTENERS__SIDE__BIND", "127.0.0.1:0")]);
    let mut broker = broker;
    broker.up();
    let silent = std::net::TcpStream::connect(("127.0.0.1", broker.port)).unwrap();
    let five = Raw::connect(broker.port, 5, "five", true).unwrap();
    let line = |line: &str| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !scrape(&broker).unwrap().lines().any(|other| other == line) {
            assert!(Instant::now() < deadline, "{line}\n{}", scrape(&broker).unwrap());
        }
    };
    line("ferrymq_connections{listener=\"tcp\",version=\"none\"} 1");
    line("ferrymq_connections{listener=\"tcp\",version=\"5.0\"} 1");
    line("ferrymq_connections{listener=\"side\",version=\"5.0\"} 0");
    drop((silent, five));
    line("ferrymq_connections{listener=\"tcp\",version=\"none\"} 0");
    line("ferrymq_connections{listener=\"tcp\",version=\"5.0\"} 0");
    line("ferrymq_connections_closed_total{listener=\"tcp\",version=\"5.0\"} 1");
}
