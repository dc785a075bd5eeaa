//! How files look, to tell whether they changed.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// How all watched files look; None for those that cannot be found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Snapshot(Vec<Option<Look>>);

/// The file that a path leads to, its size and times. The last change of its status is among
/// them: a file becomes readable by a change of its permissions.
#[derive(Debug, PartialEq, Eq)]
struct Look {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    status_changed: (i64, i64),
}

impl Snapshot {
    /// Looks at the files. Blocks.
    pub fn take(paths: &[PathBuf]) -> Self {
        Self(paths.iter().map(|path| Look::at(path)).collect())
    }
}

impl Look {
    fn at(path: &Path) -> Option<Self> {
        let file = std::fs::metadata(path).ok()?;
        Some(Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            status_changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}
