//! Small HTTP requests to servers that the configuration names: key sets, authentication.
//!
//! A [`Fetcher`] asks one URL, each time with a deadline that bounds all of it: look-up,
//! connection, TLS, request and answer. Answers are bounded in size. Connections are kept open
//! between requests. HTTP/1.1 only; redirects are not followed (an answer of 3xx is an answer),
//! and proxies are not supported. What is asked, how often, and how many at the same time is
//! the caller's concern.

mod connection;
mod error;
mod target;
#[cfg(test)]
mod tests;
mod tls;

pub use error::{Failure, FetchError, Stage};
/// For the headers and statuses of requests.
pub use hyper::header::{HeaderName, HeaderValue};

use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, header};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use connection::Connection;
use target::Target;

/// How long a connection without a request is kept. Servers close theirs after 5 s (Node.js),
/// 60 s (load balancers) or more; below that, few requests meet a connection that is closing.
const MAX_IDLE: Duration = Duration::from_secs(4);

/// What one [`Fetcher`] may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest body of an answer, in bytes.
    pub max_body: usize,
    /// Connections that are kept open between requests. A client of many requests at the same
    /// time has that many; zero closes each after its request.
    pub max_idle: usize,
}

/// An answer, of any status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Its status code.
    pub status: u16,
    /// Its body, as it was sent.
    pub body: Bytes,
}

/// Asks one URL.
pub struct Fetcher {
    target: Target,
    ca_file: Option<PathBuf>,
    /// `None` for `http://`.
    tls: Mutex<Option<TlsConnector>>,
    idle: Mutex<Vec<Idle>>,
    limits: Limits,
}

/// A connection between two requests.
struct Idle {
    connection: Connection,
    since: Instant,
}

/// A request that can be made more than once.
struct Asked<'a> {
    method: Method,
    body: Bytes,
    headers: &'a [(HeaderName, HeaderValue)],
}

impl Fetcher {
    /// For `url`, which is `http://` or `https://`. For the latter it reads `ca_file` (PEM), or
    /// the authorities of the system (up to 300 KiB of files): not for a thread that runs an
    /// event loop. Connects to nobody.
    ///
    /// # Errors
    /// The URL cannot be used, or there are no authorities.
    pub fn new(url: &str, ca_file: Option<&Path>, limits: Limits) -> Result<Self, FetchError> {
        let target = Target::parse(url)?;
        let fetcher = Self {
            target,
            ca_file: ca_file.map(Path::to_owned),
            tls: Mutex::new(None),
            idle: Mutex::default(),
            limits,
        };
        fetcher.reload_roots()?;
        Ok(fetcher)
    }

    /// Reads the authorities again, for connections from now on; those without a request are
    /// closed. Reads files, as [`Fetcher::new`] does. On an error the old ones stay in force.
    ///
    /// # Errors
    /// They cannot be read, or there are none.
    pub fn reload_roots(&self) -> Result<(), FetchError> {
        if self.target.is_encrypted {
            let connector = tls::connector(self.ca_file.as_deref());
            *self.tls.lock() = Some(connector.map_err(|failure| self.target.failed(failure))?);
            self.idle.lock().clear();
        }
        Ok(())
    }

    /// The URL without its query, for logs.
    pub fn url(&self) -> &str {
        &self.target.shown
    }

    /// True for `https://`.
    pub fn is_encrypted(&self) -> bool {
        self.target.is_encrypted
    }

    /// True if the host is written as a loopback address or `localhost`, so that nobody else
    /// sees what is sent, even without TLS.
    pub fn is_loopback(&self) -> bool {
        self.target.is_loopback()
    }

    /// GET, until `deadline` at most. It can be cancelled by dropping it.
    ///
    /// # Errors
    /// There is no answer in time, or it is too long. Any status is an answer.
    pub async fn get(&self, deadline: Instant) -> Result<Response, FetchError> {
        self.ask(Asked { method: Method::GET, body: Bytes::new(), headers: &[] }, deadline).await
    }

    /// POST of a JSON body with further headers, until `deadline` at most. It can be cancelled
    /// by dropping it. If a kept connection ends before the head of an answer, the request is
    /// made once more on a new one, so the server may see it twice.
    ///
    /// # Errors
    /// There is no answer in time, or it is too long. Any status is an answer.
    pub async fn post_json(
        &self,
        body: impl Into<Bytes>,
        headers: &[(HeaderName, HeaderValue)],
        deadline: Instant,
    ) -> Result<Response, FetchError> {
        self.ask(Asked { method: Method::POST, body: body.into(), headers }, deadline).await
    }

    async fn ask(&self, asked: Asked<'_>, deadline: Instant) -> Result<Response, FetchError> {
        self.try_ask(&asked, deadline).await.map_err(|failure| self.target.failed(failure))
    }

    async fn try_ask(&self, asked: &Asked<'_>, deadline: Instant) -> Result<Response, Failure> {
        if let Some(mut connection) = self.take_idle() {
            match connection.send(self.request(asked)?, deadline).await {
                Ok(response) => return self.read(connection, response, deadline).await,
                Err(Failure::TimedOut(stage)) => return Err(Failure::TimedOut(stage)),
                // The server closed it between two requests.
                Err(_) => {}
            }
        }
        let tls = self.tls.lock().clone();
        let mut connection = Connection::open(&self.target, tls, deadline).await?;
        let response = connection.send(self.request(asked)?, deadline).await?;
        self.read(connection, response, deadline).await
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock();
        // The last one was used last.
        let taken = idle.pop().filter(|it| it.since.elapsed() < MAX_IDLE);
        if taken.is_none() {
            // The others are older.
            idle.clear();
        }
        taken.map(|it| it.connection).filter(|connection| !connection.is_closed())
    }

    fn request(&self, asked: &Asked<'_>) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::builder()
            .method(asked.method.clone())
            .uri(self.target.path.clone())
            .header(header::HOST, self.target.authority.clone())
            .header(header::USER_AGENT, concat!("ferrymq/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, "application/json");
        if asked.method == Method::POST {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in asked.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(asked.body.clone())).map_err(|error| Failure::Http(error.into()))
    }

    async fn read(
        &self,
        connection: Connection,
        response: hyper::Response<Incoming>,
        deadline: Instant,
    ) -> Result<Response, Failure> {
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), self.limits.max_body).collect();
        let body = error::within(deadline, Stage::Answer, body).await?.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Failure::TooLong(self.limits.max_body)
            } else {
                Failure::Http(error)
            }
        })?;
        self.keep(connection);
        Ok(Response { status, body: body.to_bytes() })
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock();
        if idle.len() < self.limits.max_idle && !connection.is_closed() {
            idle.push(Idle { connection, since: Instant::now() });
        }
    }
}

/// A number that stands for what is in `ca_file`, within this process: a reload has to know
/// whether a fetcher of it would trust others. 0 without a file, or if it cannot be read.
pub fn fingerprint_of(ca_file: Option<&Path>) -> u64 {
    let text = ca_file.and_then(|path| std::fs::read(path).ok());
    text.map_or(0, |text| {
        let mut hasher = std::hash::DefaultHasher::new();
        text.hash(&mut hasher);
        hasher.finish()
    })
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").field("url", &self.url()).finish_non_exhaustive()
    }
}
