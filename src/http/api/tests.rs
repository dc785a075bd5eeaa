//! The guard and the document, over a real socket. Routes that need a broker are tested from
//! outside, in `tests/clients/admin/`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::{AllowedHosts, Requests, Scope, serve};
use super::*;
use crate::telemetry::{Metrics, MetricsRegistry, Readiness, RecentEvents};

const TOKEN: &str = "0123456789abcdef";

struct Answered {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// An HTTP listener of a broker that is still starting.
async fn starting(token: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut config = Config::default();
    config.http.token = token.to_owned().into();
    let config = Arc::new(config);
    let tokens = Arc::new(Tokens::load(&config.http).unwrap());
    let readiness = Readiness::default();
    let metrics = MetricsRegistry::new(&Arc::new(Metrics::default()), &readiness).unwrap();
    let state = AppState {
        metrics: Arc::new(metrics),
        readiness,
        api: Api::new(config, tokens, None),
        events: RecentEvents::default(),
        requests: Requests::default(),
        scope: Scope::Everything,
        hosts: AllowedHosts::new(&crate::config::Hosts::Auto, crate::config::Bind::Off),
    };
    tokio::spawn(serve(listener, state, std::future::pending()));
    address
}

async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str) -> Answered {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap());
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Answered { status, headers, body: body.to_owned() }
}

fn with(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

#[tokio::test]
async fn without_a_token_the_api_is_off_and_says_how_to_turn_it_on() {
    let address = starting("").await;
    for headers in [String::new(), with(""), with(TOKEN)] {
        let answer = ask(address, "GET", "/api/v1/sessions", &headers).await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        let problem = answer.json();
        assert_eq!(problem["type"], "urn:ferrymq:problem:api-off");
        assert_eq!(problem["instance"], "/api/v1/sessions");
        assert!(problem["detail"].as_str().unwrap().contains("http.token_file"), "{problem}");
    }
}

#[tokio::test]
async fn nobody_passes_without_the_token() {
    let address = starting(TOKEN).await;
    let wrong = ["", &with("0123456789abcdeF"), "Authorization: Basic eDp5\r\n"];
    for headers in wrong {
        for (method, path) in [("GET", "sessions"), ("DELETE", "sessions/x"), ("GET", "nothing")] {
            let answer = ask(address, method, &format!("/api/v1/{path}"), headers).await;
            assert_eq!(answer.status, 401, "{method} {path} {headers}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
            assert!(!answer.body.contains(TOKEN));
        }
    }
    // The scheme is case-insensitive, and a correct token passes after wrong ones.
    let right = format!("authorization: BEARER {TOKEN}\r\n");
    assert_eq!(ask(address, "GET", "/api/v1/sessions", &right).await.status, 503);
}

#[tokio::test]
async fn who_tries_many_tokens_is_turned_away_and_locks_nobody_out() {
    let address = starting(TOKEN).await;
    let tries = (0..40).map(|n| async move {
        ask(address, "GET", "/api/v1/sessions", &with(&format!("wrong-token-{n:06}"))).await.status
    });
    let tries: Vec<_> = tries.map(tokio::spawn).collect();
    assert_eq!(ask(address, "GET", "/api/v1/sessions", &with(TOKEN)).await.status, 503);
    let mut statuses = BTreeSet::new();
    for tried in tries {
        statuses.insert(tried.await.unwrap());
    }
    assert_eq!(statuses, BTreeSet::from([401, 429]));
}

#[tokio::test]
async fn a_starting_broker_says_so() {
    let address = starting(TOKEN).await;
    let answer = ask(address, "GET", "/api/v1/database", &with(TOKEN)).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["type"], "urn:ferrymq:problem:starting");
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let address = starting(TOKEN).await;
    let answer = ask(address, "GET", "/api/v1/nothing", &with(TOKEN)).await;
    assert_eq!((answer.status, answer.json()["status"].as_u64()), (404, Some(404)));
    let answer = ask(address, "PUT", "/api/v1/sessions", &with(TOKEN)).await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.headers["allow"], "GET,HEAD");
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    let answer = ask(address, "GET", "/api/v1/sessions?limit=x", &with(TOKEN)).await;
    assert_eq!(answer.status, 400);
    let answer = ask(address, "GET", "/api/v1/sessions?limmit=1", &with(TOKEN)).await;
    assert!(answer.status == 400 && answer.body.contains("limmit"), "{}", answer.body);
}

#[tokio::test]
async fn a_body_that_is_no_json_is_not_looked_at() {
    let address = starting(TOKEN).await;
    for (path, kind) in [
        ("publish", "text/plain"),
        ("bans", "text/plain"),
        ("reload", "text/plain"),
        ("publish", ""),
    ] {
        let kind =
            if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
        let headers = format!("{}{kind}Content-Length: 0\r\n", with(TOKEN));
        let answer = ask(address, "POST", &format!("/api/v1/{path}"), &headers).await;
        assert_eq!(answer.status, 415, "{path} {kind}");
    }
}

#[tokio::test]
async fn routes_and_document_agree() {
    let address = starting(TOKEN).await;
    let document = ask(address, "GET", "/api/v1/openapi.json", "").await;
    assert_eq!(document.status, 200, "the document is open");
    let document = document.json();
    assert_eq!(document["openapi"], "3.1.0");
    let served: BTreeSet<String> =
        table(&Config::default()).iter().map(|(path, _)| path.replace('*', "")).collect();
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(served, paths.keys().cloned().collect());
    for (path, item) in paths {
        let mut described: BTreeSet<String> =
            item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        if described.contains("GET") {
            described.insert("HEAD".to_owned());
        }
        let asked = path
            .replace("{client_id}", "x")
            .replace("{topic}", "x")
            .replace("{address}", "x")
            .replace("{id}", "1");
        let answer = ask(address, "TRACE", &format!("/api/v1{asked}"), &with(TOKEN)).await;
        let allowed = answer.headers["allow"].split(',').map(str::to_owned).collect();
        assert_eq!(described, allowed, "{path}");
    }
}
