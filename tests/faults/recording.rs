//! The shim's recording: every change to the database's directory, in order, with its time.

use std::path::Path;

/// One change. Files are numbers; 0 is the directory.
#[derive(Debug, Clone)]
pub struct Record {
    /// Time on the clock of [`crate::common::journal::now`].
    pub at: u64,
    pub file: u32,
    pub event: Event,
}

#[derive(Debug, Clone)]
pub enum Event {
    Created(String),
    Written {
        offset: u64,
        data: Vec<u8>,
    },
    Truncated(u64),
    Synced,
    Unlinked(String),
    Renamed(String),
    /// A call of this kind was made to fail.
    Failed(i64),
    /// The file existed before the recording began.
    Found(String),
}

pub struct Recording {
    pub records: Vec<Record>,
}

const HEADER: usize = 40;

impl Recording {
    /// Reads a recording; an unfinished last record is ignored.
    pub fn read(path: &Path) -> Self {
        let bytes =
            std::fs::read(path).expect("the shim records: is the binary dynamically linked?");
        let mut rest = bytes.as_slice();
        let mut records = Vec::new();
        while let Some((record, length)) = one(rest) {
            records.push(record);
            rest = &rest[length..];
        }
        assert!(!records.is_empty(), "nothing was recorded");
        Self { records }
    }
}

fn one(bytes: &[u8]) -> Option<(Record, usize)> {
    let header = bytes.get(..HEADER)?;
    let u64_at = |at: usize| u64::from_ne_bytes(header[at..at + 8].try_into().unwrap());
    let u32_at = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().unwrap());
    let (offset, length) = (u64_at(16), u64_at(24));
    let name_end = HEADER + usize::try_from(u32_at(32)).unwrap();
    let end = name_end + usize::try_from(u32_at(36)).unwrap();
    let name = String::from_utf8(bytes.get(HEADER..name_end)?.to_vec()).unwrap();
    let data = bytes.get(name_end..end)?;
    let event = match u32_at(8) {
        1 => Event::Created(name),
        2 => Event::Written { offset, data: data.to_vec() },
        3 => Event::Truncated(length),
        4 => Event::Synced,
        5 => Event::Unlinked(name),
        6 => Event::Renamed(name),
        7 => Event::Failed(i64::try_from(offset).unwrap()),
        8 => Event::Found(name),
        other => panic!("event {other}"),
    };
    Some((Record { at: u64_at(0), file: u32_at(12), event }, end))
}
