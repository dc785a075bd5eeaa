//! Runs the broker binary with its own ports and directory.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

const READY_WITHIN: Duration = Duration::from_mins(1);

pub struct Broker {
    pub port: u16,
    http: u16,
    leases: Vec<Port>,
    binary: PathBuf,
    directory: tempfile::TempDir,
    settings: Vec<(String, String)>,
    /// A command with arguments that starts the broker, such as `setpriv`.
    pub wrapper: Vec<String>,
    child: Option<Child>,
}

/// The binary under test: `BROKER_BINARY`, or the one that cargo has built with the tests.
/// (Names that begin with `FERRYMQ_` are the broker's configuration.)
pub fn binary() -> PathBuf {
    std::env::var_os("BROKER_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_ferrymq").into(), absolute)
}

/// The binary with failpoints: `BROKER_FAILPOINTS_BINARY`, or one that is built now.
pub fn binary_with_failpoints() -> PathBuf {
    if let Some(path) = std::env::var_os("BROKER_FAILPOINTS_BINARY") {
        return absolute(path);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = root.join("target/failpoints");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--features", "failpoints", "--target-dir"])
        .arg(&target)
        .current_dir(root)
        .status()
        .unwrap();
    assert!(built.success(), "cargo build --features failpoints");
    target.join("debug/ferrymq")
}

fn absolute(path: std::ffi::OsString) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A port that belongs to its owner until it is dropped. It is below the range of outgoing
/// connections; a file lock reserves it against other test processes.
pub struct Port {
    pub number: u16,
    _lease: File,
}

/// Number of ports that this process has tried.
static TRIED: AtomicU16 = AtomicU16::new(0);

impl Port {
    pub fn lease() -> Self {
        let directory = std::env::temp_dir().join("ferrymq-ports-rust");
        std::fs::create_dir_all(&directory).unwrap();
        // Processes start at different ports and continue upwards.
        let start = u16::try_from(std::process::id().wrapping_mul(37) % 8_000).unwrap();
        loop {
            let offset = start.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed));
            let number = 20_000 + offset % 8_000;
            let lease = File::create(directory.join(number.to_string())).unwrap();
            if lease.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Self { number, _lease: lease };
            }
        }
    }
}

impl Broker {
    pub fn start() -> Self {
        Self::with(&[])
    }

    pub fn with(settings: &[(&str, &str)]) -> Self {
        let mut broker = Self::stopped(binary(), settings);
        broker.up();
        broker
    }

    pub fn stopped(binary: PathBuf, settings: &[(&str, &str)]) -> Self {
        let leases = [Port::lease(), Port::lease()];
        Self {
            port: leases[0].number,
            http: leases[1].number,
            leases: leases.into(),
            binary,
            directory: tempfile::tempdir().unwrap(),
            settings: settings.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            wrapper: Vec::new(),
            child: None,
        }
    }

    /// The directory of its database and its log.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn database(&self) -> PathBuf {
        self.directory.path().join("ferrymq.db")
    }

    /// Sets a variable for the next start; an empty value removes it.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.retain(|(k, _)| k != key);
        if !value.is_empty() {
            self.settings.push((key.into(), value.into()));
        }
    }

    /// Adds a listener for the next start, and returns its port.
    pub fn listen(&mut self, name: &str, protocol: &str) -> u16 {
        let lease = Port::lease();
        let (port, key) = (lease.number, format!("FERRYMQ_LISTENERS__{}__", name.to_uppercase()));
        self.set(&format!("{key}PROTOCOL"), protocol);
        self.set(&format!("{key}BIND"), &format!("127.0.0.1:{port}"));
        self.leases.push(lease);
        port
    }

    /// Starts the broker and returns how long it took to be ready.
    pub fn up(&mut self) -> Duration {
        let started = Instant::now();
        if let Err(code) = self.try_up() {
            panic!("exit code {code:?}\n{}", self.log());
        }
        started.elapsed()
    }

    /// As `up`, but returns the exit code of a start that failed.
    pub fn try_up(&mut self) -> Result<(), Option<i32>> {
        let started = Instant::now();
        self.spawn();
        while !self.is_ready() {
            if let Some(exit) = self.child.as_mut().unwrap().try_wait().unwrap() {
                self.child = None;
                return Err(exit.code());
            }
            assert!(started.elapsed() < READY_WITHIN, "not ready\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Starts the process without waiting.
    pub fn spawn(&mut self) {
        let log = OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap();
        self.child = Some(self.command(log).spawn().unwrap());
    }

    /// Starts the broker, which must fail, and returns its exit code and what it logged.
    pub fn refused(&mut self) -> (Option<i32>, String) {
        let before = self.log().len();
        let code = self.try_up().expect_err("a start that is refused");
        (code, self.log()[before..].to_owned())
    }

    fn command(&self, log: File) -> Command {
        let mut command = match self.wrapper.split_first() {
            Some((wrapper, arguments)) => {
                let mut command = Command::new(wrapper);
                command.args(arguments).arg(&self.binary);
                command
            }
            None => Command::new(&self.binary),
        };
        for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("FERRYMQ_")) {
            command.env_remove(key);
        }
        command
            .current_dir(self.directory.path())
            .env("FERRYMQ_LISTENERS__TCP__BIND", format!("127.0.0.1:{}", self.port))
            .env("FERRYMQ_HTTP__BIND", format!("127.0.0.1:{}", self.http))
            .env("FERRYMQ_PERSISTENCE__PATH", self.database())
            .envs(self.settings.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log);
        command
    }

    fn is_ready(&self) -> bool {
        self.get("/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// The complete response to a GET on the HTTP listener.
    pub fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// The sum of a metric's series.
    pub fn metric(&self, name: &str) -> f64 {
        let answer = self.get("/metrics").unwrap_or_default();
        let of_name = answer.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        of_name.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// `VmRSS` or `VmHWM` in KiB.
    pub fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Sends SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().unwrap();
        }
    }

    /// Sends SIGTERM and returns the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(self.child.as_ref().unwrap());
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.wait_dead().code()
    }

    /// Waits until the process has ended by itself.
    pub fn wait_dead(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut child = self.child.take().unwrap();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() > deadline {
                child.kill().ok();
                panic!("it was expected to die\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("broker.log")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The log, once it has `text`: lines are written by a thread of their own.
    pub fn log_with(&self, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let log = self.log();
            if log.contains(text) {
                return log;
            }
            assert!(Instant::now() < deadline, "no \"{text}\" in\n{log}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            println!("--- broker log\n{}", self.log());
        }
    }
}
