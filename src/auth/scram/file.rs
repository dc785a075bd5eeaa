//! The file of stored keys: lines of `user:SCRAM-SHA-256$...`, and comments.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::keys::{KeysError, ScramKeys};
use crate::auth::private_file;
use crate::auth::user_file::{Unusable, UserFile, is_user_name};

/// Why the file of stored keys cannot be used. No variant contains a key or a password.
#[derive(Debug, Error)]
pub enum ScramError {
    /// The file is missing or may not be read.
    #[error("cannot read the file of SCRAM keys {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file could not be replaced.
    #[error("cannot write the file of SCRAM keys {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A line is invalid.
    #[error("{}, line {line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line number, counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A user name that the file cannot represent, or that no client can send.
    #[error(
        "a user name cannot be empty, begin with # or a space, or contain a colon or a control character"
    )]
    UserName,
    /// The password or the number of iterations is invalid.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

/// A file of stored keys in memory, comments included.
#[derive(Debug, Clone, Default)]
pub struct ScramFile(UserFile<ScramKeys>);

impl ScramFile {
    /// Reads and checks every line.
    ///
    /// # Errors
    /// The file cannot be read, or one of its lines is invalid.
    pub fn read(path: &Path) -> Result<Self, ScramError> {
        UserFile::read(path, "user:keys", parse).map(Self).map_err(|unusable| {
            let path = path.to_owned();
            match unusable {
                Unusable::Unreadable(source) => ScramError::Read { path, source },
                Unusable::Line(line, problem) => ScramError::Line { path, line, problem },
            }
        })
    }

    /// Every user with its keys.
    pub fn users(&self) -> impl Iterator<Item = (&str, &ScramKeys)> {
        self.0.users()
    }

    /// Adds the user, or changes its password. True if it is new. Takes as long as
    /// [`ScramKeys::derive`].
    ///
    /// # Errors
    /// The name, the password or the number of iterations is invalid.
    pub fn set(
        &mut self,
        user: &str,
        password: &[u8],
        iterations: u32,
    ) -> Result<bool, ScramError> {
        if !is_scram_name(user) {
            return Err(ScramError::UserName);
        }
        Ok(self.0.set(user, ScramKeys::derive(password, iterations)?))
    }

    /// Removes the user. False if there was none.
    pub fn remove(&mut self, user: &str) -> bool {
        self.0.remove(user)
    }

    /// Replaces the file atomically, readable by its owner only: a concurrent reader, or one
    /// after a crash, finds the old or the new file.
    ///
    /// # Errors
    /// The directory is not writable, or the disk is full.
    pub fn write(&self, path: &Path) -> Result<(), ScramError> {
        private_file::replace(path, self.0.text(ScramKeys::to_text).as_bytes())
            .map_err(|source| ScramError::Write { path: path.to_owned(), source })
    }
}

fn parse(user: &str, keys: &str) -> Result<ScramKeys, String> {
    if !is_scram_name(user) {
        return Err(
            "the user name is missing, begins with a space or has a control character".to_owned()
        );
    }
    keys.parse().map_err(|problem| {
        format!("the keys of {user}: {problem}; write them with `ferrymq passwd --scram`")
    })
}

/// SASLprep prohibits control characters.
fn is_scram_name(user: &str) -> bool {
    is_user_name(user) && !user.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::ITERATIONS;
    use super::*;

    const LEAST: u32 = *ITERATIONS.start();
    /// The keys of RFC 7677, section 3, as PostgreSQL writes them.
    const PENCIL: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    fn error_of(text: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        std::fs::write(&path, text).unwrap();
        let error = ScramFile::read(&path).unwrap_err().to_string();
        error.strip_prefix(path.to_str().unwrap()).unwrap().to_owned()
    }

    #[test]
    fn users_and_comments_survive_a_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scram");
        std::fs::write(&path, format!("# sensors\n\nuser:{PENCIL}\n")).unwrap();
        let mut file = ScramFile::read(&path).unwrap();
        assert!(file.set("meter 1", b"a", LEAST).unwrap());
        assert!(!file.set("meter 1", b"b", LEAST).unwrap());
        file.write(&path).unwrap();

        let text = std::fs::read_to_string(&path).unwrap();
        let start = format!("# sensors\n\nuser:{PENCIL}\nmeter 1:SCRAM-SHA-256$4096:");
        assert!(text.starts_with(&start), "{text}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut file = ScramFile::read(&path).unwrap();
        assert!(file.remove("user") && !file.remove("user"));
        let (name, keys) = file.users().next().unwrap();
        assert_eq!(name, "meter 1");
        assert_eq!(*keys, ScramKeys::with_salt(b"b", keys.iterations, &keys.salt));
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "no temporary file is left behind");
    }

    #[test]
    fn the_keys_of_the_rfc_are_those_of_its_password() {
        let keys: ScramKeys = PENCIL.parse().unwrap();
        assert_eq!(keys, ScramKeys::with_salt(b"pencil", keys.iterations, &keys.salt));
        assert_eq!(keys.to_text(), PENCIL);
        assert_eq!(format!("{keys:?}"), "ScramKeys(..)");
    }

    #[test]
    fn a_bad_line_is_named_and_its_keys_are_not_shown() {
        assert_eq!(error_of("\nalice\n"), ", line 2: expected user:keys, found no colon");
        assert!(error_of(":x\n").starts_with(", line 1: the user name is missing"));
        assert!(error_of("a\x07b:x\n").contains("a control character"));
        let form = "expected SCRAM-SHA-256$ITERATIONS:SALT$STORED_KEY:SERVER_KEY; write them with `ferrymq passwd --scram`";
        for keys in [
            "hunter2".to_owned(),
            PENCIL.replace("256", "1"),
            PENCIL.replace("WG5d", "WG5"),
            PENCIL.replace("W22ZaJ0SNY7soEsUEjb6gQ==", ""),
            format!("{PENCIL}$x"),
            format!("{PENCIL}="),
        ] {
            let expected = format!(", line 2: the keys of alice: {form}");
            assert_eq!(error_of(&format!("# c\nalice:{keys}\n")), expected);
        }
        for iterations in ["4095", "10000001", "99999999999", "-1", ""] {
            let keys = PENCIL.replace("4096", iterations);
            let error = error_of(&format!("alice:{keys}\n"));
            assert!(error.contains("expected 4096 to 10000000 iterations"), "{error}");
        }
        assert_eq!(
            error_of(&format!("a:{PENCIL}\na:{PENCIL}\n")),
            ", line 2: the user a was already listed above"
        );
    }

    #[test]
    fn what_no_client_could_use_is_not_written() {
        let mut file = ScramFile::default();
        for name in ["", "#a", " a", "a:b", "a\nb", "a\u{7f}", "a\u{85}"] {
            let set = file.set(name, b"x", LEAST);
            assert!(matches!(set, Err(ScramError::UserName)), "{name:?}");
        }
        for password in [&b""[..], b"a\tb", "müde".as_bytes(), b"\xff"] {
            let set = file.set("a", password, LEAST);
            assert!(matches!(set, Err(ScramError::Keys(KeysError::Password))), "{password:?}");
        }
        let set = file.set("a", b"x", LEAST - 1);
        assert!(matches!(set, Err(ScramError::Keys(KeysError::Iterations))));
        assert_eq!(file.users().count(), 0);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = ScramFile::read(Path::new("/nowhere/k")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read the file of SCRAM keys /nowhere/k: No such file"));
    }
}
