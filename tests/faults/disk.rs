//! A disk that may lose what was not synced. It replays a recording and can lose power at any
//! moment: synced data is there, and of the rest anything may be.
//!
//! A power cut does what SQLite assumes of a disk with "powersafe overwrite": a sector of 512
//! bytes is written or not, bytes beside a write stay unchanged, and writes reach the disk in
//! any order.

use std::collections::BTreeMap;
use std::path::Path;

use crate::common::rng::Rng;
use crate::recording::{Event, Record};

const SECTOR: usize = 512;

/// Which unsynced changes survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaves {
    Nothing,
    Everything,
    /// A prefix of the changes of each file.
    Prefix,
    /// A random subset of the changes.
    Some,
    /// A prefix, and some sectors of the next change.
    Torn,
}

pub const ALL_LEAVES: [Leaves; 5] =
    [Leaves::Prefix, Leaves::Some, Leaves::Torn, Leaves::Nothing, Leaves::Everything];

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

#[derive(Debug, Clone, Default)]
struct Contents {
    synced: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Naming {
    Add(String, u32),
    Remove(String),
    Move(String, u32),
}

#[derive(Debug, Clone, Default)]
pub struct Disk {
    files: BTreeMap<u32, Contents>,
    names: BTreeMap<String, u32>,
    renaming: Vec<Naming>,
}

/// The files of a directory.
pub type Files = BTreeMap<String, Vec<u8>>;

impl Disk {
    pub fn apply(&mut self, record: &Record) {
        let file = record.file;
        match &record.event {
            Event::Created(name) => self.renaming.push(Naming::Add(name.clone(), file)),
            Event::Unlinked(name) => self.renaming.push(Naming::Remove(name.clone())),
            Event::Renamed(name) => self.renaming.push(Naming::Move(name.clone(), file)),
            Event::Written { offset, data } => {
                self.pending(file).push(Change::Write(*offset, data.clone()));
            }
            Event::Truncated(length) => self.pending(file).push(Change::Truncate(*length)),
            Event::Synced if file == 0 => {
                for naming in std::mem::take(&mut self.renaming) {
                    naming.apply(&mut self.names);
                }
            }
            Event::Synced => {
                let contents = self.files.entry(file).or_default();
                for change in std::mem::take(&mut contents.pending) {
                    change.apply(&mut contents.synced);
                }
            }
            Event::Failed(_) => {}
            Event::Found(name) => panic!("{name} was there before the recording"),
        }
    }

    fn pending(&mut self, file: u32) -> &mut Vec<Change> {
        &mut self.files.entry(file).or_default().pending
    }

    /// The files after a power cut at this moment.
    pub fn cut(&self, leaves: Leaves, rng: &mut Rng) -> Files {
        let mut names = self.names.clone();
        for naming in chosen(&self.renaming, leaves, rng) {
            naming.apply(&mut names);
        }
        let mut files = Files::new();
        for (name, number) in names {
            let contents = self.files.get(&number).cloned().unwrap_or_default();
            files.insert(name, contents.cut(leaves, rng));
        }
        // The `-shm` file has no meaning after a power cut; SQLite must not trust it.
        files.retain(|name, _| !name.ends_with("-shm"));
        files
    }
}

pub fn write(files: &Files, directory: &Path) {
    for (name, bytes) in files {
        std::fs::write(directory.join(name), bytes).unwrap();
    }
}

/// File names are journaled metadata, so their changes stay in order.
fn chosen<T: Clone>(all: &[T], leaves: Leaves, rng: &mut Rng) -> Vec<T> {
    let count = match leaves {
        Leaves::Nothing => 0,
        Leaves::Everything => all.len(),
        _ => below(rng, all.len() + 1),
    };
    all[..count].to_vec()
}

fn below(rng: &mut Rng, end: usize) -> usize {
    usize::try_from(rng.between(0, end as u64)).unwrap()
}

impl Contents {
    fn cut(mut self, leaves: Leaves, rng: &mut Rng) -> Vec<u8> {
        let pending = std::mem::take(&mut self.pending);
        if leaves == Leaves::Some {
            for change in pending {
                if rng.between(0, 2) == 0 {
                    change.apply(&mut self.synced);
                }
            }
            return self.synced;
        }
        let kept = chosen(&pending, leaves, rng);
        let next = pending.get(kept.len()).cloned();
        for change in kept {
            change.apply(&mut self.synced);
        }
        if let (Leaves::Torn, Some(next)) = (leaves, next) {
            next.tear(&mut self.synced, rng);
        }
        self.synced
    }
}

impl Change {
    fn apply(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => overwrite(bytes, usize::try_from(offset).unwrap(), &data),
            Self::Truncate(length) => bytes.resize(usize::try_from(length).unwrap(), 0),
        }
    }

    fn tear(self, bytes: &mut Vec<u8>, rng: &mut Rng) {
        let Self::Write(offset, data) = self else { return };
        let mut at = usize::try_from(offset).unwrap();
        let mut rest = data.as_slice();
        while !rest.is_empty() {
            // Up to the end of the sector in which it begins.
            let (part, next) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
            if rng.between(0, 2) == 0 {
                overwrite(bytes, at, part);
            }
            at += part.len();
            rest = next;
        }
    }
}

fn overwrite(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
    if bytes.len() < at + data.len() {
        bytes.resize(at + data.len(), 0);
    }
    bytes[at..at + data.len()].copy_from_slice(data);
}

impl Naming {
    fn apply(self, names: &mut BTreeMap<String, u32>) {
        match self {
            Self::Add(name, file) => {
                names.insert(name, file);
            }
            Self::Remove(name) => {
                names.remove(&name);
            }
            Self::Move(name, file) => {
                names.retain(|_, other| *other != file);
                names.insert(name, file);
            }
        }
    }
}
