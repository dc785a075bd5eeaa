//! Opening handshakes that are refused, and what the client is told.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::handshake::{MQTT, PROXY, answer, request, settings, unlimited};
use crate::broker::ConnectMemory;
use crate::net::websocket::{WebSocketRefusal, accept};
use crate::telemetry::WebSocketFailure as Reason;

/// Refused with this reason and, if there is one, this status. Returns the response.
async fn refused(input: &[u8], reason: Reason, status: &str) -> String {
    let settings = settings(&["https://example.org"]);
    let mut last = String::new();
    for size in [1, 100_000] {
        let (accepted, response) = answer(input, &settings, size).await;
        let refusal = accepted.unwrap_err();
        assert_eq!(refusal.reason(), Some(reason), "{refusal}");
        if status.is_empty() {
            assert_eq!(response, "");
        } else {
            assert!(response.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{response}");
            let (head, body) = response.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
            assert!(head.contains("connection: close"), "{head}");
        }
        last = response;
    }
    last
}

#[tokio::test]
async fn what_is_not_mqtt_over_websocket_gets_its_status() {
    let ok = request("/mqtt", &[MQTT]);
    for (input, reason, status) in [
        (request("/", &[MQTT]), Reason::Path, "404 Not Found"),
        (request("/mqtt/", &[MQTT]), Reason::Path, "404 Not Found"),
        (
            request("/mqtt", &[MQTT, "Origin: https://evil.example"]),
            Reason::Origin,
            "403 Forbidden",
        ),
        (request("/mqtt", &[MQTT, "Origin: null"]), Reason::Origin, "403 Forbidden"),
        (request("/mqtt", &[]), Reason::SubProtocol, "400 Bad Request"),
        (
            request("/mqtt", &["Sec-WebSocket-Protocol: MQTT, mqtts"]),
            Reason::SubProtocol,
            "400 Bad Request",
        ),
        (ok.replace("GET", "POST"), Reason::BadRequest, "405 Method Not Allowed"),
        (ok.replace("HTTP/1.1", "HTTP/1.0"), Reason::BadRequest, "505 HTTP Version Not Supported"),
        (ok.replace("Version: 13", "Version: 8"), Reason::BadRequest, "426 Upgrade Required"),
        (ok.replace("dGhl", "dG"), Reason::BadRequest, "400 Bad Request"),
        (ok.replace("Host:", "Ho st:"), Reason::BadRequest, "400 Bad Request"),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), Reason::NoUpgrade, "426 Upgrade Required"),
    ] {
        refused(input.as_bytes(), reason, status).await;
    }
}

#[tokio::test]
async fn a_person_with_a_browser_is_told_what_this_port_is() {
    let response =
        refused(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Reason::NoUpgrade, "426 Upgrade Required");
    let response = response.await;
    assert!(response.contains("upgrade: websocket\r\n"), "{response}");
    assert!(response.contains("sec-websocket-version: 13\r\n"), "{response}");
    assert!(response.ends_with("pass the headers Upgrade and Connection on.\n"), "{response}");
}

