//! The keys and demands of `[auth.jwt]`, and the verification of tokens against them.

use std::hash::{Hash as _, Hasher as _};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::warn;

use super::claims::{Expected, MustMatch, Verified};
use super::error::{KeyError, Refused};
use super::jwk::{self, Source};
use super::key::{Key, SHORT_SECRET};
use super::key_set::KeySet;
use super::pem;
use super::remote::{KeyState, MAX_BODY, Remote};
use super::schedule::Schedule;
use super::token::Token;
use crate::config::{AuthJwt, TokenMatch, must_be_regular};
use crate::fetch::{self, FetchError};
use crate::message::WallMillis;

/// Why the keys cannot be used.
#[derive(Debug, Error)]
pub enum JwtError {
    /// A file is missing, too long, or may not be read.
    #[error("cannot read the keys in {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file has no usable key.
    #[error("{}: {problem}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: KeyError,
    },
    /// The URL of the keys, or the authorities of its server, cannot be used.
    #[error("auth.jwt.jwks_url: {0}")]
    Url(#[from] FetchError),
    /// There is no key at all.
    #[error("[auth.jwt] has no key: set secret, secret_file, key_file, jwks_file or jwks_url")]
    NoKey,
}

/// Verifies tokens.
pub struct JwtVerifier {
    expected: Expected,
    /// The keys of the configuration and of files.
    fixed: KeySet,
    /// Stands for the file of the authorities of the URL's server.
    authorities: u64,
    /// The URL as it was configured, which may have a secret in its query.
    url: Box<str>,
    pub(super) remote: Option<Arc<Remote>>,
    /// Reads the URL again.
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for JwtVerifier {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut() {
            task.abort();
        }
    }
}

impl JwtVerifier {
    /// Reads the keys in the configuration and in files. Keys that cannot be used are skipped
    /// with a warning, if the set has others. Those of a URL are read from [`Self::start`] on.
    /// Reads files: not for a thread that runs an event loop.
    ///
    /// # Errors
    /// A file cannot be read, there is no usable key in it or at all, or the URL is invalid.
    pub fn load(config: &AuthJwt) -> Result<Self, JwtError> {
        let schedule = Schedule::every(config.jwks_refresh.duration());
        Self::load_with(config, schedule)
    }

    pub(super) fn load_with(config: &AuthJwt, schedule: Schedule) -> Result<Self, JwtError> {
        let fixed = KeySet::new(fixed_keys(config)?);
        let authorities = fetch::fingerprint_of(config.ca_file.as_deref());
        let remote = match &*config.jwks_url {
            "" if fixed.is_empty() => return Err(JwtError::NoKey),
            "" => None,
            url => Some(Remote::new(url, config.ca_file.as_deref(), schedule)?),
        };
        if let Some(fetcher) = remote.as_ref().map(Remote::fetcher)
            && !fetcher.is_encrypted()
            && !fetcher.is_loopback()
        {
            warn!(
                url = fetcher.url(),
                "auth.jwt.jwks_url is not https: who can change its answers can log in as anybody"
            );
        }
        Ok(Self {
            expected: expected(config),
            fixed,
            authorities,
            url: config.jwks_url.as_str().into(),
            remote: remote.map(Arc::new),
            task: Mutex::default(),
        })
    }

    /// Takes over the keys that `previous` has read from the same URL, so that they are in
    /// force before the first read.
    pub fn inherit(&self, previous: &Self) {
        if let (Some(new), Some(old)) = (&self.remote, &previous.remote)
            && self.url == previous.url
        {
            new.inherit(old.keys());
        }
    }

    /// Begins to read the URL, if there is one; to be called on a Tokio runtime, once. It ends
    /// with this verifier.
    pub fn start(&self) {
        if let Some(remote) = &self.remote {
            let mut task = self.task.lock();
            if task.is_none() {
                *task = Some(tokio::spawn(remote.clone().run()));
            }
        }
    }

