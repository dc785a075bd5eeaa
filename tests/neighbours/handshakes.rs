//! TLS handshakes in bursts, with a certificate whose signature takes the broker about a
//! millisecond: a burst is a fifth of a second of one thread.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use rustls::ClientConnection;
use rustls::version::{TLS12, TLS13};

use super::attack::{Attack, is_answered};
use super::common::tls;
use super::common::waits::{Span, Times};
use super::stage::Scene;

/// 400 handshakes a second: about half of what one thread computes.
const BURST: usize = 200;
const EVERY: Duration = Duration::from_millis(500);

/// First messages, and then nothing.
#[test]
fn half_open_tls() {
    /// Ten seconds of them, after which the broker has closed a connection
    /// (`mqtt.connect_timeout`).
    const HELD: usize = 20 * BURST;
    let stage = Scene { target: Some("mqtts"), ..Scene::new("half_open_tls") }.start();
    // What it costs the attacker: one message, made once.
    let mut hello = Vec::new();
    tls::write(&mut tls::connection(&tls::client(&TLS13, false)), &mut hello);
    let (mut begun, mut answered) = (0, 0);
    let mut outcome = stage.play(|attack| {
        let mut open = VecDeque::new();
        attack.each(EVERY, |_| {
            for number in 0..BURST {
                let Ok(mut stream) = attack.dial_from(number) else { continue };
                begun += usize::from(attack.write(&mut stream, &hello).is_ok());
                open.push_back(stream);
            }
            open.drain(..open.len().saturating_sub(HELD));
        });
        answered = open.iter().filter(|stream| is_answered(stream)).count();
        attack.note(format!("{begun} half-open handshakes, {answered} of the last are answered"));
    });
    outcome.expect(answered > begun.min(HELD) / 2, || {
        format!("{answered} of {begun} first messages were answered")
    });
    outcome.check();
}

/// Handshakes that succeed, after which the client closes the connection. No session is
/// resumed.
#[test]
fn tls_handshakes() {
    let stage = Scene { target: Some("mqtts"), ..Scene::new("tls_handshakes") }.start();
    let mut flood = Flood::new();
    let mut outcome = stage.play(|attack| flood.run(attack));
    outcome.expect(flood.took.len() > flood.begun / 2, || {
        format!("{} of {} handshakes succeeded", flood.took.len(), flood.begun)
    });
    outcome.check();
}

/// Handshakes on one thread.
struct Flood {
    poll: Poll,
    open: BTreeMap<usize, Handshake>,
    begun: usize,
    failed: usize,
    took: Times,
}

struct Handshake {
    stream: mio::net::TcpStream,
    connection: ClientConnection,
    began: Instant,
}

impl Flood {
    fn new() -> Self {
        Self {
            poll: Poll::new().unwrap(),
            open: BTreeMap::new(),
            begun: 0,
            failed: 0,
            took: Times::default(),
        }
    }

    fn run(&mut self, attack: &Attack) {
        let configs = [tls::client(&TLS13, false), tls::client(&TLS12, false)];
        let mut events = Events::with_capacity(1024);
        let mut due = Instant::now();
        while !attack.over() {
            if Instant::now() >= due {
                due += EVERY;
                for number in 0..BURST {
                    let connection = tls::connection(&configs[number % 2]);
                    match attack.dial_from(number) {
                        Ok(stream) => self.begin(stream, connection, attack),
                        Err(_) => self.failed += 1,
                    }
                }
            }
            let wait = due.saturating_duration_since(Instant::now());
            self.poll.poll(&mut events, Some(wait.min(Duration::from_millis(20)))).ok();
            for event in &events {
                self.go_on(event.token().0, attack);
            }
        }
        let waits = self.took.within(Span { from: Duration::ZERO, to: Duration::MAX });
        let [p50, p99, max] = [waits.p50, waits.p99, waits.max];
        attack.note(format!(
            "{} of {} handshakes succeeded: {p50:.1}/{p99:.1}/{max:.1} ms; {} failed",
            waits.count, self.begun, self.failed
        ));
    }

    fn begin(&mut self, stream: TcpStream, connection: ClientConnection, attack: &Attack) {
        stream.set_nonblocking(true).unwrap();
        let mut stream = mio::net::TcpStream::from_std(stream);
        let number = self.begun;
        self.begun += 1;
        self.poll.registry().register(&mut stream, Token(number), Interest::READABLE).unwrap();
        self.open.insert(number, Handshake { stream, connection, began: Instant::now() });
        self.go_on(number, attack);
    }

    fn go_on(&mut self, number: usize, attack: &Attack) {
        let Some(handshake) = self.open.get_mut(&number) else { return };
        let goes_on = handshake.go_on(attack);
        if goes_on && handshake.connection.is_handshaking() {
            return;
        }
        if goes_on {
            self.took.push(Duration::ZERO, handshake.began.elapsed());
        } else {
            self.failed += 1;
        }
        self.open.remove(&number);
    }
}

impl Handshake {
    /// Reads and writes what there is. False if the connection is broken.
    fn go_on(&mut self, attack: &Attack) -> bool {
        let mut chunk = [0; 16 << 10];
        match self.stream.read(&mut chunk) {
            Ok(0) => return false,
            Ok(count) => {
                let mut read = &chunk[..count];
                while !read.is_empty() {
                    self.connection.read_tls(&mut read).unwrap();
                    if self.connection.process_new_packets().is_err() {
                        return false;
                    }
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
        let mut out = Vec::new();
        tls::write(&mut self.connection, &mut out);
        attack.spent(out.len());
        // A few hundred bytes always fit.
        self.stream.write_all(&out).is_ok()
    }
}
