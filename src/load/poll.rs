//! Waits for many connections at once.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{Connection, LoadError};

/// Waits until a connection can be read or has a packet that was already read, one with
/// waiting output can be written, or the timeout ends. `ready` gets the indexes of ready
/// connections. Suits some thousand connections: the system checks each of them at every call.
///
/// # Errors
/// The system refuses the call, such as for lack of memory.
pub fn wait<'a>(
    connections: impl Iterator<Item = (usize, &'a Connection)>,
    timeout: Duration,
    ready: &mut Vec<usize>,
) -> Result<(), LoadError> {
    ready.clear();
    let mut indexes = Vec::new();
    let mut have_packets = Vec::new();
    let mut sockets: Vec<PollFd<'_>> = Vec::new();
    for (index, connection) in connections {
        let mut flags = PollFlags::IN;
        if connection.has_output() {
            flags |= PollFlags::OUT;
        }
        indexes.push(index);
        have_packets.push(connection.has_packet());
        sockets.push(PollFd::from_borrowed_fd(connection.stream().as_fd(), flags));
    }
    let timeout = if have_packets.contains(&true) { Duration::ZERO } else { timeout };
    let timeout = Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    };
    match poll(&mut sockets, Some(&timeout)) {
        Ok(_) => {}
        // A signal; the caller calls again.
        Err(Errno::INTR) => return Ok(()),
        Err(error) => return Err(LoadError::Broken(error.into())),
    }
    for ((index, has_packet), socket) in indexes.into_iter().zip(have_packets).zip(&sockets) {
        if has_packet || !socket.revents().is_empty() {
            ready.push(index);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::load::Hello;
    use crate::protocol::{Packet, Version};

    #[test]
    fn what_came_with_connack_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let _ = socket.read(&mut [0; 256]).unwrap();
            // CONNACK and a QoS 0 PUBLISH to "a", in one piece.
            socket.write_all(&[0x20, 2, 1, 0, 0x30, 4, 0, 1, b'a', b'x']).unwrap();
            socket
        });
        let hello = Hello { version: Version::V311, client_id: "c", clean: false };
        let mut connection = Connection::open(address, &hello).unwrap();
        let _socket = server.join().unwrap();
        connection.fill().unwrap();
        let mut ready = Vec::new();
        wait([(7, &connection)].into_iter(), Duration::from_mins(1), &mut ready).unwrap();
        assert_eq!(ready, [7]);
        assert!(matches!(connection.split().0.take().unwrap(), Some(Packet::Publish(_))));
        assert!(!connection.has_packet());
    }
}
