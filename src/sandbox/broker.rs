//! The broker under test, as a child process.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Metrics, SandboxError};
use crate::config::Config;
use crate::load::Stop;

/// Time limit of a start. A recovery takes seconds for millions of messages.
const READY_WITHIN: Duration = Duration::from_mins(2);

/// Lines of the log that are shown if the broker fails.
const TAIL: usize = 12;

/// Time between two checks of the stop request.
const LOOK: Duration = Duration::from_millis(50);

/// A running `ferrymq serve`. A drop kills it: its database is not needed any more.
#[derive(Debug)]
pub struct Broker {
    child: Child,
    log: PathBuf,
    copying: Option<JoinHandle<()>>,
    mqtt: SocketAddr,
    http: SocketAddr,
    ready_after: Duration,
}

impl Broker {
    /// Starts this executable with `config` and waits until the broker is ready. Its
    /// configuration and log are written to `directory`; an existing log is appended to.
    ///
    /// # Errors
    /// The broker cannot be started, or ends before it is ready; the error shows its log.
    pub fn start(directory: &Path, config: &Config, stop: &Stop) -> Result<Self, SandboxError> {
        let file = directory.join("ferrymq.toml");
        let text =
            config.to_toml().map_err(|error| SandboxError::Configuration(error.to_string()))?;
        std::fs::write(&file, text)
            .map_err(|source| SandboxError::Directory { path: file.clone(), source })?;
        let log = directory.join("broker.log");
        let writer = File::options().create(true).append(true).open(&log);
        let writer =
            writer.map_err(|source| SandboxError::Directory { path: log.clone(), source })?;

        let started = Instant::now();
        let (mut child, program) = spawn(&file)?;
        let (lines, said) = channel();
        let Some(errors) = child.stderr.take() else {
            let source = std::io::Error::other("its log cannot be read");
            return Err(SandboxError::Spawn { program, source });
        };
        let copying = std::thread::spawn(move || copy(errors, writer, &lines));
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut broker = Self {
            child,
            log,
            copying: Some(copying),
            mqtt: unknown,
            http: unknown,
            ready_after: Duration::ZERO,
        };
        broker.await_ready(&said, started, stop)?;
        Ok(broker)
    }

    fn await_ready(
        &mut self,
        said: &Receiver<String>,
        started: Instant,
        stop: &Stop,
    ) -> Result<(), SandboxError> {
        loop {
            match said.recv_timeout(LOOK) {
                Ok(line) if line.ends_with(" ready") => break,
                Ok(line) => self.note_address(&line),
                Err(RecvTimeoutError::Disconnected) => return Err(self.failed("did not start")),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if stop.is_set() {
                return Err(SandboxError::Interrupted);
            }
            if started.elapsed() > READY_WITHIN {
                return Err(self.failed("was not ready in time"));
            }
        }
        self.ready_after = started.elapsed();
        Ok(())
    }

    /// Parses `... listening listener="tcp" address=127.0.0.1:4711`.
    fn note_address(&mut self, line: &str) {
        let Some((_, rest)) = line.split_once("listening listener=\"") else { return };
        let Some((name, address)) = rest.split_once("\" address=") else { return };
        let Ok(address) = address.parse() else { return };
        match name {
            "tcp" => self.mqtt = address,
            "http" => self.http = address,
            _ => {}
        }
    }

    /// The address of the MQTT listener.
    pub fn address(&self) -> SocketAddr {
        self.mqtt
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Time from the start of the process to "ready".
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// Reads its metrics.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn metrics(&self) -> Result<Metrics, SandboxError> {
        Metrics::scrape(self.http).map_err(SandboxError::Figures)
    }

    /// Sends SIGKILL and waits for the end of the process.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(copying) = self.copying.take() {
            let _ = copying.join();
        }
    }

    /// True if the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Builds the error for a broker that failed: exit status and end of its log.
    pub fn failed(&mut self, what: &str) -> SandboxError {
        // The process may end a moment after its log.
        let deadline = Instant::now() + Duration::from_secs(1);
        while !self.has_ended() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let ended = self.child.try_wait().ok().flatten();
        self.kill();
        let what = ended.map_or_else(|| what.to_owned(), |status| format!("{what} ({status})"));
        SandboxError::Broker { what, log: tail(&self.log) }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(file: &Path) -> Result<(Child, PathBuf), SandboxError> {
    let program = PathBuf::from("ferrymq");
    let program = std::env::current_exe()
        .map_err(|source| SandboxError::Spawn { program: program.clone(), source })?;
    let mut command = Command::new(&program);
    for (name, _) in std::env::vars_os() {
        // The configuration is in the file. Variables for test builds are not keys and stay.
        let key = name.to_str().is_some_and(|name| name.starts_with("FERRYMQ_"));
        if key && name != "FERRYMQ_FAILPOINT" && name != "FERRYMQ_SABOTAGE" {
            command.env_remove(name);
        }
    }
    command
        .args(["serve", "--end-with-parent", &std::process::id().to_string(), "--config"])
        .arg(file)
        // Ctrl-C must reach only this process, which ends the broker itself.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    match command.spawn() {
        Ok(child) => Ok((child, program)),
        Err(source) => Err(SandboxError::Spawn { program, source }),
    }
}

/// Copies the log into its file, and sends each line while there is a receiver.
fn copy(errors: impl Read, mut log: File, lines: &Sender<String>) {
    let mut errors = BufReader::new(errors);
    let mut line = Vec::new();
    while matches!(errors.read_until(b'\n', &mut line), Ok(1..)) {
        let _ = log.write_all(&line);
        let _ = lines.send(String::from_utf8_lossy(&line).trim_end().to_owned());
        line.clear();
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let mut last = VecDeque::new();
    for line in text.lines() {
        last.push_back(line);
        if last.len() > TAIL {
            last.pop_front();
        }
    }
    last.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
