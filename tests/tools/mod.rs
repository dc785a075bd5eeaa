//! A broker with a database in its own directory, and `ferrymq db` for it.

#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::common::broker::{Broker, binary};
use super::common::drain::until;
use super::common::publisher::Publisher;
use super::common::raw::Raw;
use super::common::subscriber::Subscriber;

pub struct Site {
    pub broker: Broker,
    directory: tempfile::TempDir,
    path: PathBuf,
    published: AtomicU64,
    qos: u8,
}

impl Site {
    /// A stopped broker without a database.
    pub fn stopped() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data").join("the database.db");
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        let setting = ("FERRYMQ_PERSISTENCE__PATH", path.to_str().unwrap());
        let broker = Broker::stopped(binary(), &[setting]);
        Self { broker, directory, path, published: AtomicU64::new(0), qos: 1 }
    }

    /// A running broker with `count` messages queued for the client `away`.
    pub fn with_messages(count: u64, qos: u8) -> Self {
        let mut site = Self::stopped();
        site.qos = qos;
        site.broker.up();
        Subscriber::new("away", 4).subscribe(site.broker.port, "crash/#", qos);
        site.publish(count);
        site
    }

    /// Publishes `count` more messages, all of which are acknowledged on return.
    pub fn publish(&self, count: u64) {
        let name = if self.published.load(Ordering::Relaxed) == 0 { "p" } else { "more" };
        let mut publisher = Publisher::new(name, 4, self.qos, 1000).with_payload(256);
        if name == "more" {
            // Clean sessions before and after, so that the number of sessions does not change.
            Raw::connect(self.broker.port, 4, name, true).unwrap();
        }
        publisher.run(self.broker.port, count).unwrap();
        if name == "more" {
            Raw::connect(self.broker.port, 4, name, true).unwrap().until_ping().unwrap();
        }
        self.published.fetch_add(count, Ordering::Relaxed);
        self.until_all_are_away();
    }

    /// A disconnect is in the database one commit after the connection has ended.
    fn until_all_are_away(&self) {
        until("all sessions are away", Duration::from_mins(1), || {
            self.json(&["status"])["sessions"]["connected"] == 0
        });
    }

    pub fn publish_retained(&self) {
        let mut client = Raw::connect(self.broker.port, 4, "retainer", true).unwrap();
        let mut out = Vec::new();
        super::common::raw::frame(&mut out, 0x31, b"\x00\x01rpayload");
        client.send(&out).unwrap();
        client.until_ping().unwrap();
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path in this test's directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Sends SIGTERM and waits for an orderly end.
    pub fn stop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.broker.pid()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let status = self.broker.wait_dead();
        assert!(status.success(), "{status}\n{}", self.broker.log());
    }

    pub fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        run(&self.path, arguments)
    }

    pub fn ok(&self, arguments: &[&str]) {
        let (code, out, err) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}\n{out}{err}");
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        let (code, out, err) = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(code, 0, "{arguments:?}\n{out}{err}");
        serde_json::from_str(&out).unwrap()
    }

    pub fn sql(&self, sql: &str) {
        rusqlite::Connection::open(&self.path).unwrap().execute_batch(sql).unwrap();
    }

    /// A copy of the stopped database, changed by `sql`.
    pub fn broken_by(&self, sql: &str) -> PathBuf {
        let copy = self.file("broken.db");
        std::fs::copy(&self.path, &copy).unwrap();
        let connection = rusqlite::Connection::open(&copy).unwrap();
        connection
            .set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false)
            .unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        copy
    }
}

/// `ferrymq` without `FERRYMQ_` variables.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferrymq"));
    for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("FERRYMQ_")) {
        command.env_remove(key);
    }
    command.args(arguments);
    command
}

/// The log of a broker that refuses to start on `path`.
pub fn start_on(path: &Path) -> String {
    let off = ["--set", "listeners.tcp.bind=127.0.0.1:0", "--set", "http.bind=off", "--set"];
    let output =
        command(&off).arg(format!("persistence.path={}", path.display())).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

/// `ferrymq db ARGUMENTS --database PATH`: exit code, output, errors.
pub fn run(path: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = command(&["db"]).args(arguments).arg("--database").arg(path).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Names of all files in the directory of `path`.
pub fn files(path: &Path) -> Vec<String> {
    let names = std::fs::read_dir(path.parent().unwrap()).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Publishes to `crash/load` until the broker ends, and counts acknowledged messages.
pub fn load(port: u16) -> (JoinHandle<()>, Arc<AtomicU64>) {
    let acknowledged = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&acknowledged);
    let thread = std::thread::spawn(move || {
        let mut publisher = Publisher::new("load", 4, 1, 1000).with_payload(256);
        let mut next = 0;
        loop {
            next += 20_000;
            if publisher.run(port, next).is_err() {
                return;
            }
            counted.store(publisher.acknowledged, Ordering::SeqCst);
        }
    });
    (thread, acknowledged)
}

/// Waits until the count is larger than `than`.
pub fn more_than(count: &AtomicU64, than: u64) -> u64 {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let now = count.load(Ordering::SeqCst);
        if now > than {
            return now;
        }
        assert!(Instant::now() < deadline, "no more than {than} acknowledged");
        std::thread::sleep(Duration::from_millis(5));
    }
}
