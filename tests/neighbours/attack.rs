//! An attack: the broker's port, the end of the attack, and the attacker's cost.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use super::common::raw::{Connect, Raw};

/// Read timeout of an attacker's blocking socket, so that it notices the end of the attack.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Length of an attack: `NEIGHBOUR_SECONDS`, or four seconds.
pub fn length() -> Duration {
    let seconds = std::env::var("NEIGHBOUR_SECONDS").ok().and_then(|n| n.parse().ok());
    Duration::from_secs(seconds.unwrap_or(4))
}

/// `ordinary`, or `long` for attacks of 10 s and more.
pub fn many(ordinary: usize, long: usize) -> usize {
    if length() >= Duration::from_secs(10) { long } else { ordinary }
}

/// True if the broker has sent something by now.
pub fn is_answered(stream: &TcpStream) -> bool {
    // It is not used any more.
    stream.set_nonblocking(true).is_ok() && stream.peek(&mut [0]).is_ok_and(|count| count > 0)
}

/// Last numbers of the addresses that an attack comes from, in 127.0.0.0/24. The neighbours
/// have 1.
pub const HOSTS: [u8; 4] = [2, 3, 4, 5];

pub struct Attack {
    /// Of the neighbours.
    pub port: u16,
    /// Of the listener under attack, where that is not the neighbours'.
    pub target: u16,
    until: Mutex<Instant>,
    bytes: AtomicU64,
    connections: AtomicU64,
    notes: Mutex<Vec<String>>,
}

impl Attack {
    /// Creates an attack that does not end before [`Attack::begin`].
    pub fn new(port: u16, target: u16) -> Self {
        Self {
            port,
            target,
            until: Mutex::new(Instant::now() + Duration::from_hours(1)),
            bytes: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            notes: Mutex::default(),
        }
    }

    /// Starts the time of the attack.
    pub fn begin(&self) {
        *self.until.lock().unwrap() = Instant::now() + length();
    }

    pub fn over(&self) -> bool {
        Instant::now() >= *self.until.lock().unwrap()
    }

    /// Waits for the end of the attack, with all connections unchanged.
    pub fn wait(&self) {
        let until = *self.until.lock().unwrap();
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
    }

    /// Adds a note that is printed with the figures.
    pub fn note(&self, note: String) {
        self.notes.lock().unwrap().push(note);
    }

    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }

    /// Counts bytes written by the attacker.
    pub fn spent(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Opens a connection and sends nothing.
    pub fn dial(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        self.opened(&stream)?;
        Ok(stream)
    }

    /// The same to the target, from one of [`HOSTS`] in turn.
    pub fn dial_from(&self, number: usize) -> io::Result<TcpStream> {
        let address = |host, port| SockAddr::from(SocketAddr::from(([127, 0, 0, host], port)));
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&address(HOSTS[number % HOSTS.len()], 0))?;
        socket.connect(&address(1, self.target))?;
        let stream = TcpStream::from(socket);
        self.opened(&stream)?;
        Ok(stream)
    }

    /// Calls `act` at a fixed rate, with the number of the call, until the attack is over.
    pub fn each(&self, period: Duration, mut act: impl FnMut(usize)) {
        let mut due = Instant::now();
        for number in 0.. {
            if self.over() {
                return;
            }
            act(number);
            due += period;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }

    /// Counts a connection that was opened elsewhere, and sets its options.
    pub fn opened(&self, stream: &TcpStream) -> io::Result<()> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))
    }

    /// Sends all bytes and counts them.
    pub fn write(&self, stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
        stream.write_all(bytes)?;
        self.spent(bytes.len());
        Ok(())
    }

    /// Connects an MQTT 3.1.1 client.
    pub fn client(&self, id: &str, clean: bool) -> io::Result<Raw> {
        let client = Raw::with(self.port, id, &Connect::new(4, clean))?;
        client.patience(PATIENCE);
        self.opened(&client.writer()?)?;
        Ok(client)
    }

    /// The same, subscribed at QoS 0, as a socket.
    pub fn subscriber(&self, id: &str, filter: &str) -> io::Result<TcpStream> {
        let mut client = self.client(id, true)?;
        client.subscribe(filter, 0)?;
        client.writer()
    }

    /// Connects and returns the code of CONNACK.
    pub fn log_in(&self, id: &str, login: &Connect) -> io::Result<(TcpStream, u8)> {
        let mut stream = self.dial()?;
        self.write(&mut stream, &login.encode(id))?;
        let code = connack(&mut stream)?;
        Ok((stream, code))
    }
}

/// Reads a CONNACK and returns its code.
pub fn connack(stream: &mut TcpStream) -> io::Result<u8> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    let mut body = vec![0; head[1].into()];
    stream.read_exact(&mut body)?;
    Ok(body[1])
}

/// Lowers the priority of this thread: an attacker would have its own machine.
pub fn make_way() {
    rustix::process::setpriority_process(None, 5).ok();
}
