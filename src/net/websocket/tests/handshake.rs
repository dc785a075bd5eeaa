//! Opening handshakes that are accepted.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::{BINARY, KEY, frame};
use crate::broker::{ConnectMemory, ConnectShare};
use crate::net::websocket::{
    SubProtocol, Upgrade, WebSocketRefusal, WebSocketSettings, WebSocketStream, accept, connect,
};
use crate::peer::PeerAddr;

pub(super) const PROXY: ([u8; 4], u16) = ([10, 0, 0, 1], 4711);

pub(super) fn settings(origins: &[&str]) -> WebSocketSettings {
    let origins: Vec<_> = origins.iter().map(|&origin| origin.to_owned()).collect();
    WebSocketSettings::new("/mqtt", &origins, &["10.0.0.0/8".parse().unwrap()], 1 << 20)
}

/// Memory for any request.
pub(super) fn unlimited() -> ConnectShare {
    ConnectMemory::new(u64::MAX).share()
}

/// A valid request with these lines besides.
pub(super) fn request(path: &str, more: &[&str]) -> String {
    let more = more.iter().fold(String::new(), |all, line| all + line + "\r\n");
    format!(
        "GET {path} HTTP/1.1\r\nHost: example.org\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

pub(super) const MQTT: &str = "Sec-WebSocket-Protocol: mqtt";

/// Sends bytes, of which the server reads `size` at once. Returns what it says and answers.
pub(super) async fn answer(
    input: &[u8],
    settings: &WebSocketSettings,
    size: usize,
) -> (Result<(WebSocketStream<DuplexStream>, Upgrade), WebSocketRefusal>, String) {
    let (ours, theirs) = duplex(size);
    let (mut theirs_in, mut theirs_out) = tokio::io::split(theirs);
    let mut response = Vec::new();
    let server = accept(ours, PeerAddr::from(PROXY), settings, unlimited());
    let writes = async {
        // A server that refuses does not read on.
        let _ = theirs_out.write_all(input).await;
        let _ = theirs_out.shutdown().await;
    };
    let reads = async {
        let mut byte = [0];
        while !response.ends_with(b"\r\n\r\n") && theirs_in.read(&mut byte).await.unwrap() > 0 {
            response.push(byte[0]);
        }
        if !response.starts_with(b"HTTP/1.1 101") {
            theirs_in.read_to_end(&mut response).await.unwrap();
        }
    };
    let (accepted, (), ()) = tokio::join!(server, writes, reads);
    (accepted, String::from_utf8(response).unwrap())
}

#[tokio::test]
async fn a_valid_request_is_accepted_however_it_arrives() {
    for size in [1, 3, 64, 10_000] {
        let request = request("/mqtt?token=x", &["Sec-WebSocket-Protocol: chat, mqtt"]);
        let (accepted, response) = answer(request.as_bytes(), &settings(&[]), size).await;
        let (_, upgrade) = accepted.unwrap();
        let expected = Upgrade { sub_protocol: SubProtocol::Mqtt, forwarded_for: None };
        assert_eq!(upgrade, expected);
        let response = response.to_lowercase();
        assert!(response.starts_with("http/1.1 101 switching protocols\r\n"), "{response}");
        // The answer of RFC 6455, section 1.3.
        assert!(response.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"));
        assert!(response.contains("sec-websocket-protocol: mqtt\r\n"));
        assert!(!response.contains("extensions"));
    }
}

#[tokio::test]
async fn the_first_sub_protocol_of_mqtt_is_taken() {
    for (lines, expected) in [
        (&["Sec-WebSocket-Protocol: mqttv3.1"][..], SubProtocol::MqttV31),
        (&["Sec-WebSocket-Protocol: mqttv3.1, mqtt"], SubProtocol::MqttV31),
        (&["Sec-WebSocket-Protocol: x,mqtt ,mqttv3.1"], SubProtocol::Mqtt),
        (&["Sec-WebSocket-Protocol: x", "Sec-WebSocket-Protocol: mqtt"], SubProtocol::Mqtt),
    ] {
        let input = request("/mqtt", lines);
        let (accepted, response) = answer(input.as_bytes(), &settings(&[]), 999).await;
        assert_eq!(accepted.unwrap().1.sub_protocol, expected);
        assert!(response.contains(&format!("sec-websocket-protocol: {expected}\r\n")));
    }
}

#[tokio::test]
async fn origins_that_are_allowed_and_clients_without_one_may_connect() {
    let settings = settings(&["https://Example.org/", "http://localhost:3000"]);
    for lines in [
        &[MQTT][..],
        &[MQTT, "Origin: https://example.org"],
        &[MQTT, "Origin: http://localhost:3000"],
    ] {
        let (accepted, _) = answer(request("/mqtt", lines).as_bytes(), &settings, 999).await;
        assert!(accepted.is_ok(), "{lines:?}");
    }
}

#[tokio::test]
async fn the_peer_is_the_client_that_a_trusted_proxy_names() {
    let input =
        request("/mqtt", &[MQTT, "X-Forwarded-For: 192.0.2.7", "X-Forwarded-For: 10.2.2.2"]);
    let (accepted, _) = answer(input.as_bytes(), &settings(&[]), 999).await;
    assert_eq!(accepted.unwrap().1.forwarded_for, Some([192, 0, 2, 7].into()));
    let untrusting = WebSocketSettings { trusted_proxies: Vec::new(), ..settings(&[]) };
    let (accepted, _) = answer(input.as_bytes(), &untrusting, 999).await;
    assert_eq!(accepted.unwrap().1.forwarded_for, None);
}

#[tokio::test]
async fn frames_behind_the_request_are_not_lost() {
    let mut input = request("/mqtt", &[MQTT]).into_bytes();
    input.extend(frame(BINARY, Some(KEY), b"too early"));
    // The frame has to fit, as nobody reads it before the response.
    for size in [20, 64, 10_000] {
        let (accepted, _) = answer(&input, &settings(&[]), size).await;
        let mut got = Vec::new();
        accepted.unwrap().0.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"too early");
    }
}

#[tokio::test]
async fn our_client_is_accepted_by_our_server() {
    for size in [1, 3, 64, 10_000] {
        let (ours, theirs) = duplex(size);
        let (settings, peer) = (settings(&[]), PeerAddr::from(PROXY));
        let (accepted, connected) = tokio::join!(
            accept(ours, peer, &settings, unlimited()),
            connect(theirs, "example.org:8083", "/mqtt", 1000)
        );
        let (mut server, mut client) = (accepted.unwrap().0, connected.unwrap());
        let sent = async { client.write_all(b"hello").await.unwrap() };
        let mut got = [0; 5];
        let (_, ()) = tokio::join!(server.read_exact(&mut got), sent);
        assert_eq!(&got, b"hello");
    }
}

#[tokio::test]
async fn our_client_says_why_it_was_not_accepted() {
    let (ours, theirs) = duplex(10_000);
    let (settings, peer) = (settings(&[]), PeerAddr::from(PROXY));
    let (refused, error) = tokio::join!(
        accept(ours, peer, &settings, unlimited()),
        connect(theirs, "example.org", "/elsewhere", 1000)
    );
    assert!(matches!(refused.unwrap_err(), WebSocketRefusal::Path(_)));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("404 Not Found"), "{error}");
}
