//! Names, permissions and identities of the database's files.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The number of links that Linux follows.
const MOST_LINKS: usize = 40;

/// The permissions of files beside a database: those that it has, or will have.
pub(super) fn mode_of(database: &Path) -> u32 {
    /// SQLite would make the database, with its payloads, readable by every user. The group
    /// may read it, for backups by another user.
    const NEW: u32 = 0o640;
    std::fs::metadata(database).map_or(NEW, |metadata| metadata.mode() & 0o666)
}

/// The database that a symbolic link at `path` leads to. SQLite's files and ours are beside
/// that file, so that one database has one lock file. Links among its directories make no
/// difference.
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

/// Gives a file created by root to the owner of `neighbour`, as SQLite does with its own
/// files. Does nothing for other users.
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

/// The path of a file that belongs to `database`: the database's path plus `suffix`.
pub(crate) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The directory that contains a file.
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

/// Size of a file in bytes; 0 if there is none.
pub(super) fn file_size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}
