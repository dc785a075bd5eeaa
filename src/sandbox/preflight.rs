//! Checks before a broker is started: disk space and open files.

use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::SandboxError;
use crate::config::ByteSize;

/// Bytes that this user may still write on the volume of `path`; `None` if the system does not
/// report it.
pub fn available(path: &Path) -> Option<u64> {
    let volume = rustix::fs::statvfs(path).ok()?;
    Some(volume.f_bavail.saturating_mul(volume.f_frsize))
}

/// Fails if the volume has less than `needed` bytes.
///
/// # Errors
/// Less than `needed` bytes are available.
pub fn require_room(path: &Path, needed: u64) -> Result<(), SandboxError> {
    match available(path) {
        Some(available) if available < needed => Err(SandboxError::Room {
            path: path.to_path_buf(),
            available: ByteSize(available >> 20 << 20),
            needed: ByteSize(needed.next_multiple_of(1 << 20)),
        }),
        _ => Ok(()),
    }
}

/// Raises the limit of open files to the hard limit if it is below `needed`, for this process
/// and its children.
///
/// # Errors
/// The hard limit is lower.
pub fn raise_file_limit(needed: u64) -> Result<(), SandboxError> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let refused = SandboxError::Files { needed, limit: limit.maximum.unwrap_or(u64::MAX) };
    if limit.maximum.is_some_and(|maximum| maximum < needed) {
        return Err(refused);
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).map_err(|_| refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_without_room_and_a_low_limit_are_told_in_one_line() {
        let here = Path::new(".");
        require_room(here, 1).unwrap();
        let text = require_room(here, u64::MAX / 2).unwrap_err().to_string();
        assert!(text.contains("has ") && text.contains("this takes up to "), "{text}");
        let text = raise_file_limit(u64::MAX - 1);
        // A machine without a limit returns no error.
        if let Err(error) = text {
            assert!(error.to_string().contains("ulimit -n"), "{error}");
        }
    }
}
