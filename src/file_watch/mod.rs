//! Notices that files were replaced: by inotify on their directories, and by polling. What the
//! files mean, and reading them, are the callers'.
//!
//! Directories are watched, not files: editors, certificate managers and Kubernetes replace a
//! file by renaming another one over it, or swap a link to its directory (`..data`), after
//! which a watch of the file would be one of the old file. Polling finds what inotify does not
//! see: network file systems, and links further up the path.

#[cfg(target_os = "linux")]
mod inotify;
#[cfg(not(target_os = "linux"))]
#[path = "no_inotify.rs"]
mod inotify;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};

use inotify::Directories;
use snapshot::Snapshot;

/// How often files are looked at without any event. Two looks within the minute after which
/// an operator would ask why nothing happens; a look costs a few system calls a file.
const POLL_EVERY: Duration = Duration::from_secs(30);
/// Writers get this long between two steps, such as a certificate and then its key.
const SILENCE: Duration = Duration::from_millis(200);
/// Somebody who writes all the time holds up a report for at most this many silences, 2 s.
const MOST_SILENCES: u32 = 10;

/// Watches some files.
#[derive(Debug)]
pub struct FileWatch {
    paths: Arc<[PathBuf]>,
    seen: Snapshot,
    /// None if the system has no inotify, or no more of its instances.
    directories: Option<Directories>,
    /// An event named one of the files. It counts even if the file looks the same: it may have
    /// been written twice within a tick of its clock.
    named: bool,
    /// Something happened after the last look, also if the future that saw it was dropped.
    woken: bool,
    poll: Interval,
}

impl FileWatch {
    /// Watches from now on: make it before the files are read, so that no change is missed.
    /// Missing files and directories are waited for. Blocks for a few system calls.
    ///
    /// Needs the context of a runtime with I/O and time.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self::polling_every(POLL_EVERY, paths)
    }

    /// As [`FileWatch::new`], with another time between two polls.
    pub fn polling_every(every: Duration, paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut poll = interval_at(Instant::now() + every, every);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watch = Self {
            paths: Arc::new([]),
            seen: Snapshot::default(),
            directories: None,
            named: false,
            woken: false,
            poll,
        };
        watch.replace(paths);
        watch
    }

    /// Watches these files instead. Call it before they are read. Blocks for a few system
    /// calls.
    pub fn replace(&mut self, paths: impl IntoIterator<Item = PathBuf>) {
        let paths: BTreeSet<PathBuf> = paths.into_iter().collect();
        self.paths = paths.into_iter().collect();
        // In this order: what changes after the look is an event.
        self.directories = Directories::open(&self.paths);
        self.seen = Snapshot::take(&self.paths);
        (self.named, self.woken) = (false, false);
    }

    /// Waits until a watched file was written, replaced, removed or made, or its permissions
    /// changed, and then until nothing happened to it for 200 ms, 2 s at most. Never returns
    /// if there is nothing to watch.
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn changed(&mut self) {
        loop {
            if !self.woken {
                self.event_or_poll().await;
                self.woken = true;
            }
            self.drain();
            for _ in 0..MOST_SILENCES {
                sleep(SILENCE).await;
                if !self.drain() {
                    break;
                }
            }
            if self.look().await {
                return;
            }
        }
    }

    async fn event_or_poll(&mut self) {
        let event = async {
            match &self.directories {
                Some(directories) => directories.readable().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = event => {}
            _ = self.poll.tick() => {}
        }
    }

    /// Takes the events that are there. True if one named a watched file.
    fn drain(&mut self) -> bool {
        let named = self.directories.as_mut().is_some_and(Directories::drain);
        self.named |= named;
        named
    }

    /// Looks at the files, which may block on a network file system. True if they changed.
    async fn look(&mut self) -> bool {
        let paths = Arc::clone(&self.paths);
        // Where directories were replaced, or links lead elsewhere now, they are opened again.
        let stale = self.directories.as_ref().is_none_or(Directories::is_stale);
        let was = self.directories.as_ref().map(Directories::watched).unwrap_or_default();
        let looked = tokio::task::spawn_blocking(move || {
            let opened =
                (stale || was != directories_of(&paths)).then(|| Directories::open(&paths));
            (opened, Snapshot::take(&paths))
        });
        // It fails if the runtime shuts down; then nobody is left to tell.
        let Ok((opened, seen)) = looked.await else { return std::future::pending().await };
        if let Some(opened) = opened {
            self.directories = opened;
        }
        let changed = self.named || seen != self.seen;
        (self.named, self.woken) = (false, false);
        self.seen = seen;
        changed
    }
}

/// The directories that decide what the paths lead to: that of each path, and that of the file
/// in which its links end.
fn directories_of(paths: &[PathBuf]) -> BTreeSet<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Some(PathBuf::from(".")),
        parent => parent.map(Path::to_owned),
    };
    let ends = paths.iter().filter_map(|path| parent(&path.canonicalize().ok()?));
    paths.iter().filter_map(|path| parent(path)).chain(ends).collect()
}
