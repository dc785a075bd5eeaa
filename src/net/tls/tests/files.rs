//! Which files can be used, and what is said about the others.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rustls::version::{TLS12, TLS13};

use super::support::*;
use crate::config::ClientAuth;

const SEC1: &str = include_str!("fixtures/sec1.key");
const PKCS1: &str = include_str!("fixtures/pkcs1.key");
const RSA: &str = include_str!("fixtures/rsa.pem");

/// The error after a file is replaced, without its path.
fn error(file: &str, text: &str) -> String {
    let world = World::new(ClientAuth::Required);
    world.write(file, text);
    let error = world.load().err().unwrap().to_string();
    assert!(error.contains(world.path(file).to_str().unwrap()), "{error}");
    error.replace(world.path("").to_str().unwrap(), "")
}

#[tokio::test]
async fn keys_are_read_as_pkcs1_and_sec1_and_with_the_certificate_in_one_file() {
    let mut world = World::new(ClientAuth::Off);
    world.write("server.pem", RSA);
    world.write("server.key", PKCS1);
    for version in [&TLS12, &TLS13] {
        accepted(&world.context(), client(RSA, &[version], None)).await;
    }
    world.write("both.pem", &format!("# ours\n{PKCS1}{RSA}"));
    world.settings.certificate_file = Some(world.path("both.pem"));
    world.settings.key_file = Some(world.path("both.pem"));
    accepted(&world.context(), client(RSA, &[&TLS13], None)).await;
    // The certificate of this key is for a subject that no client asks for; loading is enough.
    world.write("both.pem", &format!("{}{SEC1}", include_str!("fixtures/names.pem")));
    world.load().unwrap();
}

#[test]
fn a_file_that_is_missing_or_not_set_is_named() {
    let mut world = World::new(ClientAuth::Optional);
    fs::remove_file(world.path("ca.pem")).unwrap();
    let error = world.load().err().unwrap().to_string();
    assert!(error.starts_with("listeners.secure.tls.client_ca_file: "), "{error}");
    assert!(error.contains("No such file"), "{error}");
    world.settings.key_file = None;
    let error = world.load().err().unwrap().to_string();
    assert!(error.starts_with("listeners.secure.tls.key_file is not set: "), "{error}");
}

#[test]
fn what_is_wrong_with_a_file_is_said_and_no_key_is_shown() {
    let server = World::new(ClientAuth::Off);
    let key = fs::read_to_string(server.path("server.key")).unwrap();
    let pem = fs::read_to_string(server.path("server.pem")).unwrap();
    for (file, text, expected) in [
        ("server.pem", "", "no certificate in it"),
        ("server.pem", key.as_str(), "no certificate in it"),
        ("server.pem", &pem[..pem.len() / 2], "breaks off"),
        ("server.pem", &pem.replacen('M', "!", 1), "not valid PEM"),
        ("server.pem", include_str!("fixtures/version1.pem"), "version 3"),
        ("server.key", "", "no private key in it"),
        ("server.key", &key[..key.len() / 2], "breaks off"),
        ("server.key", key.as_str(), "not the key of the first certificate"),
        ("server.key", include_str!("fixtures/encrypted-pkcs8.key"), "encrypted"),
        ("server.key", include_str!("fixtures/encrypted-sec1.key"), "encrypted"),
        ("ca.pem", "nothing", "no certificate in it"),
    ] {
        let error = error(file, text);
        assert!(error.contains(expected), "{file}, {expected}: {error}");
        assert!(!error.contains(key.lines().nth(1).unwrap()), "{error}");
    }
    let mut world = World::with_crl(ClientAuth::Required, |_| pem.clone());
    let error = world.load().err().unwrap().to_string();
    assert!(error.contains("crl_file") && error.contains("no revocation list"), "{error}");
    world.settings.client_auth = ClientAuth::Off;
    let warnings = world.context().warnings();
    assert!(warnings.iter().any(|line| line.starts_with("crl_file has no effect")), "{warnings:?}");
}

#[test]
fn damaged_der_is_named_by_its_number() {
    let world = World::new(ClientAuth::Off);
    let pem = fs::read_to_string(world.path("server.pem")).unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let error = error("ca.pem", &format!("{pem}{broken}"));
    assert!(error.contains("certificate 2 in it"), "{error}");
}

#[test]
fn a_key_that_everyone_may_read_is_pointed_out() {
    let world = World::new(ClientAuth::Off);
    assert!(world.context().warnings().is_empty());
    fs::set_permissions(world.path("server.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = world.context().warnings();
    assert!(warnings[0].contains("server.key"), "{warnings:?}");
    // As Kubernetes mounts a Secret with defaultMode 0440.
    fs::set_permissions(world.path("server.key"), fs::Permissions::from_mode(0o440)).unwrap();
    assert!(world.context().warnings().is_empty());
}

#[test]
fn an_authority_without_a_list_is_pointed_out() {
    let world = World::with_crl(ClientAuth::Required, |clients| clients.crl(&[], 2120));
    assert!(world.context().warnings().is_empty());
    let others = Authority::new("others");
    world.write("ca.pem", &format!("{}{}", world.clients.pem(), others.pem()));
    let warnings = world.context().warnings();
    assert!(warnings[0].contains("CN=others"), "{warnings:?}");
}

#[test]
fn times_for_metrics_are_those_of_the_files() {
    let world = World::with_crl(ClientAuth::Required, |clients| clients.crl(&[], 2030));
    let expiry = world.context().expiry();
    // 2030-01-01 and rcgen's default, 4096-01-01, in UTC.
    assert_eq!(expiry.crl, Some(1_893_456_000));
    assert_eq!(expiry.certificate, 67_090_118_400);
}
