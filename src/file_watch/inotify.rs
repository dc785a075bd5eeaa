//! Directories that are watched by inotify.

use std::collections::{BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::directories_of;

/// What changes a file or what a path leads to. Reading is not among it, so that whoever reads
/// the files again causes no event.
const EVENTS: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// A few dozen events: one has 16 bytes and a name of up to 256.
const BUFFER: usize = 4096;
/// The most events that one call takes, which is as many as the kernel keeps by default
/// (`fs.inotify.max_queued_events`). Whoever fills a watched directory with files does not
/// hold the thread for longer.
const MOST_EVENTS: usize = 16_384;

/// An inotify instance.
#[derive(Debug)]
pub struct Directories {
    events: AsyncFd<OwnedFd>,
    watched: BTreeSet<PathBuf>,
    /// Names of the watched files in them.
    names: HashSet<OsString>,
    /// A directory is missing or was replaced: the instance has to be opened again.
    stale: bool,
}

impl Directories {
    /// Watches the directories of these files. None if the system refuses. Blocks.
    pub fn open(paths: &[PathBuf]) -> Option<Self> {
        let instance = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok()?;
        let watched = directories_of(paths);
        let add = |directory: &PathBuf| inotify::add_watch(&instance, directory, EVENTS).is_err();
        // Each, so no short cut.
        let missing = watched.iter().filter(|directory| add(directory)).count();
        let ends = paths.iter().filter_map(|path| path.canonicalize().ok());
        let ends: Vec<PathBuf> = ends.collect();
        let names = paths.iter().chain(&ends).filter_map(|path| path.file_name());
        let names = names.map(OsStr::to_owned).collect();
        #[expect(
            deprecated,
            reason = "unsound for types whose descriptor can change, which an OwnedFd's cannot; \
                      what replaces it is unsafe"
        )]
        let events = AsyncFd::with_interest(instance, Interest::READABLE).ok()?;
        Some(Self { events, watched, names, stale: missing > 0 })
    }

    pub fn watched(&self) -> BTreeSet<PathBuf> {
        self.watched.clone()
    }

    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// Waits for an event. It stays there.
    pub async fn readable(&self) {
        if let Ok(mut guard) = self.events.readable().await {
            guard.retain_ready();
        }
    }

    /// Takes the events that are there. True if one named a watched file.
    pub fn drain(&mut self) -> bool {
        let mut named = false;
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        // Clears the readiness once the instance is empty.
        let drained = self.events.try_io(Interest::READABLE, |instance| {
            let mut reader = Reader::new(instance, &mut buffer);
            for _ in 0..MOST_EVENTS {
                let event = reader.next()?;
                let gone = ReadFlags::IGNORED | ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF;
                self.stale |= event.events().intersects(gone);
                let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
                named |= name.is_some_and(|name| self.names.contains(name));
            }
            Ok(())
        });
        // Nothing left, or an error, after which polling goes on.
        let _ = drained;
        named
    }
}
