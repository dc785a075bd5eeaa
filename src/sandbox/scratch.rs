//! A temporary directory beside the database.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::SandboxError;

/// A directory that is removed with its content on drop. A killed process leaves it behind as
/// `ferrymq-NAME-PID` beside the database.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    /// Parent directories that were created, the innermost first.
    made: Vec<PathBuf>,
}

impl Scratch {
    /// Creates `ferrymq-NAME-PID` beside `database`, so on the same volume, accessible only to
    /// this user.
    ///
    /// # Errors
    /// The directory cannot be created.
    pub fn beside(database: &Path, name: &str) -> Result<Self, SandboxError> {
        // Uses the volume of the file itself, not of a symbolic link to it.
        let database = database.canonicalize().unwrap_or_else(|_| database.to_path_buf());
        let parent = database.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = std::path::absolute(parent.unwrap_or(Path::new(".")))
            .map_err(|source| SandboxError::Directory { path: database.clone(), source })?;
        let mut scratch = Self { path: PathBuf::new(), made: missing(&parent) };
        let path = parent.join(format!("ferrymq-{name}-{}", std::process::id()));
        let failed = |path: &Path, source| SandboxError::Directory { path: path.into(), source };
        std::fs::create_dir_all(&parent).map_err(|source| failed(&parent, source))?;
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {}
            // Process identifiers are reused: a killed process has left the directory behind.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                std::fs::remove_dir_all(&path).map_err(|source| failed(&path, source))?;
                DirBuilder::new()
                    .mode(0o700)
                    .create(&path)
                    .map_err(|source| failed(&path, source))?;
            }
            Err(source) => return Err(failed(&path, source)),
        }
        scratch.path = path;
        Ok(scratch)
    }

    /// The absolute path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates a directory within it.
    ///
    /// # Errors
    /// The directory cannot be created.
    pub fn directory(&self, name: &str) -> Result<PathBuf, SandboxError> {
        let path = self.path.join(name);
        match std::fs::create_dir_all(&path) {
            Ok(()) => Ok(path),
            Err(source) => Err(SandboxError::Directory { path, source }),
        }
    }
}

fn missing(path: &Path) -> Vec<PathBuf> {
    path.ancestors().take_while(|path| !path.exists()).map(Path::to_path_buf).collect()
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Errors cannot be reported here; the name of a leftover directory tells its origin.
        if !self.path.as_os_str().is_empty() {
            let _ = std::fs::remove_dir_all(&self.path);
        }
        for path in &self.made {
            // Removes it only if it is empty.
            let _ = std::fs::remove_dir(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_leaves_the_volume_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let scratch = Scratch::beside(&home.path().join("a/b/ferrymq.db"), "test").unwrap();
        std::fs::write(scratch.path().join("file"), "x").unwrap();
        assert!(scratch.path().starts_with(home.path().join("a/b")));
        drop(scratch);
        assert!(std::fs::read_dir(home.path()).unwrap().next().is_none());
    }

    #[test]
    fn what_others_have_put_beside_it_stays() {
        let home = tempfile::tempdir().unwrap();
        let scratch = Scratch::beside(&home.path().join("a/ferrymq.db"), "test").unwrap();
        std::fs::write(home.path().join("a/ferrymq.db"), "x").unwrap();
        drop(scratch);
        assert_eq!(std::fs::read_dir(home.path().join("a")).unwrap().count(), 1);
    }

    #[test]
    fn where_nothing_can_be_written_is_said_in_one_line() {
        let error = Scratch::beside(Path::new("/proc/nowhere/ferrymq.db"), "test").unwrap_err();
        assert!(error.is_about_the_volume());
        let text = error.to_string();
        assert!(text.starts_with("cannot write /proc/nowhere: ") && !text.contains('\n'), "{text}");
    }
}
