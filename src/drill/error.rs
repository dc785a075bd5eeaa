//! Errors of a drill.

use crate::load::LoadError;
use crate::sandbox::SandboxError;

/// Why a drill could not be carried out. A broken promise is not an error.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// Persistence is disabled, so there is nothing to recover.
    #[error(
        "persistence.enabled is false, so nothing would survive: choose what to try with --durability"
    )]
    Memory,
    /// The volume, the limits, or the broker under test failed.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A client without a name failed, or a stop was requested.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A client failed.
    #[error("{client}: {source}")]
    Client {
        /// The client's name.
        client: &'static str,
        /// The cause.
        source: LoadError,
    },
}

impl DrillError {
    /// True if the drill had begun, so that its seed helps to repeat it.
    pub fn is_about_the_course(&self) -> bool {
        matches!(self, Self::Client { .. } | Self::Sandbox(SandboxError::Broker { .. }))
    }

    /// True if the user has interrupted the drill.
    pub fn is_interruption(&self) -> bool {
        matches!(
            self,
            Self::Sandbox(SandboxError::Interrupted) | Self::Load(LoadError::Interrupted)
        )
    }
}
