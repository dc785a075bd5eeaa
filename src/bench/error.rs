//! Errors of a measurement.

use crate::load::LoadError;
use crate::sandbox::SandboxError;

/// Why a measurement could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The volume, the limits, or the broker under test failed.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A client failed.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The broker runs but makes no progress.
    #[error("no progress for 10 s ({0}): check the disk and the load of the machine")]
    Stuck(String),
}

impl BenchError {
    /// True if the user has interrupted the measurement.
    pub fn is_interruption(&self) -> bool {
        matches!(
            self,
            Self::Sandbox(SandboxError::Interrupted) | Self::Load(LoadError::Interrupted)
        )
    }
}
