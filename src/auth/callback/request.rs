//! What the server is told of a client, and the key under which its answer is kept.

use std::net::IpAddr;

use argon2::password_hash::rand_core::{OsRng, RngCore as _};
use ring::{digest, hmac};
use serde::Serialize;

use crate::auth::Request;
use crate::peer::{ClientCertificate, PeerAddr};

/// A client that wants to connect.
#[derive(Clone, Copy)]
pub struct CallbackRequest<'a> {
    /// The client id in the CONNECT; empty if the broker is to assign one.
    pub client_id: &'a str,
    /// The user name in the CONNECT.
    pub username: Option<&'a str>,
    /// The password in the CONNECT.
    pub password: Option<&'a [u8]>,
    /// Its address.
    pub peer: PeerAddr,
    /// The name of the listener that it came through.
    pub listener: &'a str,
    /// Its verified certificate.
    pub certificate: Option<&'a ClientCertificate>,
}

/// The body of the POST. Members without a value are `null`.
#[derive(Serialize)]
struct Body<'a> {
    clientid: &'a str,
    username: Option<&'a str>,
    password: Option<&'a str>,
    /// `null` for a client on a Unix socket.
    peerhost: Option<IpAddr>,
    peerport: Option<u16>,
    listener: &'a str,
    cert_subject: Option<&'a str>,
    cert_common_name: Option<&'a str>,
}

impl CallbackRequest<'_> {
    /// The body of the POST; `None` if the password is not UTF-8.
    pub(super) fn body(&self) -> Option<Vec<u8>> {
        let body = Body {
            clientid: self.client_id,
            username: self.username,
            password: self.password.map(std::str::from_utf8).transpose().ok()?,
            peerhost: self.host(),
            peerport: match self.peer {
                PeerAddr::Inet(address) => Some(address.port()),
                PeerAddr::Local => None,
            },
            listener: self.listener,
            cert_subject: self.certificate.map(|it| &*it.subject),
            cert_common_name: self.certificate.and_then(|it| it.common_name.as_deref()),
        };
        serde_json::to_vec(&body).ok()
    }

    fn host(&self) -> Option<IpAddr> {
        match self.peer {
            PeerAddr::Inet(address) => Some(address.ip().to_canonical()),
            PeerAddr::Local => None,
        }
    }
}

impl<'a> From<&Request<'a>> for CallbackRequest<'a> {
    fn from(request: &Request<'a>) -> Self {
        Self {
            client_id: request.client_id,
            username: request.username,
            password: request.password,
            peer: request.peer,
            listener: request.listener,
            certificate: request.certificate.map(|it| &**it),
        }
    }
}

/// The key of a kept answer: an HMAC of all that the server is told but the port, which is
/// another one at each connection. Passwords cannot be guessed from it, since the HMAC's key is
/// random and in no file.
pub(super) type Key = [u8; digest::SHA256_OUTPUT_LEN];

/// Makes keys.
pub(super) struct KeyMaker(hmac::Key);

impl KeyMaker {
    /// With a new random key.
    pub fn random() -> Self {
        let mut key = [0; digest::SHA256_OUTPUT_LEN];
        OsRng.fill_bytes(&mut key);
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }

    pub fn key_of(&self, request: &CallbackRequest<'_>) -> Key {
        let CallbackRequest { client_id, username, password, peer: _, listener, certificate } =
            request;
        let host = request.host().map(|host| host.to_string());
        let mut context = hmac::Context::with_key(&self.0);
        for field in [
            Some(client_id.as_bytes()),
            username.map(str::as_bytes),
            *password,
            host.as_deref().map(str::as_bytes),
            Some(listener.as_bytes()),
            certificate.map(|it| it.subject.as_bytes()),
            certificate.and_then(|it| it.common_name.as_deref()).map(str::as_bytes),
        ] {
            // The length delimits the fields. `u64::MAX` is no length.
            let length = field.map_or(u64::MAX, |field| field.len() as u64);
            context.update(&length.to_be_bytes());
            context.update(field.unwrap_or_default());
        }
        let tag = context.sign();
        let mut key = Key::default();
        for (to, from) in key.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        key
    }
}

impl std::fmt::Debug for KeyMaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyMaker(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> CallbackRequest<'static> {
        CallbackRequest {
            client_id: "c",
            username: Some("u"),
            password: Some(b"p"),
            peer: ([192, 0, 2, 1], 5_000).into(),
            listener: "tcp",
            certificate: None,
        }
    }

    fn certificate(common_name: &str) -> ClientCertificate {
        ClientCertificate {
            subject: format!("CN={common_name}").into(),
            common_name: Some(common_name.into()),
            alternative_names: Box::default(),
            serial: Box::default(),
            issuer: Box::default(),
            fingerprint: "".into(),
        }
    }

    #[test]
    fn the_body_has_emqx_names() {
        let certificate = certificate("meter");
        let certified = CallbackRequest { certificate: Some(&certificate), ..request() };
        let text = |request: CallbackRequest<'_>| String::from_utf8(request.body().unwrap());
        assert_eq!(
            text(certified).unwrap(),
            r#"{"clientid":"c","username":"u","password":"p","peerhost":"192.0.2.1","peerport":5000,"listener":"tcp","cert_subject":"CN=meter","cert_common_name":"meter"}"#
        );
        let bare =
            CallbackRequest { username: None, password: None, peer: PeerAddr::Local, ..request() };
        assert_eq!(
            text(bare).unwrap(),
            r#"{"clientid":"c","username":null,"password":null,"peerhost":null,"peerport":null,"listener":"tcp","cert_subject":null,"cert_common_name":null}"#
        );
        assert_eq!(CallbackRequest { password: Some(b"\xff"), ..request() }.body(), None);
    }

    #[test]
    fn all_that_could_change_an_answer_changes_the_key() {
        let keys = KeyMaker::random();
        let (one, two) = (certificate("a"), certificate("b"));
        let requests = [
            request(),
            CallbackRequest { client_id: "d", ..request() },
            CallbackRequest { username: None, ..request() },
            CallbackRequest { username: Some(""), ..request() },
            CallbackRequest { username: Some("up"), password: Some(b""), ..request() },
            CallbackRequest { password: None, ..request() },
            CallbackRequest { password: Some(b"q"), ..request() },
            CallbackRequest { peer: PeerAddr::Local, ..request() },
            CallbackRequest { peer: ([192, 0, 2, 2], 5_000).into(), ..request() },
            CallbackRequest { listener: "tls", ..request() },
            CallbackRequest { certificate: Some(&one), ..request() },
            CallbackRequest { certificate: Some(&two), ..request() },
        ];
        let distinct: std::collections::HashSet<_> =
            requests.iter().map(|request| keys.key_of(request)).collect();
        assert_eq!(distinct.len(), requests.len());
        let again = CallbackRequest { peer: ([192, 0, 2, 1], 6_000).into(), ..request() };
        assert_eq!(keys.key_of(&request()), keys.key_of(&again));
        assert_ne!(keys.key_of(&request()), KeyMaker::random().key_of(&request()));
    }
}
