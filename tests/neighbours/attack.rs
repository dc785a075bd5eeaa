//! What an attacker has: the broker's port, until when it goes on, and an account of what
//! it costs.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::common::raw::{Connect, Raw};

/// How long an attacker's blocking socket waits: it has to come back to see that it is over.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How long an attack goes on: `NEIGHBOUR_SECONDS`, or four seconds.
pub fn length() -> Duration {
    let seconds = std::env::var("NEIGHBOUR_SECONDS").ok().and_then(|n| n.parse().ok());
    Duration::from_secs(seconds.unwrap_or(4))
}

/// How many of something: fewer in the ordinary run.
pub fn many(ordinary: usize, long: usize) -> usize {
    if length() >= Duration::from_secs(10) { long } else { ordinary }
}

pub struct Attack {
    pub port: u16,
    until: Mutex<Instant>,
    bytes: AtomicU64,
    connections: AtomicU64,
    notes: Mutex<Vec<String>>,
}

impl Attack {
    /// Not over before [`Attack::begin`].
    pub fn new(port: u16) -> Self {
        Self {
            port,
            until: Mutex::new(Instant::now() + Duration::from_hours(1)),
            bytes: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            notes: Mutex::default(),
        }
    }

    /// From now on its length counts.
    pub fn begin(&self) {
        *self.until.lock().unwrap() = Instant::now() + length();
    }

    pub fn over(&self) -> bool {
        Instant::now() >= *self.until.lock().unwrap()
    }

    /// Waits until it is over, with all connections as they are.
    pub fn wait(&self) {
        let until = *self.until.lock().unwrap();
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
    }

    /// Something to read beside the figures.
    pub fn note(&self, note: String) {
        self.notes.lock().unwrap().push(note);
    }

    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }

    /// So many bytes were written.
    pub fn spent(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// A connection that has said nothing yet.
    pub fn dial(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        self.opened(&stream)?;
        Ok(stream)
    }

    /// A connection was opened elsewhere.
    pub fn opened(&self, stream: &TcpStream) -> io::Result<()> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))
    }

    /// Sends all of it.
    pub fn write(&self, stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
        stream.write_all(bytes)?;
        self.spent(bytes.len());
        Ok(())
    }

    /// A client of MQTT 3.1.1.
    pub fn client(&self, id: &str, clean: bool) -> io::Result<Raw> {
        let client = Raw::with(self.port, id, &Connect::new(4, clean))?;
        client.patience(PATIENCE);
        self.opened(&client.writer()?)?;
        Ok(client)
    }

    /// The same, subscribed at QoS 0, as a bare socket.
    pub fn subscriber(&self, id: &str, filter: &str) -> io::Result<TcpStream> {
        let mut client = self.client(id, true)?;
        client.subscribe(filter, 0)?;
        client.writer()
    }

    /// A connection on which CONNECT was answered; says with what.
    pub fn log_in(&self, id: &str, login: &Connect) -> io::Result<(TcpStream, u8)> {
        let mut stream = self.dial()?;
        self.write(&mut stream, &login.encode(id))?;
        let code = connack(&mut stream)?;
        Ok((stream, code))
    }
}

/// Reads a CONNACK to its end, and answers its code.
pub fn connack(stream: &mut TcpStream) -> io::Result<u8> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    let mut body = vec![0; head[1].into()];
    stream.read_exact(&mut body)?;
    Ok(body[1])
}

/// From now on this thread makes way for others: who attacks has a machine of its own.
pub fn make_way() {
    rustix::process::setpriority_process(None, 5).ok();
}
