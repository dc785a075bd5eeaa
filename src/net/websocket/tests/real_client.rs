//! Against the client of `tungstenite`, over TCP.

use std::net::TcpStream as StdStream;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Error, Message, WebSocket};

use super::handshake::{settings, unlimited};
use crate::net::websocket::{WebSocketStream, accept};

/// Runs a client in a thread of its own, against what `serve` does.
async fn meet<F: Future<Output = ()>>(
    client: impl FnOnce(WebSocket<StdStream>) + Send + 'static,
    serve: impl FnOnce(WebSocketStream<TcpStream>) -> F,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = tokio::task::spawn_blocking(move || {
        let mut request = format!("ws://{address}/mqtt").into_client_request().unwrap();
        let protocol = HeaderValue::from_static("mqtt");
        request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        let stream = StdStream::connect(address).unwrap();
        let (socket, response) = tungstenite::client(request, stream).unwrap();
        assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "mqtt");
        client(socket);
    });
    let (stream, peer) = listener.accept().await.unwrap();
    let (stream, _) = accept(stream, peer.into(), &settings(&[]), unlimited()).await.unwrap();
    serve(stream).await;
    client.await.unwrap();
}

#[tokio::test]
async fn messages_pings_and_the_close_handshake_are_understood() {
    let client = |mut socket: WebSocket<StdStream>| {
        for len in [0, 1, 125, 126, 65535, 65536, 100_000] {
            let sent = vec![7; len];
            socket.send(Message::binary(sent.clone())).unwrap();
            socket.send(Message::Ping("are you there".into())).unwrap();
            let (mut got, mut has_pong) = (Vec::new(), false);
            while got.len() < len || !has_pong {
                match socket.read().unwrap() {
                    Message::Binary(part) => got.extend_from_slice(&part),
                    Message::Pong(payload) => has_pong = &payload[..] == b"are you there",
                    other => panic!("{other:?}"),
                }
            }
            assert!(got == sent);
        }
        socket.close(None).unwrap();
        assert!(matches!(socket.read(), Ok(Message::Close(None))));
        assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
    };
    meet(client, async |mut stream| {
        let mut buffer = vec![0; 65536];
        loop {
            let read = stream.read(&mut buffer).await.unwrap();
            if read == 0 {
                return stream.shutdown().await.unwrap();
            }
            stream.write_all(&buffer[..read]).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_shutdown_of_the_server_is_a_regular_close() {
    let client = |mut socket: WebSocket<StdStream>| {
        let Message::Close(Some(close)) = socket.read().unwrap() else { panic!() };
        assert_eq!(close.code, CloseCode::Normal);
        assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
    };
    meet(client, async |mut stream| {
        stream.shutdown().await.unwrap();
        assert_eq!(stream.read(&mut [0; 10]).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn text_is_refused_with_its_status() {
    let client = |mut socket: WebSocket<StdStream>| {
        socket.send(Message::text("hello")).unwrap();
        let Message::Close(Some(close)) = socket.read().unwrap() else { panic!() };
        assert_eq!(close.code, CloseCode::Unsupported);
    };
    meet(client, async |mut stream| {
        stream.read(&mut [0; 10]).await.unwrap_err();
        stream.shutdown().await.unwrap();
        assert_eq!(stream.read(&mut [0; 10]).await.unwrap(), 0);
    })
    .await;
}
