//! The HTTP server that is asked whether a client may connect, in EMQX's shape.
//!
//! Each log-in is one POST of JSON ([`CallbackRequest`]). What the server says:
//!
//! | Answer | Means |
//! | --- | --- |
//! | 200 with `{"result": "allow"}` | allowed; `is_superuser`, `expire_at` and `acl` are read |
//! | 204 | allowed |
//! | 200 with `{"result": "deny"}`, any 4xx but 408, 425 and 429 | refused |
//! | 200 with `{"result": "ignore"}` | left to the next method |
//! | anything else, no answer in time, none that can be read | unavailable |
//!
//! It fails closed, unlike EMQX, which leaves a client to the next method on 4xx, 5xx, time-outs
//! and malformed answers. Redirects are not followed: they would take passwords elsewhere.
//!
//! Requests at the same time are bounded, and addresses take turns. Answers are kept for a while
//! and then cost no request; nothing of a password is in the cache.

mod answer;
mod cache;
mod request;
#[cfg(test)]
mod tests;

pub use request::CallbackRequest;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use super::acl::LogInRules;
use super::slots::Slots;
use crate::config::{self, must_be_regular};
use crate::fetch::{self, FetchError, Fetcher, HeaderName, HeaderValue, Limits};
use crate::message::WallMillis;
use cache::Answers;
use request::KeyMaker;

/// The longest answer in bytes: its 1,024 topics (`acl::from_emqx`), with 64 bytes for each.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Why the callback cannot be used. No variant contains a secret.
#[derive(Debug, thiserror::Error)]
pub enum CallbackError {
    /// The URL or the certificate authorities cannot be used.
    #[error("auth.http: {0}")]
    Fetch(#[from] FetchError),
    /// The file of the header cannot be read.
    #[error("cannot read {} (auth.http.authorization_file): {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file does not contain the value of a header.
    #[error(
        "{} (auth.http.authorization_file): expected one line of printable ASCII, such as Bearer TOKEN",
        path.display()
    )]
    Authorization {
        /// The file.
        path: PathBuf,
    },
}

/// What the server says about one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It may connect.
    Allow {
        /// The user name that it has sent.
        username: Option<Box<str>>,
        /// Rules before all others; those of a superuser are not asked.
        rules: Option<LogInRules>,
        /// When its log-in ends; later than now.
        expires_at: Option<WallMillis>,
    },
    /// It may not.
    Refuse,
    /// The next method is to decide.
    NotMine,
    /// There is no answer. The client is to be refused: "server unavailable" (0x88).
    Unavailable,
}

/// Asks the server of `[auth.http]`.
#[derive(Debug)]
pub struct Callback {
    fetcher: Fetcher,
    /// Stands for the file of its certificate authorities.
    authorities: u64,
    headers: Vec<(HeaderName, HeaderValue)>,
    slots: Arc<Slots>,
    timeout: Duration,
    keys: KeyMaker,
    answers: Mutex<Answers>,
    /// True after a request without an answer, until there is one.
    is_down: AtomicBool,
}

impl Callback {
    /// Reads the files that the configuration names; connects to nobody. Not for a thread that
    /// runs an event loop. After a reload, a new one starts with an empty cache.
    ///
    /// # Errors
    /// The URL is invalid, or a file cannot be used.
    pub fn load(config: &config::AuthHttp) -> Result<Self, CallbackError> {
        // First: a change after it is seen at the next reload.
        let authorities = fetch::fingerprint_of(config.ca_file.as_deref());
        let limits = Limits { max_body: LONGEST_ANSWER, max_idle: config.max_requests };
        let fetcher = Fetcher::new(&config.url, config.ca_file.as_deref(), limits)?;
        if !fetcher.is_encrypted() && !fetcher.is_loopback() {
            warn!(url = fetcher.url(), "passwords are sent without encryption (auth.http.url)");
        }
        let authorization = config.authorization_file.as_deref().map(read_authorization);
        let name = HeaderName::from_static("authorization");
        Ok(Self {
            fetcher,
            authorities,
            headers: authorization.transpose()?.map(|value| (name, value)).into_iter().collect(),
            slots: Arc::new(Slots::new(config.max_requests)),
            timeout: config.timeout.duration(),
            keys: KeyMaker::random(),
            answers: Mutex::new(Answers::new(config.cache_size, config.cache_time.duration())),
            is_down: AtomicBool::new(false),
        })
    }

    /// True if both send the same header and trust the same authorities.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.headers == other.headers && self.authorities == other.authorities
    }

    /// The URL without its query, for logs.
    pub fn url(&self) -> &str {
        self.fetcher.url()
    }

    /// Asks about a client, until `until` at most: for a slot, and then for the answer, which
    /// may take as long as `auth.http.timeout`. Dropping the future gives up both. `now` is what
    /// `expire_at` is compared with.
    pub async fn ask(
        &self,
        request: &CallbackRequest<'_>,
        until: Instant,
        now: WallMillis,
    ) -> Answer {
        // JSON cannot say what is not text, and a lossy copy would stand for many passwords.
        let Some(body) = request.body() else { return Answer::Refuse };
        let key = self.keys.key_of(request);
        if let Some(known) = self.answers.lock().get(&key, Instant::now(), now) {
            return known;
        }
        let Some(mut slot) = self.slots.enter(request.peer.source()) else {
            return Answer::Unavailable;
        };
        if tokio::time::timeout_at(until, slot.turn()).await.is_err() {
            return Answer::Unavailable;
        }
        let deadline = until.min(Instant::now() + self.timeout);
        let response = match self.fetcher.post_json(body, &self.headers, deadline).await {
            Ok(response) => response,
            Err(error) => {
                self.has_failed(&error);
                return Answer::Unavailable;
            }
        };
        drop(slot);
        if self.is_down.swap(false, Ordering::Relaxed) {
            info!(url = self.url(), "the authentication server answers again (auth.http)");
        }
        match answer::read(response.status, &response.body, request.username, now) {
            Ok(answer) => {
                let size = response.body.len();
                self.answers.lock().insert(key, answer.clone(), size, Instant::now());
                answer
            }
            Err(problem) => {
                warn!(
                    url = self.url(),
                    status = response.status,
                    client_id = request.client_id,
                    "refused a client: the authentication server's answer {problem} (auth.http)"
                );
                Answer::Unavailable
            }
        }
    }

    fn has_failed(&self, error: &FetchError) {
        // Not for each client of a server that is down.
        if !self.is_down.swap(true, Ordering::Relaxed) {
            warn!(
                url = self.url(),
                error = %error.failure,
                "the authentication server does not answer; its clients are refused (auth.http)"
            );
        }
    }
}

/// The value of the header, without the line end.
fn read_authorization(path: &Path) -> Result<HeaderValue, CallbackError> {
    let text = must_be_regular(path)
        .and_then(|()| std::fs::read_to_string(path))
        .map_err(|source| CallbackError::Read { path: path.to_owned(), source })?;
    let text = text.trim_end_matches(['\r', '\n']);
    let printable = !text.trim().is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let mut value = HeaderValue::from_str(text)
        .ok()
        .filter(|_| printable)
        .ok_or_else(|| CallbackError::Authorization { path: path.to_owned() })?;
    value.set_sensitive(true);
    Ok(value)
}
