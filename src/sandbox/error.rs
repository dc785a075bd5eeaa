//! Errors of the sandbox. Each text says what to do.

use std::io;
use std::path::PathBuf;

use crate::config::ByteSize;

/// Why the broker under test could not be used.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The scratch directory or a file in it cannot be written.
    #[error(
        "cannot write {path}: {source}: check that the volume is mounted and writable for this user, or set persistence.path"
    )]
    Directory {
        /// The path.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The volume has too little room.
    #[error(
        "the volume of {path} has {available} left and this takes up to {needed}: free some, or ask for less"
    )]
    Room {
        /// The scratch directory.
        path: PathBuf,
        /// Available space.
        available: ByteSize,
        /// Needed space.
        needed: ByteSize,
    },
    /// The system's limit of open files is too low.
    #[error(
        "this takes {needed} open files and the limit is {limit}: raise it with ulimit -n, or use fewer clients (bench --publishers)"
    )]
    Files {
        /// Files needed by the broker or by its clients.
        needed: u64,
        /// The hard limit of `RLIMIT_NOFILE`.
        limit: u64,
    },
    /// The configuration cannot be written for the broker under test.
    #[error("cannot write the configuration for the broker under test: {0}")]
    Configuration(String),
    /// This executable cannot be started again.
    #[error("cannot start {program}: {source}")]
    Spawn {
        /// The path of the executable.
        program: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The broker ended, or was not ready in time.
    #[error("the broker under test {what}; the end of its log:\n{log}")]
    Broker {
        /// What happened.
        what: String,
        /// The last lines of its log.
        log: String,
    },
    /// The broker's metrics cannot be read.
    #[error("cannot read the figures of the broker under test: {0}")]
    Figures(io::Error),
    /// A stop was requested.
    #[error("interrupted")]
    Interrupted,
}

impl SandboxError {
    /// True if the volume is the cause.
    pub fn is_about_the_volume(&self) -> bool {
        matches!(self, Self::Directory { .. } | Self::Room { .. })
    }
}
