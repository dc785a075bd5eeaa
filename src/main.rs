//! The command line: see [`ferrymq::cli`].

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod allocator;

use std::process::ExitCode;

fn main() -> ExitCode {
    ferrymq::cli::run()
}
