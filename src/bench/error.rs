//! Why a measurement could not be finished.

use crate::load::LoadError;
use crate::sandbox::SandboxError;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The volume, the limits, or the broker under test.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A client.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The broker is up and does nothing.
    #[error("nothing moved for 10 s ({0}): the machine or the disk is stuck")]
    Stuck(String),
}

impl BenchError {
    /// True if the user has ended it.
    pub fn is_interruption(&self) -> bool {
        matches!(
            self,
            Self::Sandbox(SandboxError::Interrupted) | Self::Load(LoadError::Interrupted)
        )
    }
}
