//! Requests to servers of the tests, good and bad.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ServerConfig, crypto};

use super::*;

const LIMITS: Limits = Limits { max_body: 100, max_idle: 2 };

/// Long enough for a busy machine; a test that needs the deadline makes one in the past.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn fetcher(address: SocketAddr) -> Fetcher {
    Fetcher::new(&format!("http://{address}/keys?secret=1"), None, LIMITS).unwrap()
}

/// Reads one request: its head and, by `content-length`, its body.
async fn request(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<String> {
    let mut read = Vec::new();
    loop {
        let mut chunk = [0; 1024];
        let count = stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
        read.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8(read.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return Some(text);
        }
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

#[tokio::test]
async fn a_request_says_what_it_is_and_connections_are_used_again() {
    let (listener, address) = listen().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut requests = Vec::new();
        for _ in 0..2 {
            requests.push(request(&mut stream).await.unwrap());
            stream.write_all(OK).await.unwrap();
        }
        requests
    });
    let fetcher = fetcher(address);
    let headers = [(header::AUTHORIZATION, HeaderValue::from_static("Bearer t"))];
    let answer = fetcher.get(soon()).await.unwrap();
    assert_eq!((answer.status, &*answer.body), (200, &b"{}"[..]));
    fetcher.post_json(r#"{"a":1}"#, &headers, soon()).await.unwrap();
    let requests = server.await.unwrap();
    assert!(requests[0].starts_with("GET /keys?secret=1 HTTP/1.1\r\n"), "{requests:?}");
    assert!(requests[0].contains(&format!("host: {address}\r\n")), "{requests:?}");
    assert!(requests[1].starts_with("POST /keys?secret=1 HTTP/1.1\r\n"), "{requests:?}");
    assert!(requests[1].contains("content-type: application/json\r\n"), "{requests:?}");
    assert!(requests[1].contains("authorization: Bearer t\r\n"), "{requests:?}");
    assert!(requests[1].ends_with("\r\n\r\n{\"a\":1}"), "{requests:?}");
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_replaced() {
    let (listener, address) = listen().await;
    let accepted = Arc::new(AtomicUsize::new(0));
    let counter = accepted.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::Relaxed);
            request(&mut stream).await.unwrap();
            stream.write_all(OK).await.unwrap();
            // The next request of this connection is read and not answered.
            request(&mut stream).await;
        }
    });
    let fetcher = fetcher(address);
    for _ in 0..3 {
        assert_eq!(fetcher.get(soon()).await.unwrap().status, 200);
    }
    assert_eq!(accepted.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn connections_between_requests_are_bounded() {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while request(&mut stream).await.is_some() {
                    stream.write_all(OK).await.unwrap();
                }
            });
        }
    });
    let fetcher = fetcher(address);
    let all = tokio::join!(
        fetcher.get(soon()),
        fetcher.get(soon()),
        fetcher.get(soon()),
        fetcher.get(soon())
    );
    assert!(all.0.is_ok() && all.1.is_ok() && all.2.is_ok() && all.3.is_ok());
    assert_eq!(fetcher.idle.lock().len(), LIMITS.max_idle);
}

async fn answered_with(answer: Vec<u8>) -> Result<Response, FetchError> {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _): (TcpStream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        stream.write_all(&answer).await.ok();
    });
    fetcher(address).get(soon()).await
}

#[tokio::test]
async fn any_status_is_an_answer_and_redirects_are_not_followed() {
    let moved = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(answered_with(moved.to_vec()).await.unwrap().status, 302);
    let down = b"HTTP/1.1 503 Busy\r\nconnection: close\r\n\r\nlater";
    assert_eq!(&*answered_with(down.to_vec()).await.unwrap().body, b"later");
}

