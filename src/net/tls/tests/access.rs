//! Who is let in, and what the others are told.

use rcgen::{ExtendedKeyUsagePurpose, IsCa, date_time_ymd};
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::support::*;
use crate::config::{ClientAuth, ExpiredCrl, TlsVersion};
use crate::net::tls::{RefusalReason, TlsContext};

async fn reason(context: &TlsContext, client: rustls::ClientConfig) -> RefusalReason {
    refused(context, client).await.0.reason
}

#[tokio::test]
async fn both_versions_carry_bytes_both_ways_and_end_with_close_notify() {
    let world = World::new(ClientAuth::Off);
    let context = world.context();
    for (version, name) in [(&TLS12, "1.2"), (&TLS13, "1.3")] {
        let (mut server, mut client) = accepted(&context, world.client_of(&[version], None)).await;
        assert_eq!(server.version(), name);
        assert!(server.client().is_none());
        echo(&mut server, &mut client).await;
        server.shutdown().await.unwrap();
        // Without close_notify this were an error of the client's TLS.
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_client_that_closes_without_close_notify_has_ended_its_stream() {
    let world = World::new(ClientAuth::Off);
    let (mut server, client) = accepted(&world.context(), world.client(None)).await;
    drop(client.into_inner().0);
    for _ in 0..2 {
        assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn min_version_keeps_older_clients_out() {
    let mut world = World::new(ClientAuth::Off);
    world.settings.min_version = TlsVersion::V13;
    let context = world.context();
    accepted(&context, world.client_of(&[&TLS13], None)).await;
    let (refusal, told) = refused(&context, world.client_of(&[&TLS12], None)).await;
    assert_eq!(refusal.reason, RefusalReason::UnsupportedVersion);
    assert!(told.contains("ProtocolVersion"), "{told}");
}

#[tokio::test]
async fn an_optional_certificate_may_be_absent_and_must_be_valid() {
    let world = World::new(ClientAuth::Optional);
    let context = world.context();
    let (server, _) = accepted(&context, world.client(None)).await;
    assert!(server.client().is_none());
    let own = world.clients.issue("meter");
    let (server, _) = accepted(&context, world.client(Some(&own))).await;
    let certificate = server.client().unwrap().certificate();
    assert_eq!(certificate.common_name.as_deref(), Some("meter"));
    let foreign = Authority::new("others").issue("meter");
    assert_eq!(reason(&context, world.client(Some(&foreign))).await, RefusalReason::UnknownCa);
}

#[tokio::test]
async fn a_required_certificate_must_be_there_in_both_versions() {
    let world = World::new(ClientAuth::Required);
    let context = world.context();
    for version in [&TLS12, &TLS13] {
        let (refusal, told) = refused(&context, world.client_of(&[version], None)).await;
        assert_eq!(refusal.reason, RefusalReason::NoCertificate);
        assert!(refusal.detail.contains("client_auth"), "{refusal}");
        assert!(told.contains("alert"), "{told}");
        let own = world.clients.issue("meter");
        accepted(&context, world.client_of(&[version], Some(&own))).await;
    }
}

#[tokio::test]
async fn unfit_certificates_are_refused_with_their_reason_and_the_client_is_told() {
    let world = World::new(ClientAuth::Required);
    let context = world.context();
    let clients = &world.clients;
    let expired = clients.issue_with("a", |params| params.not_after = date_time_ymd(2021, 1, 1));
    let early = clients.issue_with("b", |params| params.not_before = date_time_ymd(2120, 1, 1));
    let server = clients.issue_with("c", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let foreign = Authority::new("others").issue("d");
    let namesake = Authority::new("clients").issue("e");
    let authority = clients.issue_with("f", |params| {
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    for (certificate, reason, told) in [
        (&expired, RefusalReason::Expired, "CertificateExpired"),
        (&early, RefusalReason::Expired, "CertificateExpired"),
        (&server, RefusalReason::BadCertificate, "alert"),
        (&foreign, RefusalReason::UnknownCa, "UnknownCA"),
        (&namesake, RefusalReason::UnknownCa, "alert"),
        (&authority, RefusalReason::BadCertificate, "alert"),
    ] {
        for version in [&TLS12, &TLS13] {
            let client = world.client_of(&[version], Some(certificate));
            let (refusal, alert) = refused(&context, client).await;
            assert_eq!(refusal.reason, reason, "{refusal}");
            assert!(alert.contains(told) || version.version == TLS12.version, "{alert}");
        }
    }
}

#[tokio::test]
async fn more_certificates_than_a_chain_has_are_refused_before_they_are_tried_in_all_orders() {
    let world = World::new(ClientAuth::Required);
    let context = world.context();
    // Each of them may have issued each other.
    let namesakes: Vec<_> = (0..6).map(|_| Authority::new("x")).collect();
    let own = namesakes[0].issue("meter");
    let chain = |others: usize| {
        let others = namesakes[..others].iter().map(Authority::pem);
        let pem: String = [own.pem.clone()].into_iter().chain(others).collect();
        client(&world.servers.pem(), &[&TLS13], Some((pem, own.key.serialize_pem())))
    };
    assert_eq!(reason(&context, chain(5)).await, RefusalReason::UnknownCa);
    let (refusal, _) = refused(&context, chain(6)).await;
    assert_eq!(refusal.reason, RefusalReason::BadCertificate);
    assert!(refusal.detail.contains("at most 6"), "{refusal}");
}

#[tokio::test]
async fn a_hello_that_is_larger_than_any_is_refused_before_it_is_kept() {
    let world = World::new(ClientAuth::Off);
    let (near, mut far) = duplex(64 * 1024);
    // A handshake message of 60,000 bytes, in records of 16,384 (RFC 8446, 4 and 5.1).
    let mut sent = Vec::new();
    for _ in 0..3 {
        sent.extend([0x16, 3, 1, 0x40, 0]);
        sent.extend([0; 16 * 1024]);
    }
    sent[5..9].copy_from_slice(&[1, 0, 0xEA, 0x60]);
    far.write_all(&sent).await.unwrap();
    drop(far);
    let refusal = world.context().accept(near, unlimited(), at_once).await.unwrap_err();
    assert!(refusal.detail.contains("24 KiB"), "{refusal}");
}

#[tokio::test]
async fn a_certificate_of_version_1_is_refused_with_what_to_do() {
    let world = World::new(ClientAuth::Required);
    world.write("ca.pem", include_str!("fixtures/authority.pem"));
    let pair = (
        include_str!("fixtures/version1.pem").to_owned(),
        include_str!("fixtures/sec1.key").to_owned(),
    );
    let client = client(&world.servers.pem(), &[&TLS13], Some(pair));
    let (refusal, _) = refused(&world.context(), client).await;
    assert_eq!(refusal.reason, RefusalReason::BadCertificate);
    assert!(refusal.detail.contains("-extfile"), "{refusal}");
}

#[tokio::test]
async fn a_chain_is_followed_up_to_its_bound() {
    let world = World::new(ClientAuth::Required);
    let context = world.context();
    let middle = world.clients.below("middle");
    let mut own = middle.issue("meter");
    assert_eq!(reason(&context, world.client(Some(&own))).await, RefusalReason::UnknownCa);
    let alone = own.pem.clone();
    own.pem = format!("{alone}{}", middle.pem());
    accepted(&context, world.client(Some(&own))).await;
    own.pem = format!("{alone}{}", middle.pem().repeat(50));
    let (refusal, _) = refused(&context, world.client(Some(&own))).await;
    assert_eq!(refusal.reason, RefusalReason::BadCertificate);
    assert!(refusal.detail.contains("16 KiB"), "{refusal}");
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_and_others_are_not() {
    let (mut good, mut bad) = (None, None);
    let world = World::with_crl(ClientAuth::Required, |clients| {
        let (one, two) = (clients.issue("good"), clients.issue("bad"));
        let crl = clients.crl(&[&two], 2120);
        (good, bad) = (Some(one), Some(two));
        crl
    });
    let context = world.context();
    accepted(&context, world.client(good.as_ref())).await;
    let (refusal, told) = refused(&context, world.client(bad.as_ref())).await;
    assert_eq!(refusal.reason, RefusalReason::Revoked);
    assert!(told.contains("CertificateRevoked"), "{told}");
}

#[tokio::test]
async fn the_newest_list_of_an_issuer_counts_wherever_it_stands() {
    let mut bad = None;
    let world = World::with_crl(ClientAuth::Required, |clients| {
        let one = clients.issue("bad");
        let old = clients.crl_of(Vec::new(), 2019, 2120);
        let new = clients.crl_of(vec![one.serial.clone()], 2022, 2120);
        bad = Some(one);
        format!("{old}{new}")
    });
    assert_eq!(reason(&world.context(), world.client(bad.as_ref())).await, RefusalReason::Revoked);
}

#[tokio::test]
async fn an_authority_between_is_revoked_with_all_that_it_issued() {
    let mut world = World::new(ClientAuth::Required);
    let middle = world.clients.below("middle");
    let mut own = middle.issue("meter");
    own.pem = format!("{}{}", own.pem, middle.pem());
    world.settings.crl_file = Some(world.path("crl.pem"));
    // No list of the authority itself: its status is unknown, which does not matter.
    world.write("crl.pem", &middle.crl(&[], 2120));
    let context = world.context();
    accepted(&context, world.client(Some(&own))).await;
    // Nothing about the client: it is refused.
    world.write("crl.pem", &world.clients.crl(&[], 2120));
    context.reload().unwrap();
    let unknown = RefusalReason::RevocationUnknown;
    assert_eq!(reason(&context, world.client(Some(&own))).await, unknown);
    let revoked = world.clients.crl_of(vec![middle.serial()], 2020, 2120);
    world.write("crl.pem", &format!("{}{revoked}", middle.crl(&[], 2120)));
    context.reload().unwrap();
    assert_eq!(reason(&context, world.client(Some(&own))).await, RefusalReason::Revoked);
}

#[tokio::test]
async fn an_expired_list_refuses_or_is_used_and_is_warned_about() {
    let mut own = None;
    let mut world = World::with_crl(ClientAuth::Required, |clients| {
        own = Some(clients.issue("meter"));
        clients.crl(&[], 2021)
    });
    let context = world.context();
    let (refusal, _) = refused(&context, world.client(own.as_ref())).await;
    assert_eq!(refusal.reason, RefusalReason::RevocationUnknown);
    assert!(refusal.detail.contains("expired_crl"), "{refusal}");
    assert!(context.warnings()[0].contains("are refused"), "{:?}", context.warnings());
    world.settings.expired_crl = ExpiredCrl::Warn;
    let context = world.context();
    accepted(&context, world.client(own.as_ref())).await;
    assert!(context.warnings()[0].contains("still used"), "{:?}", context.warnings());
}

#[tokio::test]
async fn an_expired_own_certificate_warns_and_works() {
    let world = World::new(ClientAuth::Off);
    let server = world
        .servers
        .issue_with("localhost", |params| params.not_after = date_time_ymd(2021, 1, 1));
    world.write("server.pem", &server.pem);
    world.write("server.key", &server.key.serialize_pem());
    let context = world.context();
    assert!(context.warnings()[0].contains("expired on Jan"), "{:?}", context.warnings());
    // This client minds, which is the client's business.
    let (server, _) = handshake(&context, world.client(None)).await;
    let refusal = server.err().unwrap();
    assert_eq!(refusal.reason, RefusalReason::ByClient);
    assert!(refusal.detail.contains("CertificateExpired"), "{refusal}");
}

#[tokio::test]
async fn clients_that_do_not_speak_tls_are_recognized_at_their_first_byte() {
    let world = World::new(ClientAuth::Off);
    let context = world.context();
    for (sent, reason, detail) in [
        (&b"\x10\x0c\x00\x04MQTT\x04"[..], RefusalReason::NotTls, "mqtts://"),
        (b"G", RefusalReason::NotTls, "wss://"),
        (b"PROXY TCP4 192.0.2.1", RefusalReason::NotTls, "proxy_protocol"),
        (b"\r\n\r\n\0\r\nQUIT\n", RefusalReason::NotTls, "proxy_protocol"),
        (b"\x00\x00", RefusalReason::NotTls, "does not speak TLS"),
        (b"\x80\x2e\x01\x00\x02", RefusalReason::UnsupportedVersion, "SSL 2.0"),
        (b"\x16\x03\x01\x00\x05hello", RefusalReason::Other, "not valid TLS"),
    ] {
        let (near, mut far) = duplex(1024);
        far.write_all(sent).await.unwrap();
        let refusal = context.accept(near, unlimited(), at_once).await.err().unwrap();
        assert_eq!(refusal.reason, reason, "{refusal}");
        assert!(refusal.detail.contains(detail), "{refusal}");
    }
}

#[tokio::test]
async fn a_probe_is_told_apart_from_a_handshake_that_breaks_off() {
    let world = World::new(ClientAuth::Off);
    let context = world.context();
    for (sent, is_probe) in [(&b""[..], true), (b"\x16\x03\x01\x02\x00\x01", false)] {
        let (near, mut far) = duplex(1024);
        far.write_all(sent).await.unwrap();
        drop(far);
        let refusal = context.accept(near, unlimited(), at_once).await.err().unwrap();
        assert_eq!((refusal.reason, refusal.is_probe), (RefusalReason::Io, is_probe));
    }
}
