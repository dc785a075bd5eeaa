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
}
