//! Why a listener could not be opened.

use std::io;

use crate::config::ListenAt;

/// A listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The system refuses the address, or the file.
    #[error("listener \"{name}\" cannot listen on {bind}: {source}")]
    Socket {
        /// The listener.
        name: String,
        /// Its address or path.
        bind: ListenAt,
        /// The error of the system.
        source: io::Error,
    },
    /// Another process answers on a Unix socket.
    #[error(
        "listener \"{name}\" cannot listen on {bind}: another process listens there; stop it, or \
         set listeners.{name}.bind to another path"
    )]
    Taken {
        /// The listener.
        name: String,
        /// Its path.
        bind: ListenAt,
    },
    /// The path of a Unix socket is a file of another kind.
    #[error(
        "listener \"{name}\" cannot listen on {bind}: it is {found}, which is not removed; set \
         listeners.{name}.bind to another path"
    )]
    OtherFile {
        /// The listener.
        name: String,
        /// Its path.
        bind: ListenAt,
        /// What is there, with its article.
        found: &'static str,
    },
}

/// As [`BindError`], before it is known which listener it is.
#[derive(Debug)]
pub(super) enum OpenError {
    Socket(io::Error),
    Taken,
    OtherFile(&'static str),
}

impl OpenError {
    pub(super) fn of(self, name: &str, bind: &ListenAt) -> BindError {
        let (name, bind) = (name.to_owned(), bind.clone());
        match self {
            Self::Socket(source) => BindError::Socket { name, bind, source },
            Self::Taken => BindError::Taken { name, bind },
            Self::OtherFile(found) => BindError::OtherFile { name, bind, found },
        }
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}
