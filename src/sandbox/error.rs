//! Errors of the sandbox. Each text says what to do.

use std::io;
use std::path::PathBuf;

use crate::config::ByteSize;

/// What went wrong around the broker under test.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The scratch directory, or a file in it.
    #[error(
        "cannot write {path}: {source}: check that the volume is mounted and writable for this user, or set persistence.path"
    )]
    Directory {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The volume is too full.
    #[error(
        "the volume of {path} has {available} left and this takes up to {needed}: free some, or ask for less"
    )]
    Room {
        /// Where the scratch directory would be.
        path: PathBuf,
        /// What there is.
        available: ByteSize,
        /// What is needed.
        needed: ByteSize,
    },
    /// The system's limit of open files.
    #[error(
        "this takes {needed} open files and the limit is {limit}: raise it with ulimit -n, or take fewer publishers"
    )]
    Files {
        /// Needed, by the broker or by its clients.
        needed: u64,
        /// `RLIMIT_NOFILE`, its hard limit.
        limit: u64,
    },
    /// The configuration cannot be written for the broker under test.
    #[error("cannot hand the configuration on: {0}")]
    Configuration(String),
    /// The own executable cannot be started again.
    #[error("cannot start {program}: {source}")]
    Spawn {
        /// Its path.
        program: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// It ended, or was not ready in time.
    #[error("the broker under test {what}; the end of its log:\n{log}")]
    Broker {
        /// How it ended.
        what: String,
        /// Its last lines.
        log: String,
    },
    /// Its figures cannot be read.
    #[error("cannot read the figures of the broker under test: {0}")]
    Figures(io::Error),
    /// The end was asked for.
    #[error("interrupted")]
    Interrupted,
}

impl SandboxError {
    /// True if it is the volume that refuses.
    pub fn is_about_the_volume(&self) -> bool {
        matches!(self, Self::Directory { .. } | Self::Room { .. })
    }
}
