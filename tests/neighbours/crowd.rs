//! Many sockets of an attack on one thread, none of which ever waits: each is filled
//! whenever it takes more, and read or left alone.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};

use super::attack::Attack;

/// How much of one socket is read or written before the next has its turn.
const TURN: usize = 256 << 10;

/// Appends what is to be sent next.
pub type Make = Box<dyn FnMut(&mut Vec<u8>) + Send>;

/// What a member has to send.
pub enum Source {
    Nothing,
    Once(Arc<[u8]>),
    Again(Arc<[u8]>),
    /// Made anew whenever all has been sent, until there is nothing more.
    Made(Make),
}

struct Member {
    stream: mio::net::TcpStream,
    source: Source,
    /// For [`Source::Made`].
    made: Vec<u8>,
    sent: usize,
    reads: bool,
    open: bool,
    ready: bool,
}

pub struct Crowd {
    poll: Poll,
    members: Vec<Member>,
    ready: VecDeque<usize>,
    open: usize,
    /// Bytes that were read.
    pub read: u64,
    /// Times that a [`Source`] was sent to its end.
    pub rounds: u64,
}

impl Crowd {
    pub fn new() -> Self {
        Self {
            poll: Poll::new().unwrap(),
            members: Vec::new(),
            ready: VecDeque::new(),
            open: 0,
            read: 0,
            rounds: 0,
        }
    }

    pub fn add(&mut self, stream: TcpStream, source: Source, reads: bool) {
        stream.set_nonblocking(true).unwrap();
        let mut stream = mio::net::TcpStream::from_std(stream);
        let interest = Interest::READABLE | Interest::WRITABLE;
        let index = self.members.len();
        self.poll.registry().register(&mut stream, Token(index), interest).unwrap();
        let made = Vec::new();
        self.members.push(Member { stream, source, made, sent: 0, reads, open: true, ready: true });
        self.ready.push_back(index);
        self.open += 1;
    }

    /// How many the broker has not closed. One that does not read notices late.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Until the attack is over or all are closed.
    pub fn run(&mut self, attack: &Attack) {
        let mut events = Events::with_capacity(1024);
        let mut chunk = vec![0; TURN];
        while !attack.over() && self.open > 0 {
            let wait = if self.ready.is_empty() { 20 } else { 0 };
            self.poll.poll(&mut events, Some(Duration::from_millis(wait))).ok();
            for event in &events {
                self.make_ready(event.token().0);
            }
            for _ in 0..self.ready.len() {
                let Some(index) = self.ready.pop_front() else { break };
                if self.turn(index, &mut chunk, attack) {
                    self.make_ready(index);
                }
            }
        }
    }

    fn make_ready(&mut self, index: usize) {
        let member = &mut self.members[index];
        if !member.ready && member.open {
            member.ready = true;
            self.ready.push_back(index);
        }
    }

    /// Reads and writes for a while. Says whether there is more to do at once.
    fn turn(&mut self, index: usize, chunk: &mut [u8], attack: &Attack) -> bool {
        let member = &mut self.members[index];
        member.ready = false;
        let (read, more_to_read) = member.read(chunk);
        let (sent, rounds, more_to_send) = member.send();
        self.read += read as u64;
        self.rounds += rounds;
        attack.spent(sent);
        if !member.open {
            self.open -= 1;
            self.poll.registry().deregister(&mut member.stream).ok();
            return false;
        }
        more_to_read || more_to_send
    }
}

impl Member {
    fn read(&mut self, chunk: &mut [u8]) -> (usize, bool) {
        if !self.reads {
            return (0, false);
        }
        match self.stream.read(chunk) {
            Ok(0) => self.open = false,
            Ok(read) => return (read, true),
            Err(error) => self.open &= is_passing(error.kind()),
        }
        (0, false)
    }

    /// Bytes, sources that were sent to their end, and whether the socket takes more.
    fn send(&mut self) -> (usize, u64, bool) {
        let (mut total, mut rounds) = (0, 0);
        while self.open && total < TURN {
            if let (Source::Made(make), true) = (&mut self.source, self.sent == self.made.len()) {
                self.made.clear();
                self.sent = 0;
                make(&mut self.made);
            }
            let bytes: &[u8] = match &self.source {
                Source::Nothing => return (total, rounds, false),
                Source::Once(bytes) | Source::Again(bytes) => bytes,
                Source::Made(_) => &self.made,
            };
            if self.sent == bytes.len() {
                return (total, rounds, false); // Sent once, or nothing was made.
            }
            match self.stream.write(&bytes[self.sent..]) {
                Ok(written) => {
                    total += written;
                    self.sent += written;
                    if self.sent == bytes.len() {
                        rounds += 1;
                        if matches!(self.source, Source::Again(_)) {
                            self.sent = 0;
                        }
                    }
                }
                Err(error) => {
                    self.open &= is_passing(error.kind());
                    return (total, rounds, false);
                }
            }
        }
        (total, rounds, self.open)
    }
}

fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
