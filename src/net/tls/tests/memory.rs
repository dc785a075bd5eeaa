//! What unfinished handshakes have the library hold is charged, until a client has connected.

use std::sync::Arc;

use rcgen::SanType;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio_rustls::TlsConnector;

use super::support::*;
use crate::broker::ConnectMemory;
use crate::config::ClientAuth;
use crate::net::ByteStream as _;
use crate::net::tls::RefusalReason;

const LIMIT: usize = 20 * 1024;
const PART: usize = 12 * 1024;

fn limited() -> Arc<ConnectMemory> {
    ConnectMemory::new(LIMIT as u64)
}

/// The beginning of a record of 16 KiB.
fn part_of_a_record(kind: u8) -> Vec<u8> {
    let mut part = vec![kind, 3, 3, 0x40, 0];
    part.resize(PART, 0);
    part
}

#[tokio::test]
async fn hellos_that_are_incomplete_share_a_limit() {
    let world = World::new(ClientAuth::Off);
    let (context, memory) = (world.context(), limited());
    let (one, mut its) = duplex(64 * 1024);
    let (two, mut other) = duplex(64 * 1024);
    for far in [&mut its, &mut other] {
        far.write_all(&part_of_a_record(0x16)).await.unwrap();
    }
    let mut first = Box::pin(context.accept(one, memory.share(), at_once));
    tokio::select! {
        _ = &mut first => panic!("the hello is not complete"),
        () = settle() => {}
    }
    let refusal = context.accept(two, memory.share(), at_once).await.unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::Busy);
    drop(first);
    assert!(memory.share().hold(LIMIT), "all of it is given back");
}

#[tokio::test]
async fn certificates_of_clients_share_a_limit() {
    let world = World::new(ClientAuth::Required);
    let context = world.context();
    let large = world.clients.issue_with("meter", |params| {
        let name = |n| SanType::DnsName(format!("{n}.of-many-names.example").try_into().unwrap());
        params.subject_alt_names = (0..400).map(name).collect();
    });
    for (limit, is_held) in [(64 * 1024, true), (8 * 1024, false)] {
        let (near, far) = duplex(64 * 1024);
        let connector = TlsConnector::from(Arc::new(world.client(Some(&large))));
        let client = async {
            // A client of TLS 1.3 is done before its certificate is looked at.
            let mut stream = connector.connect("localhost".try_into().unwrap(), far).await?;
            stream.read_u8().await
        };
        let memory = ConnectMemory::new(limit);
        let server = async { context.accept(near, memory.share(), at_once).await.map(drop) };
        let (accepted, _) = tokio::join!(server, client);
        match accepted {
            Ok(()) => assert!(is_held),
            Err(refusal) => assert_eq!((refusal.reason, is_held), (RefusalReason::Busy, false)),
        }
    }
}

#[tokio::test]
async fn a_record_is_charged_while_it_is_incomplete_and_no_client_has_connected() {
    let world = World::new(ClientAuth::Off);
    let (context, memory) = (world.context(), limited());
    let (near, far) = duplex(64 * 1024);
    let connector = TlsConnector::from(Arc::new(world.client(None)));
    let connecting = connector.connect("localhost".try_into().unwrap(), far);
    let accepting = context.accept(near, memory.share(), at_once);
    let (server, client) = tokio::join!(accepting, connecting);
    let (mut server, mut client) = (server.unwrap(), client.unwrap());
    let is_free = || memory.share().hold(LIMIT);
    assert!(is_free(), "nothing is held of a handshake that is complete");
    client.write_all(&[7; PART]).await.unwrap();
    client.flush().await.unwrap();
    server.read_exact(&mut [0; PART]).await.unwrap();
    assert!(is_free(), "nor of a record that was read");
    client.get_mut().0.write_all(&part_of_a_record(0x17)).await.unwrap();
    tokio::select! {
        _ = server.read_u8() => panic!("the record is not complete"),
        () = settle() => {}
    }
    assert!(!is_free());
    server.client_connected();
    assert!(is_free());
}
