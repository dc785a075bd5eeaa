//! A directory on a simulated disk, without a broker: before the first start, and between a crash
//! and the next one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use crate::common::rng::Rng;
use crate::disk::Disk;

/// A directory that is removed on drop, with its [`Disk`].
pub struct Directory(TempDir);

impl Directory {
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn database(&self) -> PathBuf {
        self.path().join("ferrymq.db")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        Disk::forget(self.path());
    }
}

/// A directory that has outlived its broker, or has had none.
pub struct Place {
    pub disk: Arc<Disk>,
    pub directory: Directory,
}

impl Place {
    pub fn empty(seed: u64) -> Self {
        let memory = PathBuf::from("/dev/shm");
        let directory = if memory.is_dir() {
            tempfile::tempdir_in(memory).unwrap()
        } else {
            tempfile::tempdir().unwrap()
        };
        Self { disk: Disk::below(directory.path(), seed), directory: Directory(directory) }
    }

    /// What the next start finds after a power cut.
    pub fn without_power(self, rng: &mut Rng) -> Self {
        let files = self.disk.power_cut(rng);
        let fresh = Self::empty(rng.between(0, u64::MAX));
        for (name, image) in &files {
            std::fs::write(fresh.directory.path().join(name), image).unwrap();
        }
        fresh.disk.preload(&files);
        fresh
    }
}
