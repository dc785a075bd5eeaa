//! `ferrymq passwd FILE USER`.

use std::io::{self, BufRead};
use std::path::PathBuf;

use super::Exit;
use super::output::{complain, say};
use crate::auth::{AuthError, PasswordFile};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The password file; it is created if it does not exist
    file: PathBuf,
    /// The user's name
    user: String,
    /// Read the password from the first line of standard input
    #[arg(long, conflicts_with = "delete")]
    password_stdin: bool,
    /// Delete the user
    #[arg(long)]
    delete: bool,
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

fn change(args: &Args) -> Result<&'static str, Problem> {
    let mut file = match PasswordFile::read(&args.file) {
        Err(AuthError::Read { source, .. })
            if source.kind() == io::ErrorKind::NotFound && !args.delete =>
        {
            PasswordFile::default()
        }
        read => read?,
    };
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
        let added = file.set(&args.user, &password)?;
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

    #[test]
    fn who_is_not_there_cannot_be_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let args = Args {
            file: dir.path().join("p"),
            user: "alice".to_owned(),
            password_stdin: false,
            delete: true,
        };
        let Err(Problem::Failed(text)) = change(&args) else { panic!("no file") };
        assert!(text.starts_with("cannot read the password file"), "{text}");
        std::fs::write(&args.file, "# empty\n").unwrap();
        let Err(Problem::Misuse(text)) = change(&args) else { panic!("no user") };
        assert!(text.starts_with("there is no user alice in "), "{text}");
    }
}
