//! `ferrymq passwd FILE USER`.

use std::io::{self, BufRead};
use std::path::PathBuf;

use super::Exit;
use super::output::{complain, say};
use crate::auth::{AuthError, PasswordFile};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The password file; made if it does not exist
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
            Exit::Failure
        }
    }
}

fn change(args: &Args) -> Result<&'static str, String> {
    let mut file = match PasswordFile::read(&args.file) {
        Err(AuthError::Read { source, .. })
            if source.kind() == io::ErrorKind::NotFound && !args.delete =>
        {
            PasswordFile::default()
        }
        read => read.map_err(|error| error.to_string())?,
    };
    let done = if args.delete {
        if !file.remove(&args.user) {
            return Err(format!("there is no user {} in {}", args.user, args.file.display()));
        }
        "deleted"
    } else {
        let password = if args.password_stdin { read_line(io::stdin().lock()) } else { prompt() }
            .map_err(|error| format!("cannot read the password: {error}"))?;
        if password.is_empty() {
            return Err("the password is empty".to_owned());
        }
        let added = file.set(&args.user, &password).map_err(|error| error.to_string())?;
        if added { "added" } else { "changed the password of" }
    };
    file.write(&args.file).map_err(|error| error.to_string())?;
    Ok(done)
}

/// Bytes, since an MQTT password need not be text.
fn read_line(mut input: impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    input.read_until(b'\n', &mut line)?;
    while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        line.pop();
    }
    Ok(line)
}

fn prompt() -> io::Result<Vec<u8>> {
    let password = rpassword::prompt_password("Password: ")?;
    if rpassword::prompt_password("Again: ")? != password {
        return Err(io::Error::other("they are not the same"));
    }
    Ok(password.into_bytes())
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
        assert!(change(&args).unwrap_err().starts_with("cannot read the password file"));
        std::fs::write(&args.file, "# empty\n").unwrap();
        assert!(change(&args).unwrap_err().starts_with("there is no user alice in "));
    }
}
