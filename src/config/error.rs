//! Configuration errors, each in one line.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// The layer that a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Set nowhere.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// An environment variable, by name.
    Variable(String),
    /// `--set`.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("built-in default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag => f.write_str("--set"),
        }
    }
}

/// Why the configuration could not be loaded.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file is missing or may not be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{}, line {line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A `--set` without a key or a value.
    #[error(
        "--set {given}: write it as TABLE.KEY=VALUE, for example persistence.path=/data/ferrymq.db"
    )]
    Flag {
        /// The argument, as given.
        given: String,
    },
    /// A `FERRYMQ_` variable that resembles a key and is not written as one.
    #[error(
        "environment variable {name}: write it as FERRYMQ_TABLE__KEY, with two underscores, for example FERRYMQ_PERSISTENCE__PATH"
    )]
    Variable {
        /// The name of the variable.
        name: String,
    },
    /// A key that does not exist, or a value that is not allowed.
    #[error("{key} ({origin}): {problem}")]
    Key {
        /// `table.key`.
        key: String,
        /// Where it was set.
        origin: Origin,
        /// What is wrong, and what is allowed.
        problem: String,
    },
}
