//! Each transport to a broker, and what is told if TLS or WebSocket does not come about.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::support::{Remote, broker, connect, endpoint, listen, soon};
use crate::config::{ClientAuth, Protocol};
use crate::net::Transport as _;
use crate::net::dial::{ClientTls, Endpoint, log_in, open};
use crate::net::tls::tests::support::{Authority, Issued, World};
use crate::peer::Security;
use crate::protocol::Version;

/// Trusts the authority of the world's servers. The certificate is for `localhost`, and the
/// tests dial an address.
fn trusting(world: &World) -> ClientTls {
    world.write("servers.pem", &world.servers.pem());
    ClientTls {
        ca_file: Some(world.path("servers.pem")),
        server_name: Some("localhost".to_owned()),
        ..ClientTls::default()
    }
}

fn with_certificate(world: &World, issued: &Issued) -> ClientTls {
    world.write("client.pem", &issued.pem);
    world.write("client.key", &issued.key.serialize_pem());
    ClientTls {
        certificate_file: Some(world.path("client.pem")),
        key_file: Some(world.path("client.key")),
        ..trusting(world)
    }
}

fn serve_with(world: &World, issued: &Issued) -> Remote {
    world.write("server.pem", &issued.pem);
    world.write("server.key", &issued.key.serialize_pem());
    Remote::new(Protocol::Mqtts, Some(&world.settings))
}

/// Opens a stream and logs in. The error is the line that an operator sees.
async fn dialled(endpoint: &Endpoint) -> Result<Security, String> {
    let broker = broker(|_| {});
    let stream = open(&broker, endpoint, soon()).await.map_err(|error| error.to_string())?;
    let security = stream.security();
    let logged_in = log_in(&broker, stream, &connect(Version::V5)).await;
    logged_in.map(|_| security).map_err(|error| error.to_string())
}

async fn refused(endpoint: &Endpoint, what: &str) {
    let error = dialled(endpoint).await.unwrap_err();
    assert!(error.contains(what), "{error}");
}

#[tokio::test]
async fn mqtt_is_dialled_over_tcp_tls_and_websocket() {
    let world = World::new(ClientAuth::Off);
    let tls = Some(trusting(&world));
    for (protocol, tls, path) in [
        (Protocol::Mqtt, None, None),
        (Protocol::Mqtts, tls.clone(), None),
        (Protocol::Ws, None, Some("/mqtt")),
        (Protocol::Wss, tls, Some("/mqtt")),
    ] {
        let remote = Remote::new(protocol, tls.is_some().then_some(&world.settings));
        let security = if tls.is_some() { Security::Tls } else { Security::Plain };
        let endpoint = remote.endpoint(tls, path);
        assert_eq!(dialled(&endpoint).await, Ok(security), "{endpoint}");
    }
}

#[tokio::test]
async fn a_host_by_its_name_is_looked_up_and_verified_by_it() {
    let world = World::new(ClientAuth::Off);
    let remote = Remote::new(Protocol::Mqtts, Some(&world.settings));
    let tls = ClientTls { server_name: None, ..trusting(&world) };
    let mut endpoint = remote.endpoint(Some(tls), None);
    endpoint.host = "localhost".to_owned();
    assert_eq!(dialled(&endpoint).await, Ok(Security::Tls));
}

