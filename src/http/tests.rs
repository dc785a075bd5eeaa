//! The endpoints, over a real socket.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::*;
use crate::config::Config;
use crate::telemetry::{Metrics, State as Broker};

struct Server {
    addr: SocketAddr,
    readiness: Readiness,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

async fn server() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let readiness = Readiness::default();
    let metrics = MetricsRegistry::new(&Arc::new(Metrics::default()), &readiness).unwrap();
    let config = Arc::new(Config::default());
    let api = Api::new(Arc::clone(&config), Arc::new(Tokens::load(&config.http).unwrap()), None);
    let (metrics, scope) = (Arc::new(metrics), Scope::Everything);
    let events = RecentEvents::default();
    let requests = Requests::default();
    let hosts = AllowedHosts::new(&config.http.allowed_hosts, config.http.bind);
    let readiness_of = readiness.clone();
    let state = AppState { metrics, readiness: readiness_of, api, events, requests, scope, hosts };
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(serve(listener, state, async {
        stopped.await.unwrap();
    }));
    Server { addr, readiness, stop, task }
}

async fn ask(server: &Server, path: &'static str) -> Answer {
    let addr = server.addr;
    tokio::task::spawn_blocking(move || probe(addr, path, Duration::from_secs(5)).unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_starting_broker_lives_and_is_not_ready() {
    let server = server().await;
    assert_eq!(ask(&server, "/healthz").await, Answer { status: 200, body: "ok".to_owned() });
    let answer = ask(&server, "/readyz").await;
    assert_eq!(answer.status, 503);
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({
            "ready": false, "state": "starting", "reason": "reading the database back",
        })
    );
}

#[tokio::test]
async fn readiness_follows_the_broker() {
    let server = server().await;
    for (state, status) in [
        (Broker::Ready, 200),
        (Broker::Full, 200),
        (Broker::ShuttingDown, 503),
        (Broker::Poisoned, 503),
    ] {
        server.readiness.set(state);
        let answer = ask(&server, "/readyz").await;
        assert_eq!(answer.status, status, "{state:?}");
        assert!(answer.body.contains(state.as_str()), "{}", answer.body);
        assert_eq!(ask(&server, "/healthz").await.status, 200);
    }
}

#[tokio::test]
async fn metrics_come_as_prometheus_text() {
    let server = server().await;
    let mut stream = tokio::net::TcpStream::connect(server.addr).await.unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    assert!(answer.contains("\nferrymq_retained_messages 0\n"), "{answer}");
    assert_eq!(ask(&server, "/nothing").await.status, 404);
}

#[tokio::test]
async fn an_open_connection_does_not_hold_up_a_shutdown() {
    let server = server().await;
    let mut silent = tokio::net::TcpStream::connect(server.addr).await.unwrap();
    silent.write_all(b"GET /metr").await.unwrap();
    assert_eq!(ask(&server, "/healthz").await.status, 200);
    server.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), server.task).await.unwrap().unwrap().unwrap();
}

async fn pair(connections: usize) -> (bounded::Bounded, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    (bounded::Bounded::with(listener, connections, Duration::from_millis(20)), addr)
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    use axum::serve::Listener;

    let (mut bounded, addr) = pair(1).await;
    let _client = tokio::net::TcpStream::connect(addr).await.unwrap();
    let (mut connection, _) = bounded.accept().await;
    let error = connection.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_connection_that_does_not_read_is_closed() {
    use axum::serve::Listener;

    let (mut bounded, addr) = pair(1).await;
    let _client = tokio::net::TcpStream::connect(addr).await.unwrap();
    let (mut connection, _) = bounded.accept().await;
    let error = loop {
        if let Err(error) = connection.write_all(&[0; 8192]).await {
            break error;
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn those_who_hold_all_places_do_not_keep_a_probe_out() {
    let server = server().await;
    let mut held = Vec::new();
    for n in 0..200 {
        let mut stream = tokio::net::TcpStream::connect(server.addr).await.unwrap();
        let request: &[u8] = match n % 3 {
            0 => b"",
            1 => b"GET /metr",
            _ => b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
        };
        stream.write_all(&request.repeat(if n % 3 == 2 { 100 } else { 1 })).await.unwrap();
        held.push(stream);
    }
    for _ in 0..10 {
        assert_eq!(ask(&server, "/healthz").await.status, 200);
    }
}
