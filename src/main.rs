//! The command line: see [`ferrymq::cli`].

#[cfg(target_os = "linux")]
mod allocator;

use std::process::ExitCode;

fn main() -> ExitCode {
    ferrymq::cli::run()
}
