//! `ferrymq drill` and `ferrymq bench`: their findings and exit codes, and that they leave no
//! files behind.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // As inside the crate's tests.

mod common;

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::broker::{binary, binary_with_failpoints};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

fn ferrymq(program: &Path, home: &TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("FERRYMQ_")) {
        command.env_remove(key);
    }
    command
        .args(args)
        .env("FERRYMQ_PERSISTENCE__PATH", home.path().join("data/ferrymq.db"))
        .stdin(Stdio::null());
    command
}

fn run(home: &TempDir, args: &[&str]) -> (i32, Value) {
    answer(&ferrymq(&binary(), home, args).output().unwrap())
}

fn answer(output: &Output) -> (i32, Value) {
    let said = String::from_utf8_lossy(&output.stdout);
    let value = serde_json::from_str(&said)
        .unwrap_or_else(|_| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), value)
}

fn assert_nothing_is_left(home: &TempDir) {
    let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_drill_with_fsync_finds_every_promise_kept() {
    let home = tempfile::tempdir().unwrap();
    let (code, report) =
        run(&home, &["drill", "--json", "--rounds", "2", "--seconds", "1", "--seed", "7"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["held"], true);
    assert_eq!((&report["durability"], &report["seed"]), (&"fsync".into(), &7.into()));
    let rounds = report["rounds"].as_array().unwrap();
    assert_eq!(rounds.len(), 2);
    assert!(rounds.iter().all(|round| round["ready_seconds"].as_f64().unwrap() > 0.0));
    assert!(rounds.iter().all(|round| round["database_bytes"].as_u64().unwrap() > 0));
    // Each receiver has received everything that was acknowledged.
    let receivers = report["receivers"].as_array().unwrap();
    assert_eq!(receivers.len(), 5);
    for receiver in receivers {
        assert!(receiver["expected"].as_u64().unwrap() > 0, "{receiver}");
        assert_eq!(receiver["expected"], receiver["received"]);
    }
    assert!(report["retained"]["checked"].as_u64().unwrap() > 0);
    assert!(report["cuts"].as_u64().unwrap() > 0);
    assert_nothing_is_left(&home);
}

#[test]
fn a_drill_with_async_reports_what_was_lost() {
    let home = tempfile::tempdir().unwrap();
    // No flush happens during the drill: everything since the first commit is lost.
    let args = [
        "drill",
        "--json",
        "--durability",
        "async",
        "--rounds",
        "1",
        "--seconds",
        "1",
        "--set",
        "persistence.flush_interval=1m",
    ];
    // The first commit comes at once; on a busy machine it sometimes contains all sessions.
    let mut reports = (0..5).map(|_| run(&home, &args));
    let lost = |report: &serde_json::Value| report["sessions_lost"].as_u64().unwrap() > 0;
    let (code, report) = reports.find(|(_, report)| lost(report)).unwrap();
    assert_eq!(code, 6, "{report:#}");
    assert_eq!(report["held"], false);
    assert!(report["lost"].as_u64().unwrap() > 0);
    assert!(report["retained"]["lost"].as_u64().unwrap() > 0);
    assert!(report["broken"][0].as_str().unwrap().ends_with("acknowledged messages were lost"));
    assert_nothing_is_left(&home);
}

#[test]
fn a_drill_notices_a_broker_that_acknowledges_before_the_commit() {
    let home = tempfile::tempdir().unwrap();
    let args = ["drill", "--json", "--rounds", "3", "--seconds", "0.5"];
    // On a fast disk all three cuts may come when nothing is acknowledged early.
    let mut reports = (0..5).map(|_| {
        let mut command = ferrymq(&binary_with_failpoints(), &home, &args);
        answer(&command.env("FERRYMQ_SABOTAGE", "acknowledge-early").output().unwrap())
    });
    let (code, report) = reports.find(|(code, _)| *code != 0).expect("it notices nothing");
    assert_eq!(code, 6, "{report:#}");
    assert!(report["lost"].as_u64().unwrap() > 0);
    assert_eq!(report["durability"], "fsync");
}

#[test]
fn a_bench_has_all_figures_and_they_are_sane() {
    let home = tempfile::tempdir().unwrap();
    let args = [
        "bench",
        "--json",
        "--seconds",
        "0.1",
        "--publishers",
        "3",
        "--window",
        "20",
        "--payload",
        "64B",
        "--durability",
        "fsync,memory",
    ];
    let (code, report) = run(&home, &args);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!((&report["publishers"], &report["window"]), (&3.into(), &20.into()));
    assert_eq!(report["payload"], 64);
    check_disk(&report["disk"]);
    let shapes = [(0, "online"), (1, "online"), (1, "offline"), (2, "online"), (2, "offline")];
    let expected: Vec<_> =
        shapes.iter().flat_map(|shape| ["memory", "fsync"].map(|level| (*shape, level))).collect();
    let throughput = report["throughput"].as_array().unwrap();
    let latency = report["latency"].as_array().unwrap();
    assert_eq!((throughput.len(), latency.len()), (expected.len(), expected.len()));
    for (((qos, place), level), (throughput, latency)) in
        expected.into_iter().zip(throughput.iter().zip(latency))
    {
        for row in [throughput, latency] {
            assert_eq!((&row["qos"], &row["subscriber"]), (&qos.into(), &place.into()));
            assert_eq!(row["durability"], level);
            assert!(row["messages_per_second"].as_f64().unwrap() > 0.0, "{row}");
        }
        check_throughput(throughput);
        assert_eq!(latency["acknowledged"].is_null(), qos == 0);
        assert_eq!(latency["received"].is_null(), place == "offline");
        for times in [&latency["acknowledged"], &latency["received"]] {
            check_times(times);
        }
    }
    // Nothing is elided for an offline receiver: every message was written.
    let offline = throughput
        .iter()
        .find(|row| row["durability"] == "fsync" && row["subscriber"] == "offline");
    assert!(offline.unwrap()["written_bytes_per_message"].as_f64().unwrap() >= 64.0);
    assert!(offline.unwrap()["commits_per_second"].as_f64().unwrap() > 0.0);
    let conclusions = report["conclusions"].as_array().unwrap();
    // There is one more conclusion if other programs were busy.
    assert!((5..=6).contains(&conclusions.len()));
    assert!(conclusions[0].as_str().unwrap().starts_with("QoS 1, subscriber online: fsync costs "));
    assert!(conclusions[4].as_str().unwrap().contains("Without persistence"));
    assert_nothing_is_left(&home);
}

fn check_disk(disk: &Value) {
    assert!(disk["fsyncs_per_second"].as_f64().unwrap() > 0.0);
    assert!(disk["write_bytes_per_second"].as_f64().unwrap() > 0.0);
    assert!(disk["fsync"]["count"].as_u64().unwrap() > 0);
    check_times(&disk["fsync"]);
}

fn check_times(times: &Value) {
    if times.is_null() {
        return;
    }
    let names = ["p50", "p90", "p99", "p99_9", "max"];
    let values = names.map(|name| times[name].as_f64().unwrap());
    assert!(values[0] > 0.0 && values.is_sorted(), "{times}");
}

fn check_throughput(row: &Value) {
    let shares = [
        "cpu_share",
        "clients_cpu_share",
        "writer_cpu_share",
        "writer_busy_share",
        "disk_wait_share",
        "elided_share",
    ];
    for name in shares {
        let share = row[name].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&share), "{name} in {row}");
    }
    for name in ["lost", "repeated", "reordered"] {
        assert_eq!(row[name], 0, "{row}");
    }
    assert!(row["messages"].as_u64().unwrap() > 0);
    assert_eq!(row["drained_per_second"].is_null(), row["subscriber"] == "online");
    if row["durability"] == "memory" {
        assert_eq!(row["commits_per_second"], 0.0);
    }
}

