//! Names, permissions and identities of the database's files.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// As many links as Linux follows.
const MOST_LINKS: usize = 40;

/// The rights of files beside a database: those that it has, or will have.
pub(super) fn mode_of(database: &Path) -> u32 {
    /// A database that SQLite makes can be read by everybody, payloads and all; the group
    /// may look at it, for backups by somebody else.
    const NEW: u32 = 0o640;
    std::fs::metadata(database).map_or(NEW, |metadata| metadata.mode() & 0o666)
}

/// The database that a symbolic link at `path` leads to: SQLite's files and ours stand
/// beside that one, so that one database has one lock file. Links among its directories
/// make no difference.
pub(crate) fn follow(path: &Path) -> PathBuf {
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        match std::fs::read_link(&path) {
            Ok(target) => path = directory_of(&path).join(target),
            Err(_) => break,
        }
    }
    path
}

/// A file that root makes among another user's is that user's, as with SQLite's own
/// files. Nothing happens for other users.
pub(crate) fn give_to_owner_of(path: &Path, neighbour: &Path) -> std::io::Result<()> {
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

/// The directory in which a file stands.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Device and inode of the file at a path.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Bytes of a file; 0 if there is none.
pub(super) fn file_size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}
