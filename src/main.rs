//! The command line: see [`ferrymq::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    ferrymq::cli::run()
}
