//! The endpoints, asked over a real socket.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::*;
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
    let state = AppState { metrics: Arc::new(metrics), readiness: readiness.clone() };
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
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
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

#[tokio::test]
async fn a_silent_connection_is_closed() {
    use axum::serve::Listener;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let mut bounded = bounded::Bounded::with_silence(listener, Duration::from_millis(20));
    let _client = tokio::net::TcpStream::connect(addr).await.unwrap();
    let (mut connection, _) = bounded.accept().await;
    let error = connection.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}
