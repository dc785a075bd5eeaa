//! The command line, nothing else: see [`ferrymq::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    ferrymq::cli::run()
}
