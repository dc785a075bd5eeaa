//! Exit codes, for service managers.

use std::process::ExitCode;

/// How the process ends. The numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: all went well.
    Ok,
    /// 1: failed while running.
    Failure,
    /// 2: the configuration or the command line is wrong.
    Usage,
    /// 3: the database cannot be opened, is in use, or `db check` found it damaged.
    Database,
    /// 4: a listener cannot be bound.
    Bind,
    /// 5: the database failed while running; a restart recovers from the file.
    Poisoned,
    /// 6: a drill found a broken promise.
    Broken,
    /// 130: ended by Ctrl-C or SIGTERM before it was done; the code that shells use for
    /// SIGINT.
    Interrupted,
}

impl Exit {
    /// The exit code that the parent process receives.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Database => 3,
            Self::Bind => 4,
            Self::Poisoned => 5,
            Self::Broken => 6,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}
