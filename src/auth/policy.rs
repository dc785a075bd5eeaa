//! Who may connect, read as a whole from the configuration and its files: a chain of methods
//! for `[auth]`, and one for each listener that differs.
//!
//! To add a method: a field of [`Methods`] that its constructor fills, an arm in
//! [`Methods::asked`], a variant of [`Asked`] with its three arms; for enhanced authentication
//! a line in [`Methods::read`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use thiserror::Error;

use super::AuthError;
use super::callback::{Callback, CallbackError};
use super::chain::{Asked, Chain, counts_as};
use super::exchange::EnhancedMethod;
use super::jwt::{JwtError, JwtVerifier};
use super::jwt_method::{EnhancedJwt, Tokens};
use super::passwords::Passwords;
use super::scram::{ScramError, ScramUsers};
use super::scram_method::EnhancedScram;
use crate::config::{Auth, CertificateName, Config, ListenerAuth, Method};

/// Why a configuration gives no policy. No variant contains a secret.
#[derive(Debug, Error)]
pub enum PolicyError {
    /// The password file cannot be used.
    #[error(transparent)]
    Passwords(#[from] AuthError),
    /// The keys of tokens cannot be used.
    #[error(transparent)]
    Jwt(#[from] JwtError),
    /// The authentication server cannot be asked.
    #[error(transparent)]
    Http(#[from] CallbackError),
    /// The file of SCRAM's keys cannot be used.
    #[error(transparent)]
    Scram(#[from] ScramError),
    /// A required method is not among those that are asked.
    #[error("{key}.require has \"{method}\", which is not in {key}.methods: add it there")]
    NotAsked {
        /// `auth`, or that of a listener.
        key: String,
        /// The method.
        method: Method,
    },
    /// A required method can allow nobody.
    #[error("{key}.require has \"{method}\", which is not configured: {}", remedy(*method))]
    NotConfigured {
        /// `auth`, or that of a listener.
        key: String,
        /// The method.
        method: Method,
    },
}

fn remedy(method: Method) -> &'static str {
    match method {
        Method::Password | Method::Scram => "set auth.password_file or auth.scram.file",
        Method::Jwt => "set a key in [auth.jwt]",
        Method::Http => "set auth.http.url",
        Method::Certificate => "it needs a listener with TLS",
    }
}

/// The rules for who may connect, replaced as a whole.
#[derive(Debug)]
pub struct Policy {
    /// The configuration from which it was made.
    auth: Auth,
    overrides: BTreeMap<String, ListenerAuth>,
    methods: Methods,
    chain: Chain,
    /// Chains of listeners that differ, by name.
    listeners: HashMap<String, Chain>,
}

/// The methods that are configured, shared by all chains.
#[derive(Debug)]
pub(super) struct Methods {
    certificate: CertificateName,
    passwords: Option<Arc<Passwords>>,
    jwt: Option<Arc<Tokens>>,
    http: Option<Arc<Callback>>,
    enhanced: Vec<Arc<dyn EnhancedMethod>>,
}

impl Methods {
    fn read(auth: &Auth) -> Result<Self, PolicyError> {
        let passwords = match &auth.password_file {
            None => None,
            Some(path) => Some(Arc::new(Passwords::read(path, auth.max_verifications)?)),
        };
        let jwt = auth.jwt.is_configured().then(|| JwtVerifier::load(&auth.jwt)).transpose()?;
        let jwt = jwt.map(|jwt| Arc::new(Tokens::new(Arc::new(jwt), auth.max_verifications)));
        let asks = !auth.http.url.is_empty();
        let http = asks.then(|| Callback::load(&auth.http)).transpose()?.map(Arc::new);
        let mut enhanced: Vec<Arc<dyn EnhancedMethod>> = Vec::new();
        enhanced.extend(jwt.clone().map(|tokens| Arc::new(EnhancedJwt(tokens)) as Arc<_>));
        if let Some(path) = &auth.scram.file {
            enhanced.push(Arc::new(EnhancedScram(Arc::new(ScramUsers::load(path)?))));
        }
        Ok(Self { certificate: auth.certificate.username, passwords, jwt, http, enhanced })
    }

    /// The method as it is asked at CONNECT; `None` if it is not configured.
    fn asked(&self, method: Method) -> Option<Asked> {
        match method {
            Method::Certificate => Some(Asked::Certificate(self.certificate)),
            Method::Password => self.passwords.clone().map(Asked::Password),
            Method::Jwt => self.jwt.clone().map(Asked::Jwt),
            Method::Http => self.http.clone().map(Asked::Http),
            Method::Scram => None,
        }
    }

    fn says_the_same(&self, other: &Self) -> bool {
        let fingerprints = |methods: &Self| -> Vec<_> {
            methods.enhanced.iter().map(|it| (it.name(), it.fingerprint())).collect()
        };
        let passwords = match (&self.passwords, &other.passwords) {
            (Some(ours), Some(theirs)) => ours.says_the_same(theirs),
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        };
        let http = match (&self.http, &other.http) {
            (Some(ours), Some(theirs)) => ours.says_the_same(theirs),
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        };
        // The keys of tokens are among the fingerprints.
        passwords && http && fingerprints(self) == fingerprints(other)
    }

    /// Builds a chain. `key` names it in errors.
    fn chain(&self, auth: &Auth, other: &ListenerAuth, key: &str) -> Result<Chain, PolicyError> {
        let methods = other.methods.as_ref().unwrap_or(&auth.methods);
        let require = other.require.as_ref().unwrap_or(&auth.require);
        let enhanced = self.enhanced.iter();
        // Only where the method that it stands for is asked.
        let enhanced = enhanced.filter(|it| methods.contains(&counts_as(it.method())));
        let enhanced: Vec<_> = enhanced.cloned().collect();
        for method in require.iter().copied() {
            if !methods.contains(&method) {
                return Err(PolicyError::NotAsked { key: key.to_owned(), method });
            }
            let by_exchange = enhanced.iter().any(|it| counts_as(it.method()) == method);
            if self.asked(method).is_none() && !by_exchange {
                return Err(PolicyError::NotConfigured { key: key.to_owned(), method });
            }
        }
        let all = !require.is_empty();
        let asked = methods.iter().filter(|method| !all || require.contains(method));
        Ok(Chain {
            methods: asked.filter_map(|method| self.asked(*method)).collect(),
            enhanced,
            required: require.to_vec(),
            anonymous: other.allow_anonymous.unwrap_or(auth.allow_anonymous),
        })
    }
}

impl Policy {
    /// Reads everything that the configuration names.
    ///
    /// # Errors
    /// A file cannot be used, or a required method cannot allow anybody.
    pub(super) fn load(config: &Config) -> Result<Self, PolicyError> {
        let overrides = config.listeners.iter().filter_map(|(name, listener)| {
            listener.auth.as_ref().map(|auth| (name.clone(), auth.clone()))
        });
        Self::of(config.auth.clone(), overrides.collect(), Methods::read(&config.auth)?)
    }

    fn of(
        auth: Auth,
        overrides: BTreeMap<String, ListenerAuth>,
        methods: Methods,
    ) -> Result<Self, PolicyError> {
        let chain = methods.chain(&auth, &ListenerAuth::default(), "auth")?;
        let listeners = overrides.iter().map(|(name, other)| {
            let key = format!("listeners.{name}.auth");
            Ok((name.clone(), methods.chain(&auth, other, &key)?))
        });
        let listeners = listeners.collect::<Result<_, PolicyError>>()?;
        Ok(Self { auth, overrides, methods, chain, listeners })
    }

    /// Begins to read the keys that a URL has, and takes over those that `previous` has read.
    /// To be called on a Tokio runtime.
    pub(super) fn start(&self, previous: Option<&Self>) {
        if let Some(jwt) = &self.methods.jwt {
            if let Some(previous) = previous.and_then(|policy| policy.methods.jwt.as_deref()) {
                jwt.verifier.inherit(&previous.verifier);
            }
            jwt.verifier.start();
        }
    }

    /// As it would be with this method of enhanced authentication.
    #[cfg(test)]
    pub(crate) fn with_enhanced(self, enhanced: Arc<dyn EnhancedMethod>) -> Self {
        let Self { auth, overrides, mut methods, .. } = self;
        methods.enhanced.push(enhanced);
        Self::of(auth, overrides, methods).unwrap()
    }

    /// The passwords, if there are any.
    #[cfg(test)]
    pub(super) fn passwords(&self) -> Option<&Passwords> {
        self.methods.passwords.as_deref()
    }

    /// The chain of a listener, or of a connection that came through none.
    pub(super) fn chain(&self, listener: &str) -> &Chain {
        self.listeners.get(listener).unwrap_or(&self.chain)
    }

    /// `auth.bind_client_id`.
    pub(super) fn binds_client_ids(&self) -> bool {
        self.auth.bind_client_id
    }

    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.auth == other.auth
            && self.overrides == other.overrides
            && self.methods.says_the_same(&other.methods)
    }
}
