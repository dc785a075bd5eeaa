//! Checks the Host header.
//!
//! A page in a browser can have its own host name resolve to an address of this machine and
//! then read what is served here as if it were its own (DNS rebinding). The Host header still
//! contains the page's name.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::bounded::Remote;
use crate::config::{Bind, Hosts};

/// The body of the response to a request with another name.
const REFUSED: &str = "This Host name is not allowed: use the IP address or localhost, or add \
                       the name to http.allowed_hosts.\n";

/// The names that a listener accepts, in addition to `localhost` and IP addresses.
#[derive(Debug, Clone)]
pub struct AllowedHosts(Option<Arc<[String]>>);

impl AllowedHosts {
    /// The names of a listener that is bound to `bind`.
    pub fn new(hosts: &Hosts, bind: Bind) -> Self {
        Self(match hosts {
            Hosts::Any => None,
            Hosts::Auto if !bind.is_loopback() => None,
            Hosts::Auto => Some(Arc::default()),
            Hosts::Listed(names) => Some(names.as_slice().into()),
        })
    }

    fn allows(&self, host: &str) -> bool {
        let Some(listed) = &self.0 else { return true };
        let host = host.strip_suffix('.').unwrap_or(host);
        let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        literal.unwrap_or(host).parse::<IpAddr>().is_ok()
            || host.eq_ignore_ascii_case("localhost")
            || listed.iter().any(|name| name.eq_ignore_ascii_case(host))
    }

    /// True if all host names of a request are allowed. A request without any is allowed:
    /// every browser sends one.
    fn allow(&self, request: &Request) -> bool {
        if self.0.is_none() {
            return true;
        }
        let named = request.headers().get_all(header::HOST);
        request.uri().host().is_none_or(|host| self.allows(host))
            && named.iter().all(|value| host_of(value).is_some_and(|host| self.allows(&host)))
    }
}

/// The host without its port.
fn host_of(value: &HeaderValue) -> Option<String> {
    let authority: Authority = value.to_str().ok()?.parse().ok()?;
    // User information is not allowed [RFC 9110, 7.2].
    (!authority.as_str().contains('@')).then(|| authority.host().to_owned())
}

/// Responds with 421 to a request for another name.
pub(super) async fn check(
    State(allowed): State<AllowedHosts>,
    ConnectInfo(Remote(remote)): ConnectInfo<Remote>,
    request: Request,
    next: Next,
) -> Response {
    if allowed.allow(&request) {
        return next.run(request).await;
    }
    let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    tracing::warn!(
        %remote, host,
        "an HTTP request under a name that http.allowed_hosts does not list was refused"
    );
    (StatusCode::MISDIRECTED_REQUEST, [(header::CACHE_CONTROL, "no-store")], REFUSED)
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(allowed: &AllowedHosts, hosts: &[&str]) -> bool {
        let mut request = Request::builder().uri("/metrics");
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        allowed.allow(&request.body(axum::body::Body::empty()).unwrap())
    }

    fn on(hosts: &str, bind: &str) -> AllowedHosts {
        AllowedHosts::new(&hosts.parse().unwrap(), bind.parse().unwrap())
    }

    #[test]
    fn loopback_answers_to_localhost_and_addresses_alone() {
        let allowed = on("auto", "127.0.0.1:8080");
        for host in [
            "localhost",
            "LocalHost:8080",
            "localhost.",
            "127.0.0.1",
            "127.0.0.1:8080",
            "[::1]:8080",
            "[::1]",
            "192.0.2.1:1",
        ] {
            assert!(asked(&allowed, &[host]), "{host}");
        }
        assert!(asked(&allowed, &[]), "HTTP/1.0 has no Host");
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost@evil.example",
            "evil.example@localhost",
            "",
            "0x7f.1",
            "[::1",
            "a b",
        ] {
            assert!(!asked(&allowed, &[host]), "{host}");
        }
        assert!(!asked(&allowed, &["localhost", "evil.example"]));
    }

    #[test]
    fn a_target_with_a_name_of_its_own_is_looked_at_too() {
        let allowed = on("auto", "[::1]:8080");
        let request = Request::builder().uri("http://evil.example/metrics");
        let request = request.header(header::HOST, "localhost");
        assert!(!allowed.allow(&request.body(axum::body::Body::empty()).unwrap()));
    }

    #[test]
    fn elsewhere_the_key_decides() {
        assert!(asked(&on("auto", "0.0.0.0:8080"), &["broker.svc:8080"]));
        assert!(asked(&on("*", "127.0.0.1:8080"), &["broker"]));
        for bind in ["0.0.0.0:8080", "127.0.0.1:8080"] {
            let listed = on("broker, mqtt.example.org", bind);
            assert!(asked(&listed, &["Broker:8080"]) && asked(&listed, &["mqtt.example.org"]));
            assert!(asked(&listed, &["10.0.0.1:8080"]) && asked(&listed, &["localhost"]));
            assert!(!asked(&listed, &["example.org"]));
        }
    }
}