#[tokio::test]
async fn an_expired_certificate_of_the_server_is_refused_with_its_date() {
    let world = World::new(ClientAuth::Off);
    let issued = world.servers.issue_with("localhost", |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 2, 3);
    });
    let remote = serve_with(&world, &issued);
    refused(&remote.endpoint(Some(trusting(&world)), None), "expired on Feb  3 00:00:00 2021")
        .await;
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_is_refused_until_the_file_has_it() {
    let world = World::new(ClientAuth::Off);
    let remote = Remote::new(Protocol::Mqtts, Some(&world.settings));
    let tls = trusting(&world);
    world.write("servers.pem", &Authority::new("others").pem());
    let endpoint = remote.endpoint(Some(tls), None);
    refused(&endpoint, "tls.ca_file").await;
    // The file is read at each dial.
    world.write("servers.pem", &world.servers.pem());
    assert_eq!(dialled(&endpoint).await, Ok(Security::Tls));
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_with_both_names() {
    let world = World::new(ClientAuth::Off);
    let remote = serve_with(&world, &world.servers.issue("broker.example"));
    let mut tls = trusting(&world);
    refused(&remote.endpoint(Some(tls.clone()), None), "not for \"localhost\" but for").await;
    refused(&remote.endpoint(Some(tls.clone()), None), "broker.example").await;
    tls.server_name = Some("broker.example".to_owned());
    assert_eq!(dialled(&remote.endpoint(Some(tls), None)).await, Ok(Security::Tls));
}

#[tokio::test]
async fn a_server_that_wants_a_client_certificate_gets_it_or_is_told_of() {
    let world = World::new(ClientAuth::Required);
    let remote = Remote::new(Protocol::Mqtts, Some(&world.settings));
    let none = remote.endpoint(Some(trusting(&world)), None);
    refused(&none, "set tls.certificate_file and tls.key_file").await;
    let strange = Authority::new("strangers").issue("edge");
    let strange = remote.endpoint(Some(with_certificate(&world, &strange)), None);
    refused(&strange, "the server does not accept the client certificate").await;
    let expired = world.clients.issue_with("edge", |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let expired = remote.endpoint(Some(with_certificate(&world, &expired)), None);
    refused(&expired, "renew tls.certificate_file").await;
    let known = with_certificate(&world, &world.clients.issue("edge"));
    assert_eq!(dialled(&remote.endpoint(Some(known), None)).await, Ok(Security::Tls));
}

/// A server of TLS that insists on one protocol, as cloud services do on their port 443.
async fn insisting_on(alpn: &str, issued: &Issued) -> SocketAddr {
    let (listener, at) = listen().await;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(issued.pem.as_bytes()).unwrap()],
            PrivateKeyDer::try_from(issued.key.serialize_der()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    at
}

#[tokio::test]
async fn protocols_are_offered_and_one_that_the_server_does_not_know_is_told() {
    let world = World::new(ClientAuth::Off);
    let at = insisting_on("x-amzn-mqtt-ca", &world.servers.issue("localhost")).await;
    let with = |alpn: &str| {
        let tls = ClientTls { alpn: vec![alpn.to_owned()], ..trusting(&world) };
        endpoint(at, Some(tls), None)
    };
    refused(&with("mqtt"), "set those that it asks for").await;
    assert!(open(&broker(|_| {}), &with("x-amzn-mqtt-ca"), soon()).await.is_ok());
}

#[tokio::test]
async fn tls_on_a_port_without_it_and_a_wrong_path_are_told() {
    let world = World::new(ClientAuth::Off);
    let plain = Remote::new(Protocol::Ws, None);
    let error = dialled(&plain.endpoint(Some(trusting(&world)), None)).await.unwrap_err();
    assert!(error.contains("TLS"), "{error}");
    refused(&plain.endpoint(None, Some("/other")), "check path and proxies").await;
}

#[tokio::test]
async fn a_server_that_is_silent_costs_no_more_than_the_deadline() {
    let (_listener, at) = listen().await;
    let broker = broker(|_| {});
    let world = World::new(ClientAuth::Off);
    for (tls, path, step) in [
        (Some(trusting(&world)), None, "the TLS handshake was not complete"),
        (None, Some("/mqtt"), "the WebSocket handshake was not complete"),
    ] {
        let deadline = Instant::now() + Duration::from_millis(300);
        let opened = open(&broker, &endpoint(at, tls, path), deadline).await;
        let error = opened.err().unwrap().to_string();
        assert!(error.contains(step) && error.contains("mqtt.connect_timeout"), "{error}");
    }
}

#[tokio::test]
async fn nobody_listens_is_told_with_the_address() {
    let (listener, at) = listen().await;
    drop(listener);
    refused(&endpoint(at, None, None), &format!("cannot connect to {at}")).await;
}
