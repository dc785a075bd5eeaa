//! One broker per database: advisory locks on a file beside it and on the database itself.
//! SQLite's own locks cannot be used, since operators may read the file with `sqlite3`.
//!
//! The lock on the database covers hard links: a broker that opens another name finds another
//! lock file, but the same database. Both are `flock(2)`, which is independent of the byte
//! ranges that SQLite locks with `fcntl(2)`. Closing any descriptor of a file releases all
//! `fcntl` locks of the process on it, so the database is opened here before SQLite opens it,
//! and closed after SQLite has closed it: every user of the database holds a [`LockFile`] in
//! an `Arc` and drops it last.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::files::{beside, directory_of, give_to_owner_of, identity, mode_of};
use crate::store::error::OpenError;

/// `maintenance/holder.rs` takes a shared lock briefly to see whether there is a holder, so a
/// refused attempt is repeated this many times,
const ATTEMPTS: u32 = 10;
/// with this pause.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// Held as long as the database is open. The kernel releases it when the process ends, in
/// whatever way.
#[derive(Debug)]
pub(crate) struct LockFile {
    beside: File,
    path: PathBuf,
    /// The lock file did not exist before.
    made: bool,
    database: Option<File>,
}

impl LockFile {
    /// Takes the locks, or fails with the holder's process id. The database need not exist.
    ///
    /// # Errors
    /// [`OpenError::Locked`], or [`OpenError::Io`] if the file cannot be created or locked.
    pub(crate) fn acquire(database: &Path) -> Result<Self, OpenError> {
        let path = beside(database, ".lock");
        let io = |error| OpenError::io(&path, error);
        let (mut file, made) = loop {
            let (mut file, made) = open_or_make(&path, database).map_err(io)?;
            match try_for_a_while(&file) {
                // The file must still be at its path: its holder may have removed it
                // meanwhile, see `withdraw`.
                Ok(()) if is_at(&file, &path) => break (file, made),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut pid = String::new();
                    // The holder may not have written it yet.
                    let _ = file.read_to_string(&mut pid);
                    let pid = pid.trim();
                    let pid = if pid.is_empty() { "?".into() } else { pid.to_owned() };
                    return Err(OpenError::Locked { path: database.to_path_buf(), pid });
                }
                Err(TryLockError::Error(error)) => return Err(io(error)),
            }
        };
        let inner = match lock_database(database) {
            Ok(inner) => inner,
            Err(error) => {
                Self { beside: file, path, made, database: None }.withdraw();
                return Err(error);
            }
        };
        file.set_len(0).map_err(io)?;
        file.rewind().map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self { beside: file, path, made, database: inner })
    }

    /// Releases a database that is not used after all. A lock file that was created for it is
    /// removed while it is still locked.
    pub(super) fn withdraw(self) {
        if self.made && is_at(&self.beside, &self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// The current path of the open database, which differs from the original one if it was
    /// renamed. `None` if it has no name any more, or if the system does not report it.
    pub(super) fn database_is_at(&self) -> Option<PathBuf> {
        use std::os::fd::AsRawFd as _;
        let file = self.database.as_ref()?;
        let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
        is_at(file, &path).then_some(path)
    }

    /// Locks a database that was created after [`Self::acquire`].
    pub(super) fn hold(&mut self, database: &Path) -> Result<(), OpenError> {
        if self.database.is_none() {
            self.database = lock_database(database)?;
        }
        Ok(())
    }
}

/// Opens or creates the lock file. True if it was created.
fn open_or_make(path: &Path, database: &Path) -> std::io::Result<(File, bool)> {
    let mut options = File::options();
    options.read(true).write(true);
    loop {
        match options.open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            opened => return Ok((opened?, false)),
        }
        match options.clone().create_new(true).mode(mode_of(database)).open(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => {
                let made = made?;
                // A tool may run as root; the broker's own user must be able to lock the file
                // later.
                give_to_owner_of(path, directory_of(database))?;
                return Ok((made, true));
            }
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let own = file.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()));
    own.is_some() && own == identity(path)
}

/// Locks the database. `None` if there is no such file, or if its file system cannot lock it:
/// SQLite's error for that is clearer.
fn lock_database(database: &Path) -> Result<Option<File>, OpenError> {
    let Some(file) = open_to_lock(database) else { return Ok(None) };
    match try_for_a_while(&file) {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            let pid = locked_by(&file).map_or_else(|| "?".to_owned(), |pid| pid.to_string());
            Err(OpenError::Locked { path: database.to_path_buf(), pid })
        }
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Opens the database if `flock` on it is independent of SQLite's locks. Network file systems
/// turn it into a lock on all bytes (flock(2), "NFS details" and "CIFS details").
pub(crate) fn open_to_lock(database: &Path) -> Option<File> {
    let file = File::open(database).ok()?;
    let magic = rustix::fs::fstatfs(&file).ok()?.f_type;
    // NFS, CIFS, SMB2 (statfs(2)).
    let apart = !matches!(magic, 0x6969 | 0xFF53_4D42 | 0xFE53_4D42);
    apart.then_some(file)
}

/// The process that holds a `flock` on the file, as reported by the kernel. A process in
/// another container has no number here.
pub(crate) fn locked_by(file: &File) -> Option<u32> {
    let metadata = file.metadata().ok()?;
    let inode = metadata.ino().to_string();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        // 1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF
        let mut fields = line.split_whitespace().skip(1);
        let (kind, _, _) = (fields.next()?, fields.next()?, fields.next()?);
        let (pid, place) = (fields.next()?, fields.next()?);
        let same = kind == "FLOCK" && place.rsplit(':').next() == Some(inode.as_str());
        same.then(|| pid.parse().ok().filter(|pid| *pid > 0)).flatten()
    })
}

fn try_for_a_while(file: &File) -> Result<(), TryLockError> {
    for _ in 1..ATTEMPTS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            result => return result,
        }
    }
    file.try_lock()
}
