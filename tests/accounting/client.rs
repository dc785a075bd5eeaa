//! A client with almost no state of its own: it forgets what it has read, and answers from the
//! packet alone.

use crate::common::raw;
use crate::figures::signed;
use crate::stream::ClientEnd;

#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // The bools are independent.
pub struct Client {
    pub id: String,
    pub v5: bool,
    pub durable: bool,
    /// Its connection, if it is connected.
    pub end: Option<ClientEnd>,
    pub reads: bool,
    /// It acknowledges messages.
    pub acknowledges: bool,
    /// It sends PUBREL for its messages.
    pub releases: bool,
    /// It has sent a part of a packet, so its answers have to wait.
    pub is_in_packet: bool,
    answers: Vec<u8>,
    next_id: u16,
    /// The first bytes of a packet that has not completely arrived.
    partial: Vec<u8>,
}

impl Client {
    pub fn new(id: String, v5: bool, durable: bool) -> Self {
        Self {
            id,
            v5,
            durable,
            end: None,
            reads: true,
            acknowledges: true,
            releases: true,
            is_in_packet: false,
            answers: Vec::new(),
            next_id: 0,
            partial: Vec::new(),
        }
    }

    /// Bytes held by the client itself, including those in transit.
    pub fn memory(&self) -> i64 {
        let own = self.partial.capacity() + self.answers.capacity();
        signed(self.end.as_ref().map_or(0, ClientEnd::memory) + own)
    }

    /// Of the protocol, as CONNECT has it.
    pub fn version(&self) -> u8 {
        if self.v5 { 5 } else { 4 }
    }

    pub fn packet_id(&mut self) -> u16 {
        self.next_id = self.next_id % 60_000 + 1;
        self.next_id
    }

    pub fn is_connected(&self) -> bool {
        self.end.is_some()
    }

    /// Handles the end of the connection.
    pub fn lost(&mut self) -> Option<ClientEnd> {
        self.partial = Vec::new();
        self.answers = Vec::new();
        self.is_in_packet = false;
        self.end.take()
    }

    /// Reads and answers what has arrived. True if there was progress.
    pub fn moves(&mut self) -> bool {
        let Some(end) = self.end.clone() else { return false };
        let arrived = if self.reads { end.receive(usize::MAX) } else { Vec::new() };
        let mut any = !arrived.is_empty();
        if any {
            self.read(arrived);
        }
        if !self.is_in_packet && !self.answers.is_empty() {
            let sent = end.send(&self.answers);
            self.answers = self.answers.split_off(sent);
            any |= sent > 0;
        }
        any
    }

    fn read(&mut self, arrived: Vec<u8>) {
        let mut bytes = std::mem::take(&mut self.partial);
        bytes.extend(arrived);
        let mut answers = std::mem::take(&mut self.answers);
        let mut rest = &bytes[..];
        while let Some((first, body, behind)) = split(rest) {
            self.answer(first, body, &mut answers);
            rest = behind;
        }
        self.partial = rest.to_vec();
        self.answers = answers;
    }

    fn answer(&self, first: u8, body: &[u8], out: &mut Vec<u8>) {
        let number = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
        match first >> 4 {
            3 if self.acknowledges && first & 6 > 0 => {
                let pid = number(2 + usize::from(number(0)));
                let kind = if first & 6 == 2 { raw::PUBACK } else { raw::PUBREC };
                raw::ack(out, kind, pid);
            }
            5 if self.releases && body.get(2).is_none_or(|reason| *reason < 0x80) => {
                raw::ack(out, raw::PUBREL, number(0));
            }
            6 if self.acknowledges => raw::ack(out, raw::PUBCOMP, number(0)),
            14 => panic!("{} is disconnected: {body:?}", self.id),
            _ => {}
        }
    }
}

/// Splits off the first packet.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (mut length, mut at) = (0_usize, 1);
    loop {
        let byte = *bytes.get(at)?;
        length |= usize::from(byte & 0x7F) << (7 * (at - 1));
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let body = bytes.get(at..at + length)?;
    Some((bytes[0], body, &bytes[at + length..]))
}
