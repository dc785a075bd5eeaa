//! The key set of a URL: read at the start, again after an interval, and at once when a token
//! has the name of a key that is not in it. While the server is down, the keys that were read
//! last stay in force.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{info, warn};

use super::error::KeyError;
use super::jwk::{self, Skipped, Source};
use super::key_set::KeySet;
use super::schedule::Schedule;
use crate::fetch::{Failure, FetchError, Fetcher, Limits};

/// The longest key set in bytes: 1,000 keys of 4,096 bits have 800 KB.
pub const MAX_BODY: usize = 1024 * 1024;
/// How long a read may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How the keys of the URL are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyState {
    /// Keys in force.
    pub keys: usize,
    /// Reads that failed since the last that succeeded.
    pub failures: u32,
}

/// A key set that a server has.
pub struct Remote {
    fetcher: Fetcher,
    schedule: Schedule,
    state: watch::Sender<State>,
    /// A token asks for a read.
    wanted: Notify,
}

struct State {
    keys: Arc<KeySet>,
    /// Reads that have ended, well or not.
    reads: u64,
    /// A read has begun, or is about to.
    is_reading: bool,
    failures: u32,
    /// When a token may ask for the next read.
    earliest: Instant,
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the server answered with status {0}")]
    Status(u16),
    #[error("{0}")]
    Keys(#[from] KeyError),
}

impl Remote {
    /// Reads the authorities of TLS, and nothing from the network.
    pub fn new(
        url: &str,
        ca_file: Option<&std::path::Path>,
        schedule: Schedule,
    ) -> Result<Self, FetchError> {
        // One connection: reads are at least the pause apart, so it is rarely used again.
        let fetcher = Fetcher::new(url, ca_file, Limits { max_body: MAX_BODY, max_idle: 0 })?;
        let state = State {
            keys: Arc::default(),
            reads: 0,
            // The first read begins with the start.
            is_reading: true,
            failures: 0,
            earliest: Instant::now(),
        };
        Ok(Self { fetcher, schedule, state: watch::Sender::new(state), wanted: Notify::new() })
    }

    pub fn fetcher(&self) -> &Fetcher {
        &self.fetcher
    }

    /// The keys in force; none before the first read.
    pub fn keys(&self) -> Arc<KeySet> {
        self.state.borrow().keys.clone()
    }

    /// Takes over keys that another one has read.
    pub fn inherit(&self, keys: Arc<KeySet>) {
        self.state.send_modify(|state| state.keys = keys);
    }

    pub fn key_state(&self) -> KeyState {
        let state = self.state.borrow();
        KeyState { keys: state.keys.len(), failures: state.failures }
    }

    /// Has the keys read, if none of the last reads is too recent, and waits for the end of it,
    /// until `deadline` at most. True if there was a read.
    pub async fn refreshed(&self, deadline: Instant) -> bool {
        let mut state = self.state.subscribe();
        let seen = {
            let state = state.borrow();
            if !state.is_reading {
                if Instant::now() < state.earliest {
                    return false;
                }
                self.wanted.notify_one();
            }
            state.reads
        };
        let read = state.wait_for(|state| state.reads != seen);
        timeout_at(deadline, read).await.is_ok_and(|read| read.is_ok())
    }

    /// Reads the keys again and again. Ends when it is dropped.
    pub async fn run(self: Arc<Self>) {
        let hasher = RandomState::new();
        loop {
            self.state.send_modify(|state| state.is_reading = true);
            let read = self.read().await;
            if is_untrusted(&read) {
                self.reload_roots().await;
            }
            let next = self.finish(read, hasher.build_hasher().finish());
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.wanted.notified() => {
                    let earliest = self.state.borrow().earliest;
                    sleep_until(earliest.min(next)).await;
                }
            }
        }
    }

    async fn read(&self) -> Result<(KeySet, Vec<Skipped>), ReadError> {
        let response = self.fetcher.get(Instant::now() + TIMEOUT).await?;
        if response.status != 200 {
            return Err(ReadError::Status(response.status));
        }
        let (keys, skipped) = jwk::keys(&response.body, Source::Url)?;
        Ok((KeySet::new(keys), skipped))
    }

    /// Takes the outcome of a read, and decides when the next one is.
    fn finish(&self, read: Result<(KeySet, Vec<Skipped>), ReadError>, random: u64) -> Instant {
        let (before, failed) = {
            let state = self.state.borrow();
            (state.keys.clone(), state.failures)
        };
        let url = self.fetcher.url();
        let (keys, failures) = match read {
            Ok((keys, skipped)) => {
                // Not each time, if nothing has changed.
                if failed > 0 || *before != keys {
                    for Skipped { number, kid, problem } in skipped {
                        warn!(url, number, kid, "a key of auth.jwt.jwks_url is skipped: {problem}");
                    }
                    info!(url, keys = keys.len(), "the keys of auth.jwt.jwks_url were read");
                }
                (Arc::new(keys), 0)
            }
            Err(error) => {
                let failures = failed.saturating_add(1);
                warn!(
                    url,
                    failures,
                    keys = before.len(),
                    "cannot read the keys of auth.jwt.jwks_url, the old ones stay: {error}"
                );
                (before, failures)
            }
        };
        let wait = self.schedule.wait(failures, random);
        let now = Instant::now();
        self.state.send_modify(|state| {
            state.keys = keys;
            state.failures = failures;
            state.earliest = now + self.schedule.earliest(failures, wait);
            state.is_reading = false;
            state.reads += 1;
        });
        now + wait
    }

    /// The authorities may have been replaced since they were read.
    async fn reload_roots(self: &Arc<Self>) {
        let this = self.clone();
        let reloaded = tokio::task::spawn_blocking(move || this.fetcher.reload_roots()).await;
        if let Ok(Err(error)) = reloaded {
            warn!("cannot read the authorities of auth.jwt.jwks_url again: {error}");
        }
    }
}

fn is_untrusted<T>(read: &Result<T, ReadError>) -> bool {
    matches!(read, Err(ReadError::Fetch(error)) if matches!(error.failure, Failure::Handshake(_)))
}
