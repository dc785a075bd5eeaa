//! A URL, taken apart once.

use std::net::IpAddr;

use hyper::Uri;
use hyper::header::HeaderValue;

use super::error::{Failure, FetchError};

/// What requests need of a URL.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// True for `https://`.
    pub is_encrypted: bool,
    /// A name or an address, the latter without brackets.
    pub host: Box<str>,
    pub port: u16,
    /// Host and port as they were written, for the header `Host`.
    pub authority: HeaderValue,
    /// Path and query.
    pub path: Uri,
    /// The URL without its query.
    pub shown: Box<str>,
}

impl Target {
    pub fn parse(url: &str) -> Result<Self, FetchError> {
        let shown: Box<str> = shown(url).into();
        let invalid = |problem| FetchError { url: shown.clone(), failure: Failure::Url(problem) };
        let uri: Uri = url.parse().map_err(|_| invalid("it is not a URL"))?;
        let is_encrypted = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(invalid("it must begin with https:// or http://")),
        };
        let authority = uri.authority().ok_or_else(|| invalid("it has no host"))?;
        if authority.as_str().contains('@') {
            // It would be shown with the configuration.
            return Err(invalid("a name or password in it is not supported"));
        }
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err(invalid("it has no host"));
        }
        // `Authority::port_u16` has none for `host:99999` as for `host`.
        let port = match (authority.port_u16(), authority.as_str().rsplit_once(':')) {
            (Some(port), _) if port > 0 => port,
            (None, None) => default_port(is_encrypted),
            (None, Some((_, end))) if end.ends_with(']') => default_port(is_encrypted),
            _ => return Err(invalid("its port is not between 1 and 65535")),
        };
        let written = HeaderValue::from_str(authority.as_str());
        let path = uri.path_and_query().cloned().map_or_else(Uri::default, Uri::from);
        Ok(Self {
            is_encrypted,
            host: host.into(),
            port,
            authority: written.map_err(|_| invalid("its host is invalid"))?,
            path,
            shown,
        })
    }

    pub fn failed(&self, failure: Failure) -> FetchError {
        FetchError { url: self.shown.clone(), failure }
    }

    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

fn default_port(is_encrypted: bool) -> u16 {
    if is_encrypted { 443 } else { 80 }
}

/// The URL without query, fragment, and user name and password, also if it is none.
fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let between = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{between}{host}{path}").escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let target = Target::parse("https://id.example:8443/keys?tenant=a%20b").unwrap();
        assert!(target.is_encrypted && !target.is_loopback());
        assert_eq!((&*target.host, target.port), ("id.example", 8443));
        assert_eq!(target.authority, "id.example:8443");
        assert_eq!(target.path.to_string(), "/keys?tenant=a%20b");
        assert_eq!(&*target.shown, "https://id.example:8443/keys");

        let target = Target::parse("http://[::1]").unwrap();
        assert!(!target.is_encrypted && target.is_loopback());
        assert_eq!((&*target.host, target.port), ("::1", 80));
        assert_eq!(target.path.to_string(), "/");
        assert_eq!(Target::parse("https://h/").unwrap().port, 443);
    }

    #[test]
    fn what_is_no_url_of_a_web_server_is_refused_without_its_secrets() {
        for url in [
            "",
            "id.example/keys",
            "ftp://id.example/",
            "https://",
            "https:///keys",
            "https://u:secret@id.example/",
            "https://id.example:0/",
            "https://id.example:99999/?secret",
            "https://id.example:x/#secret",
            "https://u:secret@a b/?secret",
        ] {
            let error = Target::parse(url).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
