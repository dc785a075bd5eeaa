//! A broker as a child process for `bench` and `drill`: the same executable, in a temporary
//! directory on the volume of the real database, with its configuration, on loopback ports that
//! the system chooses.
//!
//! The directory, the process, and what can be read of it from outside live here.
//! [`crate::bench`] and [`crate::drill`] decide what is tested.

mod broker;
mod configuration;
mod error;
mod metrics;
mod preflight;
mod scratch;
mod usage;

pub use broker::Broker;
pub use configuration::{Demand, Level, configuration};
pub use error::SandboxError;
pub use metrics::Metrics;
pub use preflight::{available, raise_file_limit, require_room};
pub use scratch::Scratch;
pub use usage::{Sample, Usage};
