//! The key set of a URL, with a server that goes down and comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::schedule::Schedule;
use super::*;

/// What the server does with a request.
#[derive(Clone)]
enum Answer {
    Keys(Value),
    Status(u16),
    Silence,
}

/// A server of a key set, whose answer can be changed.
struct Server {
    url: String,
    answer: Arc<Mutex<Answer>>,
    requests: Arc<AtomicUsize>,
    requested: Arc<Notify>,
}

impl Server {
    async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            url: format!("http://{}/keys", listener.local_addr().unwrap()),
            answer: Arc::new(Mutex::new(answer)),
            requests: Arc::default(),
            requested: Arc::default(),
        };
        let (answer, requests) = (server.answer.clone(), server.requests.clone());
        let requested = server.requested.clone();
        tokio::spawn(async move {
            let mut silent = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut read = Vec::new();
                while !read.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                requests.fetch_add(1, Ordering::Relaxed);
                requested.notify_one();
                let (status, body) = match answer.lock().clone() {
                    Answer::Keys(keys) => (200, json!({"keys": keys}).to_string()),
                    Answer::Status(status) => (status, String::new()),
                    Answer::Silence => {
                        silent.push(stream);
                        continue;
                    }
                };
                let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all(format!("{head}{body}").as_bytes()).await.ok();
            }
        });
        server
    }

    fn answer(&self, answer: Answer) {
        *self.answer.lock() = answer;
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    fn config(&self) -> AuthJwt {
        AuthJwt { jwks_url: self.url.clone(), ..AuthJwt::default() }
    }

    /// A verifier that is started, with these times.
    fn verifier(&self, schedule: Schedule) -> JwtVerifier {
        let verifier = JwtVerifier::load_with(&self.config(), schedule).unwrap();
        verifier.start();
        verifier
    }
}

/// So long that no test sees its end.
const NEVER: Duration = Duration::from_hours(1);

