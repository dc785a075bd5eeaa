//! Controls the shim: compiled once, attached to a broker before its start, and controlled
//! through its control file from then on.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::common::broker::Broker;
use crate::recording::Recording;

/// Kinds of files, as in `shim.h`.
pub const DATABASE: i64 = 1;
pub const WAL: i64 = 2;
pub const DIRECTORY: i64 = 4;
pub const EVERY_FILE: i64 = 31;

/// Kinds of calls, as in `shim.h`.
pub const WRITE: i64 = 1;
pub const SYNC: i64 = 2;
pub const READ: i64 = 4;
pub const CREATE: i64 = 8;

pub const EIO: i64 = 5;
pub const ENOSPC: i64 = 28;
pub const EROFS: i64 = 30;

/// Words of the control file, in the order of `control.c`.
#[derive(Clone, Copy)]
enum Word {
    ClockOffset,
    Armed,
    Calls,
    Kinds,
    Error,
    Pass,
    Times,
    Hits,
    Loaded,
}

/// A rule that makes calls fail.
#[derive(Clone, Copy)]
pub struct Rule {
    pub calls: i64,
    pub files: i64,
    pub error: i64,
    /// Number of calls that succeed first.
    pub after: i64,
    /// Number of calls that fail, -1 for all later ones.
    pub times: i64,
}

pub struct Shim {
    directory: tempfile::TempDir,
    control: File,
}

impl Shim {
    /// Attaches the shim to later starts of `broker`.
    pub fn attach(broker: &mut Broker) -> Self {
        Self::build(broker, false)
    }

    /// Attaches the shim, and records all changes to the files.
    pub fn recording(broker: &mut Broker) -> Self {
        Self::build(broker, true)
    }

    fn build(broker: &mut Broker, record: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control");
        let control = File::options().create_new(true).read(true).write(true).open(&path).unwrap();
        control.set_len(4096).unwrap();
        let shim = Self { directory, control };
        broker.set("LD_PRELOAD", library().to_str().unwrap());
        broker.set("FAULT_DIR", broker.directory().to_str().unwrap().to_owned().as_str());
        broker.set("FAULT_CONTROL", path.to_str().unwrap());
        if record {
            broker.set("FAULT_RECORD", shim.record_path().to_str().unwrap());
        }
        shim
    }

    /// Removes the shim from later starts of `broker`.
    pub fn detach(broker: &mut Broker) {
        for key in ["LD_PRELOAD", "FAULT_DIR", "FAULT_CONTROL", "FAULT_RECORD"] {
            broker.set(key, "");
        }
    }

    fn record_path(&self) -> PathBuf {
        self.directory.path().join("recording")
    }

    pub fn read(&self) -> Recording {
        Recording::read(&self.record_path())
    }

    pub fn arm(&self, rule: Rule) {
        self.disarm();
        self.set(Word::Calls, rule.calls);
        self.set(Word::Kinds, rule.files);
        self.set(Word::Error, rule.error);
        self.set(Word::Pass, rule.after);
        self.set(Word::Times, rule.times);
        self.set(Word::Armed, 1);
    }

    pub fn disarm(&self) {
        self.set(Word::Armed, 0);
    }

    /// Number of calls that were made to fail.
    pub fn hits(&self) -> i64 {
        self.word(Word::Hits)
    }

    /// Sets the offset of the broker's wall clock in seconds.
    pub fn step_clock(&self, seconds: i64) {
        self.set(Word::ClockOffset, seconds * 1_000_000_000);
    }

    /// True if a process has loaded the shim, so that the control file has an effect.
    pub fn is_loaded(&self) -> bool {
        self.word(Word::Loaded) != 0
    }

    // The shim maps this file; writes to the file are visible in its mapping.
    fn set(&self, word: Word, value: i64) {
        self.control.write_all_at(&value.to_ne_bytes(), word as u64 * 8).unwrap();
    }

    fn word(&self, word: Word) -> i64 {
        let mut value = [0; 8];
        self.control.read_exact_at(&mut value, word as u64 * 8).unwrap();
        i64::from_ne_bytes(value)
    }
}

/// Compiles the shim on first use, once per process.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/shim");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let fresh = target.join(format!("shim-{}.so", std::process::id()));
        let compiled = Command::new("cc")
            .args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
            .arg(&fresh)
            .args(["calls.c", "files.c", "record.c", "control.c"].map(|name| sources.join(name)))
            .args(["-ldl", "-pthread"])
            .status()
            .expect("cc, of build-essential");
        assert!(compiled.success(), "the shim does not compile");
        // The rename is atomic: other processes never see a partial file.
        let library = target.join("shim.so");
        std::fs::rename(fresh, &library).unwrap();
        library
    })
}
