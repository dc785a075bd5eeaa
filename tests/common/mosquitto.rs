//! Debian's Mosquitto as a process, with a configuration and a port of its own. With persistence
//! its sessions are on disk after a clean stop, and after `kill -9` what it last saved.

use std::fs::{self, File};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::broker::Port;

pub struct Mosquitto {
    pub port: u16,
    _lease: Port,
    directory: tempfile::TempDir,
    child: Option<Child>,
}

/// True if it can be run here.
pub fn is_installed() -> bool {
    Command::new("mosquitto").arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

impl Mosquitto {
    /// Without limits on what is queued; `more` lines are added to its configuration.
    pub fn start(more: &[&str]) -> Self {
        let lease = Port::lease();
        let (port, directory) = (lease.number, tempfile::tempdir().unwrap());
        // As root it would become another user, who may not read the test's directory.
        let lines = format!(
            "user root\nlog_dest stderr\nallow_anonymous true\nlistener {port} 127.0.0.1\n\
             max_queued_messages 0\nmax_queued_bytes 0\nsys_interval 0\n\
             persistence_location {}/\n{}\n",
            directory.path().display(),
            more.join("\n")
        );
        fs::write(directory.path().join("mosquitto.conf"), lines).unwrap();
        let mut mosquitto = Self { port, _lease: lease, directory, child: None };
        mosquitto.up();
        mosquitto
    }

    pub fn up(&mut self) {
        let log = File::options().create(true).append(true).open(self.path("mosquitto.log"));
        let child = Command::new("mosquitto")
            .arg("-c")
            .arg(self.path("mosquitto.conf"))
            .stdin(Stdio::null())
            .stderr(log.unwrap())
            .spawn();
        self.child = Some(child.unwrap());
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGTERM: it saves its sessions.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        child.wait().unwrap();
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("mosquitto.log")).unwrap_or_default()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
        if std::thread::panicking() {
            println!("--- mosquitto's log\n{}", self.log());
        }
    }
}