/// Only failures and tokens make it read again.
fn on_demand() -> Schedule {
    Schedule {
        refresh: NEVER,
        pause: Duration::ZERO,
        first_retry: Duration::from_millis(1),
        last_retry: Duration::from_millis(1),
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

async fn log_in(verifier: &JwtVerifier, token: &str) -> Result<Verified, Refused> {
    log_in_until(verifier, token, soon()).await
}

/// As a log-in does, without its slots.
async fn log_in_until(
    verifier: &JwtVerifier,
    token: &str,
    deadline: Instant,
) -> Result<Verified, Refused> {
    let attempt = || verifier.verify(token.as_bytes(), None, "client", NOW);
    match attempt() {
        Err(Refused::UnknownKey | Refused::NoKeys) if verifier.refreshed(deadline).await => {
            attempt()
        }
        refused_or_not => refused_or_not,
    }
}

#[tokio::test]
async fn a_log_in_at_the_start_waits_for_the_keys() {
    let signer = Signer::p256();
    let server = Server::start(Answer::Keys(json!([signer.jwk("a")]))).await;
    let verifier = server.verifier(on_demand());
    let token = signer.token_of("ES256", "a", &good());
    assert_eq!(&*log_in(&verifier, &token).await.unwrap().username, "ann");
    assert_eq!(verifier.key_state(), Some(KeyState { keys: 1, failures: 0 }));
}

#[tokio::test]
async fn a_new_key_is_read_when_a_token_has_its_name() {
    let (old, new) = (Signer::p256(), Signer::ed25519());
    let server = Server::start(Answer::Keys(json!([old.jwk("old")]))).await;
    let verifier = server.verifier(on_demand());
    log_in(&verifier, &old.token_of("ES256", "old", &good())).await.unwrap();
    server.answer(Answer::Keys(json!([new.jwk("new")])));
    log_in(&verifier, &new.token_of("EdDSA", "new", &good())).await.unwrap();
    // The old one was taken away.
    let refused = log_in(&verifier, &old.token_of("ES256", "old", &good())).await;
    assert_eq!(refused, Err(Refused::UnknownKey));
}

#[tokio::test]
async fn invented_names_of_keys_do_not_make_it_read_more_often_than_the_pause() {
    let signer = Signer::p256();
    let server = Server::start(Answer::Keys(json!([signer.jwk("a")]))).await;
    let verifier = server.verifier(Schedule { pause: NEVER, ..on_demand() });
    log_in(&verifier, &signer.token_of("ES256", "a", &good())).await.unwrap();
    for kid in 0..20 {
        let token = signer.token_of("ES256", &kid.to_string(), &good());
        assert_eq!(log_in(&verifier, &token).await, Err(Refused::UnknownKey));
    }
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_wrong_signature_does_not_make_it_read() {
    let signer = Signer::p256();
    let server = Server::start(Answer::Keys(json!([signer.jwk("a")]))).await;
    let verifier = server.verifier(on_demand());
    log_in(&verifier, &signer.token_of("ES256", "a", &good())).await.unwrap();
    let other = Signer::p256().token_of("ES256", "a", &good());
    assert_eq!(log_in(&verifier, &other).await, Err(Refused::Signature));
    assert_eq!(log_in(&verifier, "password").await, Err(Refused::NotMine));
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn the_old_keys_stay_while_the_server_is_down_and_new_ones_come_after_it() {
    let (old, new) = (Signer::p256(), Signer::p256());
    let server = Server::start(Answer::Keys(json!([old.jwk("old")]))).await;
    let verifier = server.verifier(on_demand());
    let by_old = old.token_of("ES256", "old", &good());
    let by_new = new.token_of("ES256", "new", &good());
    log_in(&verifier, &by_old).await.unwrap();
    for answer in
        [Answer::Status(503), Answer::Keys(json!([])), Answer::Keys(json!([{"kty": "x"}]))]
    {
        server.answer(answer);
        assert_eq!(log_in(&verifier, &by_new).await, Err(Refused::UnknownKey));
        log_in(&verifier, &by_old).await.unwrap();
    }
    assert!(verifier.key_state().unwrap().failures > 0);
    server.answer(Answer::Keys(json!([new.jwk("new")])));
    // A retry may have begun before the server came back; the next one finds the key.
    while log_in(&verifier, &by_new).await.is_err() {
        server.requested.notified().await;
    }
    assert_eq!(verifier.key_state(), Some(KeyState { keys: 1, failures: 0 }));
}

#[tokio::test]
async fn it_reads_again_by_itself() {
    let signer = Signer::p256();
    let server = Server::start(Answer::Keys(json!([signer.jwk("a")]))).await;
    let short = Duration::from_millis(1);
    let schedule = Schedule { refresh: short, pause: NEVER, first_retry: short, last_retry: short };
    let _verifier = server.verifier(schedule);
    for answer in [Answer::Status(500), Answer::Keys(json!([signer.jwk("a")]))] {
        let seen = server.requests();
        server.answer(answer);
        while server.requests() < seen + 3 {
            server.requested.notified().await;
        }
    }
}

#[tokio::test]
async fn a_silent_server_costs_a_log_in_no_more_than_its_deadline() {
    let server = Server::start(Answer::Silence).await;
    let verifier = server.verifier(on_demand());
    server.requested.notified().await;
    let token = Signer::p256().token_of("ES256", "a", &good());
    let deadline = Instant::now() + Duration::from_millis(20);
    let refused = log_in_until(&verifier, &token, deadline).await;
    assert_eq!(refused, Err(Refused::NoKeys));
}

#[tokio::test]
async fn while_retries_wait_log_ins_do_not() {
    let server = Server::start(Answer::Status(500)).await;
    let verifier =
        server.verifier(Schedule { first_retry: NEVER, last_retry: NEVER, ..on_demand() });
    let token = Signer::p256().token_of("ES256", "a", &good());
    // The first waits for the read that is under way, and the others for none.
    for _ in 0..3 {
        assert_eq!(log_in(&verifier, &token).await, Err(Refused::NoKeys));
    }
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_reload_keeps_the_keys_of_the_same_url() {
    let signer = Signer::p256();
    let server = Server::start(Answer::Keys(json!([signer.jwk("a")]))).await;
    let token = signer.token_of("ES256", "a", &good());
    let first = server.verifier(on_demand());
    log_in(&first, &token).await.unwrap();
    server.answer(Answer::Status(503));
    let second = JwtVerifier::load(&server.config()).unwrap();
    assert_eq!(verify(&second, &token), Err(Refused::NoKeys));
    second.inherit(&first);
    drop(first);
    assert!(verify(&second, &token).is_ok());
    // Another URL may be of another issuer.
    let other = AuthJwt { jwks_url: format!("{}?tenant=2", server.url), ..AuthJwt::default() };
    let other = JwtVerifier::load(&other).unwrap();
    other.inherit(&second);
    assert_eq!(verify(&other, &token), Err(Refused::NoKeys));
}

#[tokio::test]
async fn keys_of_files_do_not_wait_for_the_server() {
    let server = Server::start(Answer::Silence).await;
    let config = AuthJwt { secret: SECRET.to_owned().into(), ..server.config() };
    let verifier = JwtVerifier::load(&config).unwrap();
    verifier.start();
    log_in(&verifier, &token(&good())).await.unwrap();
}

#[tokio::test]
async fn the_reads_end_with_the_verifier() {
    let server = Server::start(Answer::Silence).await;
    let verifier = server.verifier(on_demand());
    let remote = Arc::downgrade(verifier.remote.as_ref().unwrap());
    server.requested.notified().await;
    drop(verifier);
    // The task is dropped when the runtime gets to it.
    while remote.strong_count() > 0 {
        tokio::task::yield_now().await;
    }
}
