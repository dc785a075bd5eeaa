//! Replacing files: all or nothing, without cutting anyone off, and nothing outlives its
//! revocation.

use std::fs;
use std::sync::Arc;

use rcgen::date_time_ymd;
use rustls::version::{TLS12, TLS13};

use super::support::*;
use crate::config::ClientAuth;
use crate::net::tls::{RefusalReason, TlsReload};

const CLIENTS: TlsReload = TlsReload { changed: true, clients_changed: true };
const OWN: TlsReload = TlsReload { changed: true, clients_changed: false };

fn serial_of(client: &ClientStream) -> Vec<u8> {
    client.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn a_renewal_is_for_new_connections_and_cuts_none() {
    let world = World::new(ClientAuth::Required);
    let context = world.context();
    let own = world.clients.issue("meter");
    let (mut server, mut client) = accepted(&context, world.client(Some(&own))).await;
    assert_eq!(context.reload().unwrap(), TlsReload::default());
    world.renew();
    assert_eq!(context.reload().unwrap(), OWN);
    echo(&mut server, &mut client).await;
    assert!(context.is_still_trusted(server.client().unwrap()));
    let (_, new) = accepted(&context, world.client(Some(&own))).await;
    assert_ne!(serial_of(&client), serial_of(&new));
}

#[tokio::test]
async fn files_that_do_not_fit_or_are_half_written_leave_the_old_ones_in_force() {
    let world = World::new(ClientAuth::Required);
    let context = world.context();
    let own = world.clients.issue("meter");
    let (_, before) = accepted(&context, world.client(Some(&own))).await;
    let read = |name: &str| fs::read_to_string(world.path(name)).unwrap();
    let (pem, key, authorities) = (read("server.pem"), read("server.key"), read("ca.pem"));
    let other = world.servers.issue("localhost");
    for (file, text) in [
        ("server.pem", other.pem.as_str()),
        ("server.pem", &pem[..pem.len() - 40]),
        ("server.key", &other.key.serialize_pem()),
        ("server.key", ""),
        ("ca.pem", &authorities[..authorities.len() / 2]),
    ] {
        world.write(file, text);
        context.reload().unwrap_err();
        let (_, after) = accepted(&context, world.client(Some(&own))).await;
        assert_eq!(serial_of(&before), serial_of(&after));
        for (file, text) in [("server.pem", &pem), ("server.key", &key), ("ca.pem", &authorities)] {
            world.write(file, text);
        }
    }
    assert_eq!(context.reload().unwrap(), TlsReload::default());
}

#[tokio::test]
async fn prepared_files_change_nothing_until_they_are_applied() {
    let mut world = World::new(ClientAuth::Off);
    let context = world.context();
    world.settings.client_auth = ClientAuth::Required;
    world.settings.client_ca_file = Some(world.path("ca.pem"));
    let prepared = context.prepare(&world.settings).unwrap();
    accepted(&context, world.client(None)).await;
    assert_eq!(context.apply(prepared), CLIENTS);
    let (refusal, _) = refused(&context, world.client(None)).await;
    assert_eq!(refusal.reason, RefusalReason::NoCertificate);
    assert_eq!(context.files().len(), 3);
}

#[tokio::test]
async fn open_connections_are_found_by_revocation_and_by_a_removed_authority() {
    let world = World::with_crl(ClientAuth::Required, |clients| clients.crl(&[], 2120));
    let context = world.context();
    let (one, two) = (world.clients.issue("one"), world.clients.issue("two"));
    let (first, _a) = accepted(&context, world.client(Some(&one))).await;
    let (second, _b) = accepted(&context, world.client(Some(&two))).await;
    let trusted = || [&first, &second].map(|one| context.is_still_trusted(one.client().unwrap()));
    assert_eq!(trusted(), [true, true]);
    // An expired list refuses new connections, and ends no open ones.
    world.write("crl.pem", &world.clients.crl(&[], 2021));
    assert_eq!(context.reload().unwrap(), CLIENTS);
    assert_eq!(trusted(), [true, true]);
    world.write("crl.pem", &world.clients.crl(&[&two], 2120));
    assert_eq!(context.reload().unwrap(), CLIENTS);
    assert_eq!(trusted(), [true, false]);
    world.write("ca.pem", &Authority::new("others").pem());
    assert_eq!(context.reload().unwrap(), CLIENTS);
    assert_eq!(trusted(), [false, false]);
}

#[tokio::test]
async fn sessions_are_resumed_with_their_identity_until_the_clients_side_changes() {
    for version in [&TLS12, &TLS13] {
        let world = World::with_crl(ClientAuth::Required, |clients| clients.crl(&[], 2120));
        let context = world.context();
        let own = world.clients.issue("meter");
        // Sessions are kept by the configuration.
        let client = Arc::new(world.client_of(&[version], Some(&own)));
        let (first, _a) = accepted(&context, Arc::clone(&client)).await;
        assert!(!first.is_resumed());
        let (second, _b) = accepted(&context, Arc::clone(&client)).await;
        assert!(second.is_resumed());
        let certificate = |stream: &crate::net::tls::TlsStream<_>| {
            stream.client().unwrap().certificate().as_ref().clone()
        };
        assert_eq!(certificate(&first), certificate(&second));
        // A new certificate of the broker voids none.
        world.renew();
        assert_eq!(context.reload().unwrap(), OWN);
        assert!(accepted(&context, Arc::clone(&client)).await.0.is_resumed());
        world.write("crl.pem", &world.clients.crl(&[], 2121));
        assert_eq!(context.reload().unwrap(), CLIENTS);
        assert!(!accepted(&context, Arc::clone(&client)).await.0.is_resumed());
        world.write("crl.pem", &world.clients.crl(&[&own], 2121));
        assert_eq!(context.reload().unwrap(), CLIENTS);
        let (refusal, _) = refused(&context, Arc::clone(&client)).await;
        assert_eq!(refusal.reason, RefusalReason::Revoked);
    }
}

#[tokio::test]
async fn a_session_does_not_outlive_its_certificate() {
    let world = World::new(ClientAuth::Required);
    let context = world.context();
    let own = world.clients.issue_with("meter", |params| {
        params.not_after = date_time_ymd(2120, 1, 1);
    });
    let client = Arc::new(world.client_of(&[&TLS13], Some(&own)));
    accepted(&context, Arc::clone(&client)).await;
    // As if its authority had been taken away without the tickets being voided.
    context.forget_authorities();
    let (refusal, _) = refused(&context, client).await;
    assert_eq!(refusal.reason, RefusalReason::UnknownCa);
}
