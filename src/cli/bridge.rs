//! `ferrymq bridge import`: bridges of Mosquitto as configuration of this broker.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::Exit;
use super::output::{complain, say};
use crate::bridge::import::{Imported, import};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print the bridges of a mosquitto.conf as TOML: exit 0 if it is a valid configuration, 1 if
    /// something has to be changed first
    ///
    /// Lines that have no counterpart are named on standard error, with the reason and what to do
    /// instead. Passwords are not printed: write each into a file, and name the file in its
    /// bridge. Files in an included directory are not read: import each of them. Append the
    /// output to the configuration file.
    Import {
        /// Mosquitto's configuration file; - for standard input
        file: PathBuf,
    },
}

pub(super) fn run(command: &Command) -> Exit {
    let Command::Import { file } = command;
    match read(file) {
        Ok(text) => show(&import(&text), file),
        Err(error) => {
            complain(&format_args!("cannot read {}: {error}", file.display()));
            Exit::Usage
        }
    }
}

fn read(file: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        io::stdin().lock().read_to_end(&mut bytes)?;
    } else {
        bytes = std::fs::read(file)?;
    }
    // Comments may be in any encoding.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn show(imported: &Imported, file: &Path) -> Exit {
    for note in &imported.notes {
        complain(note);
    }
    if imported.bridges.is_empty() {
        complain(&format_args!("{} has no connection", file.display()));
        return Exit::Failure;
    }
    say(imported.to_toml().trim_end());
    match &imported.problem {
        Some(problem) => {
            complain(&format_args!("change before use: {problem}"));
            Exit::Failure
        }
        None => Exit::Ok,
    }
}
