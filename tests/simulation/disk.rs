//! What a disk holds after a power cut: everything up to each file's last sync, and any part
//! of what was written since.
//!
//! The files are real, in a directory; this module records their changes. A killed process
//! leaves the files as they are, a power cut leaves what [`Disk::power_cut`] returns.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use crate::common::rng::Rng;

/// A write can be torn at multiples of this size.
const SECTOR: usize = 512;

/// A change of a file that was not yet synced.
#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => {
                let end = at + bytes.len();
                if image.len() < end {
                    image.resize(end, 0);
                }
                image[*at..end].copy_from_slice(bytes);
            }
            Self::Truncate(len) => image.resize(*len, 0),
        }
    }
}

#[derive(Debug, Default)]
struct Account {
    durable: Vec<u8>,
    since: Vec<Change>,
}

/// A fault of later operations of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No room: writes fail and change nothing.
    Full,
    /// The n-th write from now fails.
    Write(u64),
    /// The n-th sync from now fails, and a part of what it should have synced is lost,
    /// although reads still return it.
    Sync(u64),
    /// The n-th read from now fails.
    Read(u64),
    /// The process dies after n more changes; later operations change nothing.
    Death(u64),
}

/// The result of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Done,
    Full,
    Error,
}

#[derive(Debug)]
struct State {
    files: BTreeMap<String, Account>,
    fault: Option<Fault>,
    dead: bool,
    rng: Rng,
}

/// The disk below one directory.
#[derive(Debug)]
pub struct Disk {
    state: Mutex<State>,
}

static DISKS: LazyLock<Mutex<HashMap<PathBuf, Arc<Disk>>>> = LazyLock::new(Mutex::default);

impl Disk {
    /// Records the changes of the files below `directory` from now on.
    pub fn below(directory: &Path, seed: u64) -> Arc<Self> {
        let state =
            State { files: BTreeMap::new(), fault: None, dead: false, rng: Rng::from_seed(seed) };
        let disk = Arc::new(Self { state: Mutex::new(state) });
        DISKS.lock().unwrap().insert(directory.to_owned(), Arc::clone(&disk));
        disk
    }

    /// The disk of a file, if its changes are recorded.
    pub fn of(path: &Path) -> Option<Arc<Self>> {
        DISKS.lock().unwrap().get(path.parent()?).cloned()
    }

    pub fn forget(directory: &Path) {
        DISKS.lock().unwrap().remove(directory);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn set_fault(&self, fault: Option<Fault>) {
        self.state().fault = fault;
    }

    /// True: nothing is changed from now on, as after the death of the process. False: it
    /// lives again.
    pub fn set_dead(&self, dead: bool) {
        let mut state = self.state();
        state.dead = dead;
        state.fault = None;
    }

    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    pub fn may_write(&self) -> Verdict {
        let mut state = self.state();
        state.count_change();
        if state.dead {
            return Verdict::Error;
        }
        match &mut state.fault {
            Some(Fault::Full) => Verdict::Full,
            Some(Fault::Write(left)) if *left == 0 => Verdict::Error,
            Some(Fault::Write(left)) => {
                *left -= 1;
                Verdict::Done
            }
            _ => Verdict::Done,
        }
    }

    pub fn may_read(&self) -> Verdict {
        match &mut self.state().fault {
            Some(Fault::Read(left)) if *left == 0 => Verdict::Error,
            Some(Fault::Read(left)) => {
                *left -= 1;
                Verdict::Done
            }
            _ => Verdict::Done,
        }
    }

    pub fn wrote(&self, file: &str, at: usize, bytes: &[u8]) {
        self.state().account(file).since.push(Change::Write(at, bytes.to_vec()));
    }

    pub fn truncated(&self, file: &str, len: usize) {
        self.state().account(file).since.push(Change::Truncate(len));
    }

    pub fn removed(&self, file: &str) {
        self.state().files.remove(file);
    }

    pub fn sync(&self, file: &str) -> Verdict {
        let mut state = self.state();
        state.count_change();
        if state.dead {
            return Verdict::Error;
        }
        if let Some(Fault::Sync(left)) = &mut state.fault {
            if *left == 0 {
                state.fail_sync(file);
                return Verdict::Error;
            }
            *left -= 1;
        }
        let account = state.account(file);
        for change in std::mem::take(&mut account.since) {
            change.apply(&mut account.durable);
        }
        Verdict::Done
    }

    /// The files that the disk may hold after a power cut now.
    pub fn power_cut(&self, rng: &mut Rng) -> BTreeMap<String, Vec<u8>> {
        let mut state = self.state();
        let mut left = BTreeMap::new();
        for (name, account) in &mut state.files {
            let mut image = account.durable.clone();
            for change in survivors(&account.since, rng) {
                change.apply(&mut image);
            }
            if !image.is_empty() || rng.between(0, 2) == 0 {
                left.insert(name.clone(), image);
            }
        }
        left
    }

    /// Sets files that are on disk at the beginning.
    pub fn preload(&self, files: &BTreeMap<String, Vec<u8>>) {
        let mut state = self.state();
        for (name, image) in files {
            state.account(name).durable.clone_from(image);
        }
    }
}

impl State {
    fn account(&mut self, file: &str) -> &mut Account {
        self.files.entry(file.to_owned()).or_default()
    }

    fn count_change(&mut self) {
        if let Some(Fault::Death(left)) = &mut self.fault {
            if *left == 0 {
                self.dead = true;
                self.fault = None;
            } else {
                *left -= 1;
            }
        }
    }

    /// As on Linux: the pages count as clean from now on, whether they reached the disk or
    /// not, and a later sync does not write them.
    fn fail_sync(&mut self, file: &str) {
        self.fault = None;
        let changes = std::mem::take(&mut self.account(file).since);
        for change in changes {
            if self.rng.between(0, 2) == 0 {
                change.apply(&mut self.account(file).durable);
            }
        }
    }
}

/// A part of what was written since the last sync: nothing, all, a prefix, or any subset in
/// any order; the last write may be torn.
fn survivors(since: &[Change], rng: &mut Rng) -> Vec<Change> {
    let mut left: Vec<Change> = match rng.between(0, 4) {
        0 => Vec::new(),
        1 => since.to_vec(),
        2 => {
            let count = rng.index(since.len() + 1);
            since[..count].to_vec()
        }
        _ => since.iter().filter(|_| rng.between(0, 2) == 0).cloned().collect(),
    };
    if rng.between(0, 2) == 0
        && let Some(Change::Write(_, bytes)) = left.last_mut()
    {
        let sectors = bytes.len() / SECTOR;
        bytes.truncate(rng.index(sectors + 1) * SECTOR);
    }
    left
}