#[tokio::test]
async fn an_answer_is_bounded_however_its_length_is_told() {
    let most = format!("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}", "x".repeat(100));
    assert_eq!(answered_with(most.into()).await.unwrap().body.len(), 100);
    let told = format!("HTTP/1.1 200 OK\r\ncontent-length: 101\r\n\r\n{}", "x".repeat(101));
    let chunked =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n65\r\n{}", "x".repeat(101));
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1_000_000));
    for answer in [told, chunked, endless] {
        let error = answered_with(answer.into()).await.unwrap_err();
        assert!(matches!(error.failure, Failure::TooLong(100)), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(100_000));
    let error = answered_with(head.into()).await.unwrap_err();
    assert!(matches!(error.failure, Failure::Http(_)), "{error}");
}

#[tokio::test]
async fn what_is_not_http_or_ends_early_is_an_error() {
    for answer in [&b"SSH-2.0-x\r\n"[..], b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"] {
        let error = answered_with(answer.to_vec()).await.unwrap_err();
        assert!(matches!(error.failure, Failure::Http(_)), "{error}");
    }
}

#[tokio::test]
async fn a_silent_server_costs_no_more_than_the_deadline() {
    let (listener, address) = listen().await;
    let fetcher = fetcher(address);
    let error = fetcher.get(Instant::now() + Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error.failure, Failure::TimedOut(_)), "{error}");
    // The connection is closed, and not kept for the next request.
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.ok();
    assert!(fetcher.idle.lock().is_empty());
}

#[tokio::test]
async fn nobody_listens() {
    let (listener, address) = listen().await;
    drop(listener);
    let error = fetcher(address).get(soon()).await.unwrap_err();
    assert!(matches!(error.failure, Failure::Connect(_)), "{error}");
    assert!(error.to_string().starts_with(&format!("http://{address}/keys: cannot connect")));
}

/// An authority's certificate as PEM, and a server for `name` below it.
fn authority(name: &str) -> (String, TlsAcceptor) {
    let ca_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&ca_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::new(params, ca_key);
    let leaf = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    (ca.pem(), TlsAcceptor::from(Arc::new(config)))
}

/// The outcome with a server that has a certificate for `name`, before and after its authority
/// was written to the `ca_file`.
async fn over_tls(name: &str) -> (Result<Response, FetchError>, Result<Response, FetchError>) {
    let (listener, address) = listen().await;
    let (pem, acceptor) = authority(name);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            request(&mut stream).await;
            stream.write_all(OK).await.ok();
        }
    });
    let directory = tempfile::tempdir().unwrap();
    let ca_file = directory.path().join("ca.pem");
    std::fs::write(&ca_file, authority(name).0).unwrap();
    let fetcher = Fetcher::new(&format!("https://{address}/"), Some(&ca_file), LIMITS).unwrap();
    let before = fetcher.get(soon()).await;
    std::fs::write(&ca_file, "").unwrap();
    fetcher.reload_roots().unwrap_err();
    std::fs::write(&ca_file, pem).unwrap();
    fetcher.reload_roots().unwrap();
    (before, fetcher.get(soon()).await)
}

#[tokio::test]
async fn a_server_is_trusted_by_the_authorities_of_the_file_which_can_be_read_again() {
    let (before, after) = over_tls("127.0.0.1").await;
    assert!(matches!(before.unwrap_err().failure, Failure::Handshake(_)));
    assert_eq!(after.unwrap().status, 200);
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() {
    let (_, after) = over_tls("other.example").await;
    assert!(matches!(after.unwrap_err().failure, Failure::Handshake(_)));
}

#[test]
fn authorities_that_cannot_be_used_are_an_error_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let ca_file = directory.path().join("ca.pem");
    let error = |ca_file: &Path| {
        Fetcher::new("https://id.example/", Some(ca_file), LIMITS).unwrap_err().to_string()
    };
    assert!(error(&ca_file).contains("ca.pem"));
    std::fs::write(&ca_file, "no pem").unwrap();
    assert!(error(&ca_file).contains("has no PEM block"));
    std::fs::write(&ca_file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    assert!(error(&ca_file).contains("no usable"));
    // Without TLS they are not read.
    Fetcher::new("http://id.example/", Some(Path::new("/none")), LIMITS).unwrap();
}
