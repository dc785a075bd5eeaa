//! Slow-loris: many connections that send a byte now and then. Some do so from their first
//! byte on, others after an opening that the broker has invested something in.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection};

use super::attack::Attack;
use super::common::packets::{self, Connect, Message};
use super::common::{tls, websocket};
use super::stage::Scene;

const CONNECTIONS: usize = 400;
/// The connections take turns: each sends a byte every 20 ms, all of them 20,000 a second.
const AT_ONCE: usize = 40;
const EVERY: Duration = Duration::from_millis(2);

/// CONNECT, then PUBLISH, byte by byte.
#[test]
fn slow_tcp() {
    drip("slow_tcp", None, |number| Box::new(Tcp { number, said: 0 }));
}

/// A handshake byte by byte, from its first, second or third flight on, which carries MQTT.
#[test]
fn slow_tls() {
    let config = tls::client(&TLS13, false);
    drip("slow_tls", Some("mqtts"), |number| Box::new(Tls::new(number, &config)));
}

/// The request byte by byte, or the frames after it.
#[test]
fn slow_websocket() {
    drip("slow_websocket", Some("ws"), |number| {
        Box::new(WebSocket { tcp: Tcp { number, said: 0 }, asked: false })
    });
}

/// What a connection says: one piece after the other.
trait Speaker {
    /// The next piece. None: it has to wait for the broker.
    fn next(&mut self, stream: &mut TcpStream) -> Option<Vec<u8>>;
}

/// Packets of MQTT: CONNECT, then PUBLISH without end.
struct Tcp {
    number: usize,
    said: usize,
}

impl Tcp {
    fn packet(&mut self) -> Vec<u8> {
        self.said += 1;
        if self.said == 1 {
            return Connect::passing(4).encode(&format!("slow-{}", self.number));
        }
        let mut out = Vec::new();
        let message = Message { topic: "slow", payload: &[b's'; 50], ..Message::default() };
        packets::message(&mut out, 4, &message);
        out
    }
}

impl Speaker for Tcp {
    fn next(&mut self, _: &mut TcpStream) -> Option<Vec<u8>> {
        Some(self.packet())
    }
}

struct WebSocket {
    tcp: Tcp,
    asked: bool,
}

impl Speaker for WebSocket {
    fn next(&mut self, _: &mut TcpStream) -> Option<Vec<u8>> {
        if !std::mem::replace(&mut self.asked, true) {
            return Some(websocket::REQUEST.to_vec());
        }
        let mut out = Vec::new();
        let packet = self.tcp.packet();
        websocket::frame(&mut out, websocket::FIN | websocket::BINARY, [1, 2, 3, 4], &packet);
        Some(out)
    }
}

struct Tls {
    connection: ClientConnection,
    tcp: Tcp,
}

impl Tls {
    fn new(number: usize, config: &Arc<ClientConfig>) -> Self {
        Self { connection: tls::connection(config), tcp: Tcp { number, said: 0 } }
    }

    fn read(&mut self, stream: &mut TcpStream) {
        let mut chunk = [0; 16 << 10];
        let Ok(count) = stream.read(&mut chunk) else { return };
        let mut read = &chunk[..count];
        while !read.is_empty() && self.connection.read_tls(&mut read).is_ok() {
            // An alert; the next write fails.
            let Ok(_) = self.connection.process_new_packets() else { return };
            let mut plain = Vec::new();
            self.connection.reader().read_to_end(&mut plain).ok();
        }
    }
}

impl Speaker for Tls {
    fn next(&mut self, stream: &mut TcpStream) -> Option<Vec<u8>> {
        self.read(stream);
        let mut out = Vec::new();
        tls::write(&mut self.connection, &mut out);
        if out.is_empty() && !self.connection.is_handshaking() {
            let packet = self.tcp.packet();
            self.connection.writer().write_all(&packet).unwrap();
            tls::write(&mut self.connection, &mut out);
        }
        (!out.is_empty()).then_some(out)
    }
}

struct Member {
    stream: TcpStream,
    speaker: Box<dyn Speaker>,
    /// The piece that is being sent, and how much of it was.
    piece: Vec<u8>,
    sent: usize,
    /// Number of pieces before it.
    pieces: usize,
    /// The first piece that is sent slowly.
    slow_from: usize,
}

impl Member {
    /// Sends a byte, or a whole piece of its opening. False if the broker has closed the
    /// connection.
    fn speak(&mut self, attack: &Attack) -> bool {
        if self.sent == self.piece.len() {
            let Some(piece) = self.speaker.next(&mut self.stream) else { return true };
            self.pieces += usize::from(!self.piece.is_empty());
            (self.piece, self.sent) = (piece, 0);
        }
        let end = if self.pieces < self.slow_from { self.piece.len() } else { self.sent + 1 };
        match self.stream.write(&self.piece[self.sent..end]) {
            Ok(count) => {
                self.sent += count;
                attack.spent(count);
                true
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}

fn drip(
    name: &'static str,
    target: Option<&str>,
    speaker: impl Fn(usize) -> Box<dyn Speaker> + Sync,
) {
    let stage = Scene { target, ..Scene::new(name) }.start();
    let mut most = 0;
    let mut outcome = stage.play(|attack| {
        let (mut number, mut closed, mut refused) = (0, 0, 0);
        let mut open = || {
            number += 1;
            let stream = attack.dial_from(number).ok()?;
            stream.set_nonblocking(true).ok()?;
            let (speaker, slow_from) = (speaker(number), number % 3);
            Some(Member { stream, speaker, piece: Vec::new(), sent: 0, pieces: 0, slow_from })
        };
        let mut members: Vec<_> = std::iter::repeat_with(&mut open).take(CONNECTIONS).collect();
        attack.each(EVERY, |round| {
            let first = round * AT_ONCE % CONNECTIONS;
            for member in &mut members[first..first + AT_ONCE] {
                if member.as_mut().is_some_and(|member| !member.speak(attack)) {
                    closed += 1;
                    *member = None;
                }
                if member.is_none() {
                    *member = open();
                    refused += usize::from(member.is_none());
                }
            }
        });
        most = members.iter().flatten().map(|member| member.pieces).max().unwrap_or_default();
        attack.note(format!("{closed} connections closed by the broker, {refused} refused"));
    });
    outcome.expect(most >= 3, || format!("only {most} pieces were sent: it was no slow-loris"));
    outcome.check();
}
