//! Waiting for many connections at once.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{Connection, LoadError};

/// Waits until a connection can be read, one with waiting output can be written, or
/// the time is up. `ready` gets the indexes of those that can go on. For some
/// thousand connections: the system looks at each at every call.
///
/// # Errors
/// The system refuses, for instance for want of memory.
pub fn wait<'a>(
    connections: impl Iterator<Item = (usize, &'a Connection)>,
    timeout: Duration,
    ready: &mut Vec<usize>,
) -> Result<(), LoadError> {
    ready.clear();
    let mut indexes = Vec::new();
    let mut sockets: Vec<PollFd<'_>> = Vec::new();
    for (index, connection) in connections {
        let mut flags = PollFlags::IN;
        if connection.has_output() {
            flags |= PollFlags::OUT;
        }
        indexes.push(index);
        sockets.push(PollFd::from_borrowed_fd(connection.stream().as_fd(), flags));
    }
    let timeout = Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    };
    match poll(&mut sockets, Some(&timeout)) {
        Ok(_) => {}
        // A signal; the caller looks around and comes again.
        Err(Errno::INTR) => return Ok(()),
        Err(error) => return Err(LoadError::Broken(error.into())),
    }
    let can_go_on = indexes.iter().zip(&sockets).filter(|(_, socket)| !socket.revents().is_empty());
    ready.extend(can_go_on.map(|(index, _)| *index));
    Ok(())
}
