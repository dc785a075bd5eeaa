//! Log-ins against servers of the tests, good and bad.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};

use super::*;
use crate::config::{AuthHttp, Span};

const NOW: WallMillis = WallMillis(1_800_000_000_000);

/// Long enough for a busy machine.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn config(address: std::net::SocketAddr) -> AuthHttp {
    AuthHttp {
        url: format!("http://{address}/auth?token=hunter2"),
        timeout: Span::seconds(30),
        ..AuthHttp::default()
    }
}

fn client(client_id: &str, last: u8) -> CallbackRequest<'_> {
    CallbackRequest {
        client_id,
        username: Some("alice"),
        password: Some(b"wonderland"),
        peer: ([192, 0, 2, last], 50_000).into(),
        listener: "tcp",
        certificate: None,
    }
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn allowed() -> Answer {
    let username = Some("alice".into());
    Answer::Allow { username, rules: None, expires_at: None }
}

/// Reads one request; `None` at the end of the connection.
async fn next_request(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    loop {
        let mut chunk = [0; 1024];
        let count = stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
        read.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8(read.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.unwrap().parse().unwrap() {
            return Some(text);
        }
    }
}

/// A server that gives each request the answer of `answer`, as soon as `gate` lets one through.
struct Server {
    config: AuthHttp,
    /// The requests, as they arrived.
    requests: mpsc::UnboundedReceiver<String>,
    count: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Server {
    async fn start(open: bool, answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = config(listener.local_addr().unwrap());
        let (sender, requests) = mpsc::unbounded_channel();
        let count = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(Semaphore::new(if open { 1_000 } else { 0 }));
        let (counter, waits, answer) = (count.clone(), gate.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (sender, counter) = (sender.clone(), counter.clone());
                let (waits, answer) = (waits.clone(), answer.clone());
                tokio::spawn(async move {
                    while let Some(request) = next_request(&mut stream).await {
                        counter.fetch_add(1, Ordering::Relaxed);
                        let answer = answer(&request);
                        let _ = sender.send(request);
                        waits.acquire().await.unwrap().forget();
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { config, requests, count, gate }
    }

    async fn answering(status: &'static str, body: impl Into<String>) -> Self {
        let body = body.into();
        Self::start(true, move |_| http(status, &body)).await
    }

    fn callback(&self) -> Arc<Callback> {
        Arc::new(Callback::load(&self.config).unwrap())
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

async fn answer_to(status: &'static str, body: impl Into<String>) -> Answer {
    let server = Server::answering(status, body).await;
    server.callback().ask(&client("c", 1), soon(), NOW).await
}

#[tokio::test]
async fn the_server_decides() {
    assert_eq!(answer_to("200 OK", r#"{"result": "allow"}"#).await, allowed());
    assert_eq!(answer_to("204 No Content", "").await, allowed());
    assert_eq!(answer_to("200 OK", r#"{"result": "deny"}"#).await, Answer::Refuse);
    assert_eq!(answer_to("401 Unauthorized", "").await, Answer::Refuse);
    assert_eq!(answer_to("200 OK", r#"{"result": "ignore"}"#).await, Answer::NotMine);
}

#[tokio::test]
async fn without_an_answer_nobody_is_let_in() {
    assert_eq!(answer_to("200 OK", "allow").await, Answer::Unavailable);
    assert_eq!(answer_to("500 Oops", r#"{"result": "allow"}"#).await, Answer::Unavailable);
    let huge = format!(r#"{{"result": "allow", "x": "{}"}}"#, "x".repeat(LONGEST_ANSWER));
    assert_eq!(answer_to("200 OK", huge).await, Answer::Unavailable);
    let garbage = Server::start(true, |_| "220 mail.example ESMTP\r\n".to_owned()).await;
    let answer = garbage.callback().ask(&client("c", 1), soon(), NOW).await;
    assert_eq!(answer, Answer::Unavailable);

    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let callback = Callback::load(&config(nobody)).unwrap();
    assert_eq!(callback.ask(&client("c", 1), soon(), NOW).await, Answer::Unavailable);
}

#[tokio::test]
async fn a_slow_server_is_given_up_at_its_time_or_at_the_clients() {
    let mut server = Server::start(false, |_| http("204 No Content", "")).await;
    let until = Instant::now() + Duration::from_millis(20);
    let answer = server.callback().ask(&client("c", 1), until, NOW).await;
    assert_eq!(answer, Answer::Unavailable);
    server.config.timeout = Span::millis(20);
    server.config.max_requests = 1;
    let callback = server.callback();
    assert_eq!(callback.ask(&client("c", 1), soon(), NOW).await, Answer::Unavailable);
    // The slot was given up too.
    server.gate.add_permits(10);
    server.config.timeout = Span::seconds(30);
    assert_eq!(server.callback().ask(&client("c", 1), soon(), NOW).await, allowed());
    let place = callback.slots.enter(client("c", 1).peer.source());
    tokio::time::timeout_at(soon(), place.unwrap().turn()).await.unwrap();
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let other = Server::answering("204 No Content", "").await;
    let location = other.config.url.clone();
    let server = Server::start(true, move |_| {
        format!("HTTP/1.1 307 Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
    })
    .await;
    let answer = server.callback().ask(&client("c", 1), soon(), NOW).await;
    assert_eq!((answer, other.count()), (Answer::Unavailable, 0));
}

#[tokio::test]
async fn the_request_carries_the_header_and_the_client() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("authorization");
    std::fs::write(&path, "Bearer secret\n").unwrap();
    let mut server = Server::answering("204 No Content", "").await;
    server.config.authorization_file = Some(path.clone());
    let callback = server.callback();
    callback.ask(&client("c", 1), soon(), NOW).await;
    let request = server.requests.recv().await.unwrap();
    assert!(request.starts_with("POST /auth?token=hunter2 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: Bearer secret\r\n"), "{request}");
    assert!(request.contains(r#""clientid":"c","username":"alice","password":"wonderland""#));
    let shown = format!("{callback:?} {}", callback.url());
    assert!(!shown.contains("secret") && !shown.contains("hunter2"), "{shown}");

    for wrong in ["", "\n", "a\nb", "ü"] {
        std::fs::write(&path, wrong).unwrap();
        let error = Callback::load(&server.config).unwrap_err();
        assert!(matches!(error, CallbackError::Authorization { .. }), "{error}");
    }
    server.config.authorization_file = Some("/nowhere/a".into());
    let error = Callback::load(&server.config).unwrap_err().to_string();
    assert!(error.starts_with("cannot read /nowhere/a (auth.http.authorization_file)"), "{error}");
}

#[test]
fn an_invalid_url_is_named_without_its_secrets() {
    let url = "https://user:hunter2@auth.example/?key=hunter2".to_owned();
    let error = Callback::load(&AuthHttp { url, ..AuthHttp::default() }).unwrap_err().to_string();
    assert!(error.starts_with("auth.http: ") && !error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_kept_answer_costs_no_request_and_no_slot() {
    let mut server = Server::start(true, |request| {
        if request.contains("alice") {
            http("204 No Content", "")
        } else {
            http("403 Forbidden", "")
        }
    })
    .await;
    server.config.cache_time = Span::seconds(3_600);
    server.config.max_requests = 1;
    let callback = server.callback();
    let mallory = CallbackRequest { username: Some("mallory"), ..client("m", 1) };
    assert_eq!(callback.ask(&client("c", 1), soon(), NOW).await, allowed());
    assert_eq!(callback.ask(&mallory, soon(), NOW).await, Answer::Refuse);
    let _all_slots = callback.slots.enter(client("x", 9).peer.source()).unwrap();
    for _ in 0..3 {
        assert_eq!(callback.ask(&client("c", 1), soon(), NOW).await, allowed());
        assert_eq!(callback.ask(&mallory, soon(), NOW).await, Answer::Refuse);
    }
    assert_eq!(server.count(), 2);
    let other = CallbackRequest { password: Some(b"Wonderland"), ..client("c", 1) };
    let past = Instant::now();
    assert_eq!(callback.ask(&other, past, NOW).await, Answer::Unavailable, "it needs a slot");
}

#[tokio::test]
async fn an_answer_is_not_kept_without_a_time_nor_if_there_was_none() {
    let server = Server::answering("204 No Content", "").await;
    let callback = server.callback();
    for _ in 0..2 {
        assert_eq!(callback.ask(&client("c", 1), soon(), NOW).await, allowed());
    }
    assert_eq!(server.count(), 2, "the default is not to keep any");
    let mut down = Server::answering("503 Unavailable", "").await;
    down.config.cache_time = Span::seconds(3_600);
    let callback = down.callback();
    for _ in 0..2 {
        assert_eq!(callback.ask(&client("c", 1), soon(), NOW).await, Answer::Unavailable);
    }
    assert_eq!(down.count(), 2);
}

#[tokio::test]
async fn a_password_that_json_cannot_say_is_refused_without_a_request() {
    let server = Server::answering("204 No Content", "").await;
    let binary = CallbackRequest { password: Some(b"\xff\xfe"), ..client("c", 1) };
    assert_eq!(server.callback().ask(&binary, soon(), NOW).await, Answer::Refuse);
    assert_eq!(server.count(), 0);
}

/// Runs a future up to its first wait.
async fn begin<F: Future>(mut future: Pin<Box<F>>) -> Pin<Box<F>> {
    tokio::select! {
        biased;
        _ = &mut future => panic!("it did not wait"),
        () = std::future::ready(()) => {}
    }
    future
}

#[tokio::test]
async fn the_flood_of_one_address_does_not_hold_up_another() {
    let mut server = Server::start(false, |_| http("204 No Content", "")).await;
    server.config.max_requests = 1;
    let callback = server.callback();
    let ask = |name: &'static str, last| {
        let callback = callback.clone();
        Box::pin(async move { callback.ask(&client(name, last), soon(), NOW).await })
    };
    let mut flood = Vec::new();
    for _ in 0..20 {
        flood.push(begin(ask("flood", 1)).await);
    }
    let other = begin(ask("other", 2)).await;
    let flood: Vec<_> = flood.into_iter().map(tokio::spawn).collect();
    let other = tokio::spawn(other);
    assert!(server.requests.recv().await.unwrap().contains(r#""clientid":"flood""#));
    server.gate.add_permits(2);
    assert!(server.requests.recv().await.unwrap().contains(r#""clientid":"other""#));
    assert_eq!(other.await.unwrap(), allowed());
    server.gate.add_permits(20);
    for one in flood {
        assert_eq!(one.await.unwrap(), allowed());
    }
}

#[test]
fn other_authorities_in_the_same_file_are_another_callback() {
    let directory = tempfile::tempdir().unwrap();
    let ca_file = directory.path().join("ca.pem");
    let write = || {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&ca_file, made.cert.pem()).unwrap();
    };
    let url = "https://localhost:9/".to_owned();
    let config = AuthHttp { url, ca_file: Some(ca_file.clone()), ..AuthHttp::default() };
    write();
    let callback = Callback::load(&config).unwrap();
    assert!(callback.says_the_same(&Callback::load(&config).unwrap()));
    write();
    assert!(!callback.says_the_same(&Callback::load(&config).unwrap()));
}
