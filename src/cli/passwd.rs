//! `ferrymq passwd FILE USER`.

use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use super::Exit;
use super::output::{complain, say};
use crate::auth::scram::{self, ScramError, ScramFile};
use crate::auth::{AuthError, PasswordFile};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The password file, or the file of SCRAM keys; it is created if it does not exist
    file: PathBuf,
    /// The user's name
    user: String,
    /// Read the password from the first line of standard input
    #[arg(long, conflicts_with = "delete")]
    password_stdin: bool,
    /// Delete the user
    #[arg(long)]
    delete: bool,
    /// The file is the one of auth.scram.file
    #[arg(long)]
    scram: bool,
    /// Iterations that a client has to compute at each connection, 4096 to 10000000
    #[arg(
        long,
        requires = "scram",
        conflicts_with = "delete",
        default_value_t = scram::DEFAULT_ITERATIONS,
        value_parser = iterations()
    )]
    iterations: u32,
}

fn iterations() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32)
        .range(i64::from(*scram::ITERATIONS.start())..=i64::from(*scram::ITERATIONS.end()))
}

pub(super) fn run(args: &Args) -> Exit {
    match change(args) {
        Ok(done) => {
            say(format_args!("{done} {} in {}", args.user, args.file.display()));
            Exit::Ok
        }
        Err(problem) => {
            complain(&problem);
            match problem {
                Problem::Misuse(_) => Exit::Usage,
                Problem::Failed(_) => Exit::Failure,
            }
        }
    }
}

/// Why the password file was not changed.
#[derive(Debug, thiserror::Error)]
enum Problem {
    /// The request is invalid.
    #[error("{0}")]
    Misuse(String),
    /// The file or the terminal failed.
    #[error("{0}")]
    Failed(String),
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::UserName | AuthError::Line { .. } => Self::Misuse(error.to_string()),
            AuthError::Read { .. } | AuthError::Write { .. } | AuthError::Hash(_) => {
                Self::Failed(error.to_string())
            }
        }
    }
}

impl From<ScramError> for Problem {
    fn from(error: ScramError) -> Self {
        match error {
            ScramError::UserName | ScramError::Line { .. } | ScramError::Keys(_) => {
                Self::Misuse(error.to_string())
            }
            ScramError::Read { .. } | ScramError::Write { .. } => Self::Failed(error.to_string()),
        }
    }
}

/// The file that is changed.
enum Credentials {
    Passwords(PasswordFile),
    Scram(ScramFile),
}

impl Credentials {
    /// Reads the file; one that is to be changed and does not exist is empty.
    fn read(args: &Args) -> Result<Self, Problem> {
        let is_new = |source: &io::Error| source.kind() == io::ErrorKind::NotFound && !args.delete;
        Ok(if args.scram {
            Self::Scram(match ScramFile::read(&args.file) {
                Err(ScramError::Read { source, .. }) if is_new(&source) => ScramFile::default(),
                read => read?,
            })
        } else {
            Self::Passwords(match PasswordFile::read(&args.file) {
                Err(AuthError::Read { source, .. }) if is_new(&source) => PasswordFile::default(),
                read => read?,
            })
        })
    }

    fn remove(&mut self, user: &str) -> bool {
        match self {
            Self::Passwords(file) => file.remove(user),
            Self::Scram(file) => file.remove(user),
        }
    }

    fn set(&mut self, args: &Args, password: &[u8]) -> Result<bool, Problem> {
        Ok(match self {
            Self::Passwords(file) => file.set(&args.user, password)?,
            Self::Scram(file) => file.set(&args.user, password, args.iterations)?,
        })
    }

    fn write(&self, path: &Path) -> Result<(), Problem> {
        match self {
            Self::Passwords(file) => file.write(path)?,
            Self::Scram(file) => file.write(path)?,
        }
        Ok(())
    }
}

fn change(args: &Args) -> Result<&'static str, Problem> {
    let mut file = Credentials::read(args)?;
    let done = if args.delete {
        if !file.remove(&args.user) {
            let text = format!("there is no user {} in {}", args.user, args.file.display());
            return Err(Problem::Misuse(text));
        }
        "deleted"
    } else {
        let password = if args.password_stdin { read_line(io::stdin().lock()) } else { prompt() }
            .map_err(|error| unread(&error))?;
        if password.is_empty() {
            return Err(Problem::Misuse("the password is empty".to_owned()));
        }
        let added = file.set(args, &password)?;
        if added { "added" } else { "changed the password of" }
    };
    file.write(&args.file)?;
    Ok(done)
}

/// Two passwords that differ are misuse; every other error is a failure of the terminal or
/// input.
fn unread(error: &io::Error) -> Problem {
    let text = format!("cannot read the password: {error}");
    match error.kind() {
        io::ErrorKind::InvalidInput => Problem::Misuse(text),
        _ => Problem::Failed(text),
    }
}

/// Reads bytes, since an MQTT password need not be text.
fn read_line(mut input: impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    input.read_until(b'\n', &mut line)?;
    while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        line.pop();
    }
    Ok(line)
}

fn prompt() -> io::Result<Vec<u8>> {
    let password =
        rpassword::prompt_password("Password: ").map_err(|error| without_terminal(&error))?;
    if rpassword::prompt_password("Again: ")? != password {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the two passwords differ"));
    }
    Ok(password.into_bytes())
}

/// Adds `--password-stdin` to the error of a prompt without a terminal, such as in a
/// container.
fn without_terminal(error: &io::Error) -> io::Error {
    let text = format!("no terminal to ask at ({error}): give it with --password-stdin");
    io::Error::new(error.kind(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_where_every_system_ends_it() {
        for input in ["secret", "secret\n", "secret\r\n", "secret\nmore\n"] {
            assert_eq!(read_line(input.as_bytes()).unwrap(), b"secret");
        }
        assert_eq!(read_line(&b"\xff\x00\n"[..]).unwrap(), b"\xff\x00");
    }

    fn args(file: PathBuf, delete: bool, scram: bool) -> Args {
        let user = "alice".to_owned();
        let iterations = *scram::ITERATIONS.start();
        Args { file, user, password_stdin: false, delete, scram, iterations }
    }

    #[test]
    fn who_is_not_there_cannot_be_deleted() {
        for scram in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let args = args(dir.path().join("p"), true, scram);
            let Err(Problem::Failed(text)) = change(&args) else { panic!("no file") };
            assert!(text.starts_with("cannot read the "), "{text}");
            std::fs::write(&args.file, "# empty\n").unwrap();
            let Err(Problem::Misuse(text)) = change(&args) else { panic!("no user") };
            assert!(text.starts_with("there is no user alice in "), "{text}");
        }
    }

    #[test]
    fn a_file_of_one_kind_is_not_changed_into_the_other() {
        let dir = tempfile::tempdir().unwrap();
        for scram in [false, true] {
            let args = args(dir.path().join("p"), true, scram);
            let mut file = Credentials::read(&Args { delete: false, ..args }).unwrap();
            file.set(&self::args(PathBuf::new(), false, scram), b"secret").unwrap();
            let path = dir.path().join(if scram { "scram" } else { "passwords" });
            file.write(&path).unwrap();
            let other = self::args(path.clone(), true, !scram);
            let Err(Problem::Misuse(text)) = change(&other) else { panic!("another kind") };
            assert!(text.contains(", line 1: "), "{text}");
            assert_eq!(change(&self::args(path, true, scram)).unwrap(), "deleted");
        }
    }
}
