//! WebSocket as a client that uses all freedom that RFC 6455 allows: it splits what it sends
//! into frames of any size, sends pings between them, and may not wait for the response.

use super::Layer;
use crate::common::rng::Rng;
use crate::common::websocket::{
    ACCEPT, BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, REQUEST, frame, take_frame,
};

/// In bytes. Together they are below the limit for a message, `mqtt.max_packet_size`.
const LARGEST_FRAME: usize = 100_000;
const LARGEST_MESSAGE: usize = 500_000;

/// The opening handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    Due,
    Asked,
    Done,
}

#[derive(Debug)]
pub struct Client {
    rng: Rng,
    /// True if it sends frames before it has the response.
    is_hasty: bool,
    opening: Opening,
    /// True if it says goodbye before it closes its half.
    is_polite: bool,
    is_closed: bool,
    /// Bytes of the message that is not complete, if there is one.
    message: Option<usize>,
    /// Kept until the response is here.
    waiting: Vec<u8>,
    /// Answers to pings and to a close.
    answers: Vec<u8>,
    arrived: Vec<u8>,
}

impl Client {
    pub fn new(mut rng: Rng) -> Self {
        let (is_hasty, is_polite) = (rng.percent(20), rng.percent(50));
        Self {
            rng,
            is_hasty,
            opening: Opening::Due,
            is_polite,
            is_closed: false,
            message: None,
            waiting: Vec::new(),
            answers: Vec::new(),
            arrived: Vec::new(),
        }
    }

    fn mask(&mut self) -> [u8; 4] {
        [(); 4].map(|()| u8::try_from(self.rng.index(256)).unwrap())
    }

    fn control(&mut self, opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
        let mask = self.mask();
        frame(out, FIN | opcode, mask, payload);
    }

    fn frames(&mut self, mut payload: &[u8], out: &mut Vec<u8>) {
        while !payload.is_empty() {
            if self.rng.percent(10) {
                self.control(PING, b"?", out);
            }
            let most = payload.len().min(LARGEST_FRAME);
            let count = if self.rng.percent(30) { self.rng.index(most) } else { most };
            let (part, rest) = payload.split_at(count);
            payload = rest;
            let opcode = if self.message.is_some() { CONTINUATION } else { BINARY };
            // What a message carries is there as soon as it has arrived, however much follows.
            let goes_on = self.rng.percent(if payload.is_empty() { 10 } else { 50 });
            let length = self.message.unwrap_or_default() + part.len();
            self.message = (goes_on && length < LARGEST_MESSAGE).then_some(length);
            let fin = if self.message.is_some() { 0 } else { FIN };
            let mask = self.mask();
            frame(out, fin | opcode, mask, part);
        }
    }

    /// The response, of which all that matters is that it accepts.
    fn upgrade(&mut self) -> bool {
        let end = self.arrived.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let Some(end) = end else { return false };
        let head: Vec<u8> = self.arrived.drain(..end + 4).collect();
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains(ACCEPT), "{head}");
        self.opening = Opening::Done;
        true
    }
}

impl Layer for Client {
    fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        if self.opening == Opening::Due {
            self.opening = Opening::Asked;
            out.extend(REQUEST);
        }
        out.append(&mut self.answers);
        self.waiting.extend(plain);
        // Nothing may follow a close frame (RFC 6455, 5.5.1).
        if self.is_established() && !self.is_closed {
            let payload = std::mem::take(&mut self.waiting);
            self.frames(&payload, out);
        }
    }

    fn open(&mut self, arrived: &[u8], plain: &mut Vec<u8>) {
        self.arrived.extend(arrived);
        if self.opening != Opening::Done && !self.upgrade() {
            return;
        }
        while let Some((first, payload)) = take_frame(&mut self.arrived) {
            match first {
                BINARY_MESSAGE => plain.extend(payload),
                PING_FRAME => {
                    let mut answers = std::mem::take(&mut self.answers);
                    self.control(PONG, &payload, &mut answers);
                    self.answers = answers;
                }
                PONG_FRAME => assert_eq!(payload, b"?"),
                CLOSE_FRAME => {
                    let mut answers = std::mem::take(&mut self.answers);
                    self.close(&mut answers);
                    self.answers = answers;
                }
                _ => panic!("a broker does not send frames that begin with {first:#x}"),
            }
        }
    }

    fn is_established(&self) -> bool {
        self.opening == Opening::Done || self.is_hasty
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.is_polite && !std::mem::replace(&mut self.is_closed, true) {
            // Normal closure (RFC 6455, 7.4.1).
            self.control(CLOSE, &1000_u16.to_be_bytes(), out);
        }
    }
}

const BINARY_MESSAGE: u8 = FIN | BINARY;
const PING_FRAME: u8 = FIN | PING;
const PONG_FRAME: u8 = FIN | PONG;
const CLOSE_FRAME: u8 = FIN | CLOSE;
