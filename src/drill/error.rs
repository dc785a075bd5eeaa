//! Why a drill could not be carried out.

use crate::load::LoadError;
use crate::sandbox::SandboxError;

/// What went wrong. A broken promise is none of these.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// There is nothing to recover.
    #[error(
        "persistence.enabled is false, so nothing would survive: choose what to try with --durability"
    )]
    Memory,
    /// The volume, the limits, or the broker under test.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A client that has no name yet, or the wish to stop.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A client could not go on.
    #[error("{client}: {source}")]
    Client {
        /// Its name.
        client: &'static str,
        /// Why.
        source: LoadError,
    },
}

impl DrillError {
    /// True if the drill had begun, so that its seed is of interest.
    pub fn is_about_the_course(&self) -> bool {
        matches!(self, Self::Client { .. } | Self::Sandbox(SandboxError::Broker { .. }))
    }

    /// True if the user has ended it.
    pub fn is_interruption(&self) -> bool {
        matches!(
            self,
            Self::Sandbox(SandboxError::Interrupted) | Self::Load(LoadError::Interrupted)
        )
    }
}