    /// A number that stands for the keys of the configuration and of files, and for the
    /// authorities of the URL's server, within this process.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        self.fixed.hash(&mut hasher);
        self.authorities.hash(&mut hasher);
        hasher.finish()
    }

    /// How the keys of the URL are, if there is one.
    pub fn key_state(&self) -> Option<KeyState> {
        self.remote.as_ref().map(|remote| remote.key_state())
    }

    /// Verifies a token with the keys that are in force. Takes up to 0.1 ms with RSA, P-256 and
    /// Ed25519, 1 ms with P-384, and that for each of at most 4 keys of a set if the token names
    /// none: not for a thread that serves connections.
    ///
    /// `username` and `client_id` are those of the CONNECT. `now` decides about the token's
    /// times; no clock is read.
    ///
    /// # Errors
    /// [`Refused::NotMine`] if it is no token, so that another method may know the password;
    /// otherwise it is refused.
    pub fn verify(
        &self,
        token: &[u8],
        username: Option<&str>,
        client_id: &str,
        now: WallMillis,
    ) -> Result<Verified, Refused> {
        let token = Token::parse(token)?;
        self.verify_signature(&token)?;
        self.expected.check(&token.claims()?, username, client_id, now)
    }

    /// Has the keys of the URL read, unless they were just read, and waits for that until
    /// `deadline` at most. True if they were.
    pub async fn refreshed(&self, deadline: Instant) -> bool {
        match &self.remote {
            Some(remote) => remote.refreshed(deadline).await,
            None => false,
        }
    }

    fn verify_signature(&self, token: &Token<'_>) -> Result<(), Refused> {
        let fixed = self.fixed.verify(token);
        let Some(remote) = &self.remote else { return fixed };
        if fixed.is_ok() {
            return fixed;
        }
        let keys = remote.keys();
        if keys.is_empty() { Err(Refused::NoKeys) } else { keys.verify(token) }
    }
}

fn expected(config: &AuthJwt) -> Expected {
    let leeway = config.leeway.finite().unwrap_or(Duration::MAX).as_millis();
    Expected {
        issuer: config.issuer.as_str().into(),
        audience: config.audience.iter().map(|it| it.as_str().into()).collect(),
        leeway: u64::try_from(leeway).unwrap_or(u64::MAX),
        require_expiry: config.require_expiry,
        username_claim: config.username_claim.as_str().into(),
        must_match: match config.username_must_match {
            TokenMatch::Off => MustMatch::Nothing,
            TokenMatch::Username => MustMatch::Username,
            TokenMatch::ClientId => MustMatch::ClientId,
        },
        acl_claim: config.acl_claim.as_str().into(),
    }
}

fn fixed_keys(config: &AuthJwt) -> Result<Vec<Key>, JwtError> {
    let mut keys = Vec::new();
    let secret = config.secret.reveal();
    if !secret.is_empty() {
        keys.extend(Key::secret(secret.as_bytes()));
        warn_if_short(&keys, "auth.jwt.secret");
    }
    if let Some(path) = &config.secret_file {
        let text = read(path)?;
        // The public key of an issuer in its place would be a secret that everybody knows.
        let is_pem = text.starts_with(b"-----BEGIN ");
        let secret = if is_pem { Err(KeyError::PemSecret) } else { Key::secret(secret_of(&text)) };
        let secret = secret.map_err(at(path))?;
        warn_if_short(std::slice::from_ref(&secret), "auth.jwt.secret_file");
        keys.push(secret);
    }
    if let Some(path) = &config.key_file {
        keys.extend(pem::keys(&read(path)?).map_err(at(path))?);
    }
    if let Some(path) = &config.jwks_file {
        let (found, skipped) = jwk::keys(&read(path)?, Source::File).map_err(at(path))?;
        for key in skipped {
            let (file, number, kid) = (path.display(), key.number, key.kid);
            warn!(%file, number, kid, "a key of auth.jwt.jwks_file is skipped: {}", key.problem);
        }
        warn_if_short(&found, "auth.jwt.jwks_file");
        keys.extend(found);
    }
    Ok(keys)
}

fn warn_if_short(keys: &[Key], name: &str) {
    if keys.iter().any(Key::is_short_secret) {
        warn!(
            "{name} is shorter than {SHORT_SECRET} bytes, and whoever guesses it can log in as anybody: make one with `openssl rand -hex 32`"
        );
    }
}

/// One line end at the end of a file does not belong to the secret.
fn secret_of(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}

fn at(path: &Path) -> impl Fn(KeyError) -> JwtError {
    move |problem| JwtError::Key { path: path.to_owned(), problem }
}

/// A file of at most [`MAX_BODY`] bytes.
fn read(path: &Path) -> Result<Vec<u8>, JwtError> {
    let text = must_be_regular(path).and_then(|()| {
        let mut text = Vec::new();
        std::fs::File::open(path)?.take(MAX_BODY as u64 + 1).read_to_end(&mut text)?;
        if text.len() > MAX_BODY {
            let line = format!("it is longer than {MAX_BODY} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, line));
        }
        Ok(text)
    });
    text.map_err(|source| JwtError::Read { path: path.to_owned(), source })
}

impl std::fmt::Debug for JwtVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JwtVerifier").field("fixed", &self.fixed).finish_non_exhaustive()
    }
}
