//! Open files, of which a crowd of clients and their broker need many.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many as the system lets this process, and the brokers that it starts, have.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}
