//! Checks files that are read again while the broker runs.

use std::io;
use std::path::Path;

/// Fails unless `path` is a regular file or a link to one. Opening a pipe without a writer
/// would block a reload for ever.
///
/// # Errors
/// The path is something else, or its metadata cannot be read.
pub fn must_be_regular(path: &Path) -> io::Result<()> {
    if std::fs::metadata(path)?.is_file() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "it is a directory, pipe or device, and no file",
    ))
}

/// True if every user of this machine may read the file; false if its metadata cannot be read.
pub fn is_readable_by_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    /// The bit for reading of those who are neither owner nor of the group.
    const OTHERS_READ: u32 = 0o004;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & OTHERS_READ != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_and_links_to_them_will_do() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        must_be_regular(&file).unwrap();
        must_be_regular(&link).unwrap();
        for other in [directory.path(), Path::new("/dev/null")] {
            assert!(must_be_regular(other).unwrap_err().to_string().contains("no file"));
        }
        must_be_regular(&directory.path().join("none")).unwrap_err();
    }

    #[test]
    fn a_file_that_all_may_read_is_recognised_also_through_a_link() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for (mode, all) in [(0o600, false), (0o640, false), (0o644, true)] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!((is_readable_by_all(&file), is_readable_by_all(&link)), (all, all));
        }
        assert!(!is_readable_by_all(&directory.path().join("none")));
    }
}
