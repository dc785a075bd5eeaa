//! The smallest substitute for a broker, which shows what the generator can do.
//!
//! It acknowledges what it reads and copies each read unchanged to the one subscriber. It runs
//! on its own thread and supports nothing else.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};

use super::frames::{self, CONNACK, Frame, PINGREQ, PINGRESP, PUBACK, PUBLISH, SUBACK};
use super::socket::Socket;

/// Bytes that may wait for the subscriber before publishers are no longer read.
const BACKLOG: usize = 1 << 20;

/// Serves one subscriber and then `publishers` publishers until they leave.
pub fn start(publishers: u32) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || match serve(&listener, publishers) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("the sink stopped: {other:?}"),
    });
    Ok(address)
}

fn serve(listener: &TcpListener, publishers: u32) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut subscriber = accept(listener, true)?;
    register(&poll, &mut subscriber, usize::MAX - 1)?;
    let mut sources = Vec::new();
    for index in 0..publishers {
        let mut source = accept(listener, false)?;
        register(&poll, &mut source, index as usize)?;
        sources.push(source);
    }
    let mut events = Events::with_capacity(1024);
    let mut held = Vec::new();
    loop {
        // Held publishers have had their event; no further event wakes this loop for them.
        let go_on = !held.is_empty() && subscriber.output.waiting() <= BACKLOG;
        poll.poll(&mut events, go_on.then_some(Duration::ZERO))?;
        let mut ready: Vec<usize> = events.iter().map(Event::token).map(|token| token.0).collect();
        answer_pings(&mut subscriber)?;
        subscriber.flush()?;
        ready.append(&mut held);
        for index in ready {
            let Some(source) = sources.get_mut(index) else {
                continue;
            };
            if subscriber.output.waiting() > BACKLOG {
                held.push(index);
            } else {
                pass_on(source, &mut subscriber)?;
            }
        }
        subscriber.flush()?;
    }
}

fn pass_on(source: &mut Socket, subscriber: &mut Socket) -> io::Result<()> {
    let mut more = true;
    while more {
        more = source.fill()?;
        let run = source.input.take_whole();
        subscriber.output.buffer.extend_from_slice(run);
        let mut rest = run;
        while let Some((frame, length)) = Frame::split(rest) {
            if frame.kind & 0xF0 == PUBLISH {
                let (_, id, _) = frame.message().expect("a PUBLISH of ours");
                source.output.buffer.extend_from_slice(&frames::answer(PUBACK, id));
            }
            rest = rest.get(length..).unwrap_or_default();
        }
    }
    source.flush()
}

fn answer_pings(subscriber: &mut Socket) -> io::Result<()> {
    let mut more = true;
    while more {
        more = subscriber.fill()?;
        while let Some(frame) = subscriber.input.next() {
            if frame.kind == PINGREQ {
                subscriber.output.buffer.extend_from_slice(&[PINGRESP, 0]);
            }
        }
    }
    Ok(())
}

/// Accepts a client: its CONNECT, and the SUBSCRIBE of the subscriber.
fn accept(listener: &TcpListener, subscriber: bool) -> io::Result<Socket> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let mut skipped = [0; 1024];
    let _ = stream.read(&mut skipped)?;
    stream.write_all(&[CONNACK, 2, 0, 0])?;
    if subscriber {
        let read = stream.read(&mut skipped)?;
        let qos = skipped.get(read - 1).copied().unwrap_or_default();
        stream.write_all(&[SUBACK, 3, 0, 1, qos])?;
    }
    stream.set_nonblocking(true)?;
    Ok(Socket::plain(mio::net::TcpStream::from_std(stream), 128 * 1024))
}

fn register(poll: &Poll, socket: &mut Socket, token: usize) -> io::Result<()> {
    poll.registry().register(socket.source(), Token(token), Interest::READABLE | Interest::WRITABLE)
}
