//! Brokers as processes: started, watched from outside, stopped.

mod broker;
mod certificate;
mod conf;
mod metrics;
mod vitals;
mod watch;

pub use broker::Broker;
pub use vitals::{Vitals, machine_cpu, own_cpu};

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of open files for a thousand publishers, here and, by inheritance, in the
/// broker.
pub fn raise_file_limit() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    Ok(())
}