#[tokio::test]
async fn other_protocols_are_named_and_not_answered() {
    for (input, hint) in [
        (&b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"[..], "MQTT client without WebSocket"),
        (b"\x16\x03\x01\x02\x00\x01\x00", "a TLS client"),
        (b"\r\nGET / HTTP/1.1\r\n\r\n", "the first byte is 0x0d"),
    ] {
        refused(input, Reason::NotHttp, "").await;
        let (accepted, _) = answer(input, &settings(&[]), 1).await;
        let refusal = accepted.unwrap_err().to_string();
        assert!(refusal.contains(hint), "{refusal}");
    }
}

#[tokio::test]
async fn a_probe_is_no_failure_and_half_a_request_is_one() {
    let (accepted, response) = answer(b"", &settings(&[]), 10).await;
    assert!(accepted.unwrap_err().reason().is_none());
    assert_eq!(response, "");
    let (accepted, _) = answer(b"GET /mqtt HT", &settings(&[]), 10).await;
    assert_eq!(accepted.unwrap_err(), WebSocketRefusal::Closed);
}

#[tokio::test]
async fn a_header_is_bounded() {
    let status = "431 Request Header Fields Too Large";
    let long = format!("X: {}", "x".repeat(8192));
    refused(request("/mqtt", &[&long]).as_bytes(), Reason::BadRequest, status).await;
    refused(request("/mqtt", &["X: y"; 124]).as_bytes(), Reason::BadRequest, status).await;
    // It ends nowhere, and the sender goes on: it is not read on.
    let (ours, mut theirs) = duplex(1000);
    let endless = async move {
        let mut sent = 0;
        theirs.write_all(b"GET /mqtt HTTP/1.1\r\nX: ").await.unwrap();
        while sent < 10_000_000 && theirs.write_all(&[b'x'; 1000]).await.is_ok() {
            sent += 1000;
            let _ =
                tokio::time::timeout(std::time::Duration::ZERO, theirs.read(&mut [0; 1000])).await;
        }
        sent
    };
    let settings = settings(&[]);
    let (accepted, sent) =
        tokio::join!(accept(ours, PROXY.into(), &settings, unlimited()), endless);
    assert_eq!(accepted.unwrap_err(), WebSocketRefusal::TooLarge);
    assert!(sent < 1_000_000, "{sent}");
}

#[tokio::test]
async fn unfinished_requests_share_a_limit_of_memory() {
    let memory = ConnectMemory::new(6 * 1024);
    let settings = settings(&[]);
    for (length, is_held) in [(1000, true), (7000, false)] {
        let (ours, mut theirs) = duplex(10_000);
        // The header does not end.
        let request = format!("GET /mqtt HTTP/1.1\r\nX: {}", "x".repeat(length));
        theirs.write_all(request.as_bytes()).await.unwrap();
        let accepted = accept(ours, PROXY.into(), &settings, memory.share());
        let until = std::time::Duration::from_millis(if is_held { 50 } else { 20_000 });
        let ended = tokio::time::timeout(until, async {
            let (accepted, mut answer) = (accepted, [0; 12]);
            let (accepted, ()) = tokio::join!(accepted, async {
                let _ = theirs.read_exact(&mut answer).await;
                drop(theirs);
            });
            (accepted.map(|_| ()), answer)
        });
        match ended.await {
            Err(_) => assert!(is_held),
            Ok((accepted, answer)) => {
                assert_eq!(accepted, Err(WebSocketRefusal::NoMemory));
                assert_eq!(&answer, b"HTTP/1.1 503");
            }
        }
    }
    assert!(memory.share().hold(6 * 1024), "all of it is given back");
}

#[tokio::test]
async fn text_of_the_peer_is_shortened_and_escaped() {
    let input = request("/mqtt", &[MQTT, &format!("Origin: \u{1f600}{}", "x".repeat(1000))]);
    let (accepted, _) = answer(input.as_bytes(), &settings(&["https://a.example"]), 10_000).await;
    let refusal = accepted.unwrap_err();
    assert_eq!(refusal.reason(), Some(Reason::Origin));
    assert!(refusal.to_string().len() < 250, "{refusal}");
    let evil = WebSocketRefusal::Path("/\u{1b}[2J\n".into()).to_string();
    assert!(!evil.contains(['\u{1b}', '\n']), "{evil}");
}

proptest! {
    #[test]
    fn any_garbage_is_refused(
        mut input in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            "GET [ -~]{0,20} HTTP/1.[01]\r\n([!-~]{1,9}: [ -~]{0,9}\r\n){0,9}\r\n".prop_map(String::into_bytes),
        ],
        size in 1..400_usize,
    ) {
        input.truncate(500);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (accepted, _) = runtime.block_on(answer(&input, &settings(&[]), size));
        prop_assert!(accepted.is_err());
    }
}
