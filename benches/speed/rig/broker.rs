//! One broker process with its own directory and ports.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::metrics::Metrics;
use super::watch::Watch;
use super::{Vitals, certificate, conf};
use crate::args::{Args, BrokerKind};
use crate::load::Endpoint;
use crate::setup::Setup;

const START: Duration = Duration::from_secs(10);
const STOP: Duration = Duration::from_secs(20);

pub struct Broker {
    child: Child,
    pub mqtt: Endpoint,
    http: Option<SocketAddr>,
    watch: Option<Watch>,
    // Removed when the broker is dropped.
    _dir: TempDir,
}

impl Broker {
    /// Starts a broker with an empty directory and waits until it accepts connections.
    pub fn start(args: &Args, setup: Setup) -> io::Result<Self> {
        fs::create_dir_all(&args.dir)?;
        let dir = tempfile::Builder::new().prefix("speed-").tempdir_in(&args.dir)?;
        let (mqtt, http) = free_ports()?;
        let log = dir.path().join("broker.log");
        let Setup { broker: kind, transport, .. } = setup;
        let issued =
            transport.is_encrypted().then(|| certificate::issue(dir.path())).transpose()?;
        let (certificate, trust) = issued.unzip();
        let certificate = certificate.as_ref();
        let place = conf::Place { mqtt, http, dir: dir.path(), certificate };
        let mut command = conf::command(args, setup, &place)?;
        let watch = (kind == BrokerKind::FerrymqWatched).then(Watch::start).transpose()?;
        if let Some(watch) = &watch {
            command
                .env("FERRYMQ_TELEMETRY__OTLP_ENDPOINT", format!("http://{}", watch.collector))
                .env("FERRYMQ_TELEMETRY__OTLP_INTERVAL", "5s");
        }
        let output = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", command.get_program().display()))
        })?;
        let http = (kind != BrokerKind::Mosquitto).then_some(http);
        let mqtt = Endpoint { address: mqtt, tls: trust, websocket: transport.is_websocket() };
        let mut broker = Self { child, mqtt, http, watch, _dir: dir };
        broker.await_ready(&setup.to_string(), &log)?;
        if let Some((watch, http)) = broker.watch.as_ref().zip(broker.http) {
            watch.scrape(http);
        }
        Ok(broker)
    }

    fn await_ready(&mut self, name: &str, log: &Path) -> io::Result<()> {
        let deadline = Instant::now() + START;
        while TcpStream::connect(self.mqtt.address).is_err() {
            if Instant::now() > deadline || self.child.try_wait()?.is_some() {
                let log = fs::read_to_string(log).unwrap_or_default();
                return Err(io::Error::other(format!("{name} did not start:\n{log}")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    pub fn vitals(&self) -> io::Result<Vitals> {
        Vitals::read(self.child.id())
    }

    /// The broker's metrics, if it has any.
    pub fn metrics(&self) -> Option<Metrics> {
        Metrics::scrape(self.http?).ok()
    }

    /// Fails if a broker that was to be watched was never scraped or never pushed.
    pub fn check_watched(&self) -> io::Result<()> {
        match self.watch.as_ref().map(Watch::seen) {
            Some((pushes, scrapes)) if pushes == 0 || scrapes == 0 => Err(io::Error::other(
                format!("the broker was not watched: {pushes} pushes, {scrapes} scrapes"),
            )),
            _ => Ok(()),
        }
    }

    /// Waits until every delete is on disk. `None` if the broker does not report it.
    pub fn await_committed(&self, patience: Duration) -> Option<bool> {
        let deadline = Instant::now() + patience;
        loop {
            let metrics = self.metrics()?;
            let pending = metrics.get("ferrymq_persistence_pending_writes")?;
            let queued = metrics.get("ferrymq_persistence_queued_messages").unwrap_or_default();
            if pending == 0.0 && queued == 0.0 {
                return Some(true);
            }
            if Instant::now() > deadline {
                return Some(false);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let deadline = Instant::now() + STOP;
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two ports that were free just before.
fn free_ports() -> io::Result<(SocketAddr, SocketAddr)> {
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let second = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok((first.local_addr()?, second.local_addr()?))
}
