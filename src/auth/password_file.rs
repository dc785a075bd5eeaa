//! The password file: lines of `user:HASH`, and comments. The hashes are ours or Mosquitto's,
//! see `hashing/`.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::hashing::{self, StoredHash};
use super::private_file;
use super::user_file::{Unusable, UserFile, is_user_name};

/// Why the credentials cannot be used. No variant contains a hash or a password.
#[derive(Debug, Error)]
pub enum AuthError {
    /// The file is missing or may not be read.
    #[error("cannot read the password file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file could not be replaced.
    #[error("cannot write the password file {}: {source}", path.display())]
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
    /// A user name that the file cannot represent.
    #[error(
        "a user name cannot be empty, begin with # or a space, or contain a colon or a line break"
    )]
    UserName,
    /// Hashing failed.
    #[error("cannot hash the password: {0}")]
    Hash(String),
}

/// A password file in memory, comments included.
#[derive(Debug, Clone, Default)]
pub struct PasswordFile(UserFile<StoredHash>);

impl PasswordFile {
    /// Reads and checks every line.
    ///
    /// # Errors
    /// The file cannot be read, or one of its lines is invalid.
    pub fn read(path: &Path) -> Result<Self, AuthError> {
        UserFile::read(path, "user:hash", parse).map(Self).map_err(|unusable| {
            let path = path.to_owned();
            match unusable {
                Unusable::Unreadable(source) => AuthError::Read { path, source },
                Unusable::Line(line, problem) => AuthError::Line { path, line, problem },
            }
        })
    }

    /// Every user with its hash.
    pub fn users(&self) -> impl Iterator<Item = (&str, &StoredHash)> {
        self.0.users()
    }

    /// Adds the user, or changes its password. True if it is new.
    ///
    /// # Errors
    /// The name is invalid, or hashing failed.
    pub fn set(&mut self, user: &str, password: &[u8]) -> Result<bool, AuthError> {
        if !is_user_name(user) {
            return Err(AuthError::UserName);
        }
        let hash = hashing::hash(password).map_err(AuthError::Hash)?;
        Ok(self.0.set(user, hash))
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
    pub fn write(&self, path: &Path) -> Result<(), AuthError> {
        let text = self.0.text(ToString::to_string);
        private_file::replace(path, text.as_bytes())
            .map_err(|source| AuthError::Write { path: path.to_owned(), source })
    }
}

fn parse(user: &str, hash: &str) -> Result<StoredHash, String> {
    if !is_user_name(user) {
        return Err("the user name is missing or begins with a space".to_owned());
    }
    hashing::parse(hash).ok_or_else(|| {
        format!("the hash of {user} is neither Argon2id nor one of Mosquitto's ($6$, $7$); write it with `ferrymq passwd`")
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn hash_of<'a>(file: &'a PasswordFile, user: &str) -> &'a StoredHash {
        file.users().find(|(name, _)| *name == user).unwrap().1
    }

    fn error_of(text: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        std::fs::write(&path, text).unwrap();
        let error = PasswordFile::read(&path).unwrap_err().to_string();
        error.strip_prefix(path.to_str().unwrap()).unwrap().to_owned()
    }

    #[test]
    fn users_and_comments_survive_a_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwords");
        std::fs::write(&path, "# sensors\n\n").unwrap();
        let mut file = PasswordFile::read(&path).unwrap();
        assert!(file.set("meter 1", b"a").unwrap());
        assert!(file.set("gate", b"b").unwrap());
        assert!(!file.set("gate", b"c").unwrap());
        file.write(&path).unwrap();

        assert!(
            std::fs::read_to_string(&path).unwrap().starts_with("# sensors\n\nmeter 1:$argon2id$")
        );
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut file = PasswordFile::read(&path).unwrap();
        assert!(hashing::verify(b"c", hash_of(&file, "gate"), &mut hashing::Memory::new()));
        assert!(file.remove("gate"));
        assert!(!file.remove("gate"));
        assert_eq!(file.users().count(), 1);
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "no temporary file is left behind");
    }

    #[test]
    fn a_link_is_followed_and_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        // As Kubernetes lays out a Secret: passwords -> ..data/passwords, ..data -> ..2026.
        std::fs::create_dir(dir.path().join("..2026")).unwrap();
        std::os::unix::fs::symlink("..2026", dir.path().join("..data")).unwrap();
        let link = dir.path().join("passwords");
        std::os::unix::fs::symlink("..data/passwords", &link).unwrap();
        let mut file = PasswordFile::default();
        file.set("a", b"x").unwrap();
        file.write(&dir.path().join("..2026/passwords")).unwrap();
        let mut file = PasswordFile::read(&link).unwrap();
        assert!(file.set("b", b"y").unwrap());
        file.write(&link).unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(PasswordFile::read(&link).unwrap().users().count(), 2);
    }

    #[test]
    fn a_file_of_mosquitto_takes_new_users_beside_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwords");
        let line = "alice:$7$101$fVFDx6sWYSLTf3LJ$N5vP+UTa1z3wOkGLAKKStzykA/sr9VjdamlqUgfpBZkWQeTk+olHoodBpjtgr2tQEDy71DsK8WfJVOWZFIStHQ==\n";
        std::fs::write(&path, line).unwrap();
        let mut file = PasswordFile::read(&path).unwrap();
        assert!(file.set("bob", b"x").unwrap());
        file.write(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(line) && text.contains("bob:$argon2id$"), "{text}");
    }

    #[test]
    fn a_bad_line_is_named_and_its_hash_is_not_shown() {
        let hash = hashing::hash(b"x").unwrap();
        assert_eq!(error_of("\nalice\n"), ", line 2: expected user:hash, found no colon");
        assert_eq!(error_of(":x\n"), ", line 1: the user name is missing or begins with a space");
        assert_eq!(
            error_of("# c\nalice:hunter2\n"),
            ", line 2: the hash of alice is neither Argon2id nor one of Mosquitto's ($6$, $7$); write it with `ferrymq passwd`"
        );
        assert_eq!(
            error_of(&format!("a:{hash}\na:{hash}\n")),
            ", line 2: the user a was already listed above"
        );
    }

    #[test]
    fn a_name_that_would_break_the_file_is_refused() {
        let mut file = PasswordFile::default();
        for name in ["", "#a", " a", "a:b", "a\nb"] {
            assert!(matches!(file.set(name, b"x"), Err(AuthError::UserName)), "{name:?}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = PasswordFile::read(Path::new("/nowhere/p")).unwrap_err().to_string();
        assert!(
            error.starts_with("cannot read the password file /nowhere/p: No such file"),
            "{error}"
        );
    }
}