#[test]
fn ctrl_c_ends_both_without_a_trace() {
    for command in ["bench", "drill"] {
        let home = tempfile::tempdir().unwrap();
        let mut child = ferrymq(&binary(), &home, &[command])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let broker = await_broker(&home, &mut child);
        let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        let code = child.wait().unwrap().code();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(code, Some(130), "{said}");
        assert_eq!(said, "ferrymq: interrupted\n");
        assert!(!Path::new(&format!("/proc/{broker}")).exists(), "the broker is left behind");
        assert_nothing_is_left(&home);
    }
}

#[test]
fn a_broker_under_test_does_not_outlive_its_parent() {
    let home = tempfile::tempdir().unwrap();
    let mut child = ferrymq(&binary(), &home, &["drill"]).spawn().unwrap();
    let broker = await_broker(&home, &mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let alive = || {
        let stat = std::fs::read_to_string(format!("/proc/{broker}/stat")).unwrap_or_default();
        // A zombie is still listed.
        !stat.is_empty() && !stat.contains(") Z ")
    };
    while alive() {
        assert!(Instant::now() < deadline, "it still runs");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for the broker that `child` starts, and returns its process id from the lock file of
/// its database.
fn await_broker(home: &TempDir, child: &mut Child) -> u32 {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        assert!(Instant::now() < deadline, "no broker was started");
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        if let Some(pid) = lock_file(home) {
            return pid;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn lock_file(home: &TempDir) -> Option<u32> {
    let scratch = std::fs::read_dir(home.path().join("data")).ok()?.flatten().next()?.path();
    // `bench` uses a directory for each of its brokers.
    let places = [scratch.join("ferrymq.db.lock"), scratch.join("broker/ferrymq.db.lock")];
    let text = places.iter().find_map(|path| std::fs::read_to_string(path).ok())?;
    text.trim().parse().ok()
}

#[test]
fn a_refused_start_is_one_line_that_says_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let cases = [
        ("drill", "persistence.enabled=false", 2, "--durability"),
        ("drill", "persistence.path=/proc/nowhere/db", 3, "mounted and writable"),
        ("bench", "persistence.path=/proc/nowhere/db", 3, "mounted and writable"),
    ];
    for (command, setting, code, hint) in cases {
        let output = ferrymq(&binary(), &home, &[command, "--set", setting]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.lines().count() == 1 && said.contains(hint), "{said}");
        assert!(output.stdout.is_empty());
    }
    assert_nothing_is_left(&home);
}
