//! A listening Unix socket and its file. A file that a broker left behind, which nobody answers
//! on, gives way; anything else at the path is somebody's and stays.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Type};
use tokio::net::{UnixListener, UnixStream};

use super::error::OpenError;
use super::socket::BACKLOG;
use crate::config::Mode;

#[derive(Debug)]
pub(super) struct UnixSocket {
    socket: UnixListener,
    file: SocketFile,
}

/// Removes the file of a socket in the end, unless another was put in its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode, once they are known.
    identity: Option<(u64, u64)>,
}

impl UnixSocket {
    pub(super) fn open(path: &Path, mode: Mode) -> Result<Self, OpenError> {
        make_room(path)?;
        let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(path)?)?;
        let mut file = SocketFile { path: path.to_owned(), identity: None };
        file.identity = Some(identity(&fs::symlink_metadata(path)?));
        // Before it listens, so that nobody connects with the permissions of the umask.
        fs::set_permissions(path, fs::Permissions::from_mode(mode.0))?;
        socket.listen(BACKLOG)?;
        Ok(Self { socket: UnixListener::from_std(socket.into())?, file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.file.path
    }

    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        self.socket.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path).ok();
        if found.is_some_and(|found| Some(identity(&found)) == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the socket's file stays behind");
        }
    }
}

fn identity(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Removes the file of a socket that nobody listens on any more.
fn make_room(path: &Path) -> Result<(), OpenError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !found.is_socket() {
        return Err(OpenError::OtherFile(if found.is_dir() {
            "a directory"
        } else if found.is_symlink() {
            "a symbolic link"
        } else {
            "a file that is no socket"
        }));
    }
    let ask = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A full queue of another process must not hold up the start.
    ask.set_nonblocking(true)?;
    match ask.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path)?;
            tracing::info!(path = %path.display(), "removed a socket that nobody listened on");
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Whether somebody listens there cannot be found out.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error.into()),
        // Connected, a full queue, or a socket of another type.
        Ok(()) | Err(_) => Err(OpenError::Taken),
    }
}

#[cfg(test)]
mod tests;
