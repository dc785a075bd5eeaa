//! One broker per database: an advisory lock on a file beside it. SQLite's own
//! locks cannot serve, since people may look into the file with `sqlite3`.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::error::OpenError;
use super::space::directory_of;

/// `maintenance/holder.rs` takes a shared lock for a moment to see whether there is a
/// holder. So one who is refused asks again this often,
const ATTEMPTS: u32 = 10;
/// after this long.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// Held as long as the database is open. The kernel lets go of it when the process
/// ends, however it ends.
#[derive(Debug)]
pub(crate) struct LockFile {
    _file: File,
}

impl LockFile {
    /// Takes it, or tells who has it.
    ///
    /// # Errors
    /// [`OpenError::Locked`], or the file cannot be made or locked.
    pub(crate) fn acquire(database: &Path) -> Result<Self, OpenError> {
        let path = beside(database, ".lock");
        let io = |error| OpenError::io(&path, error);
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io)?;
        // Root may run a tool; the broker's own user must be able to lock it later.
        give_to_owner_of(&path, directory_of(database)).map_err(io)?;
        match try_for_a_while(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // The holder may be about to write it.
                let _ = file.read_to_string(&mut pid);
                let pid = if pid.trim().is_empty() { "?".into() } else { pid.trim().to_owned() };
                return Err(OpenError::Locked { path: database.to_path_buf(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        file.set_len(0).map_err(io)?;
        file.rewind().map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self { _file: file })
    }
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

/// A file that root makes among another user's is that user's, as with SQLite's own
/// files. Nothing happens for other users.
pub(crate) fn give_to_owner_of(path: &Path, neighbour: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let (own, wanted) = (std::fs::metadata(path)?, std::fs::metadata(neighbour)?);
    if (own.uid(), own.gid()) == (wanted.uid(), wanted.gid()) {
        return Ok(());
    }
    std::os::unix::fs::chown(path, Some(wanted.uid()), Some(wanted.gid()))
}

/// The path of a file that belongs to `database`: its name and `suffix`.
pub(crate) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
