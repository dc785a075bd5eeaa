//! Files of TLS that cannot be used are told with their key and path, before anything is
//! dialled.

use crate::config::ClientAuth;
use crate::net::dial::ClientTls;
use crate::net::tls::tests::support::World;

fn error(tls: &ClientTls) -> String {
    tls.load().err().unwrap().to_string()
}

#[test]
fn a_file_that_cannot_be_used_is_told_with_its_key() {
    let world = World::new(ClientAuth::Off);
    let issued = world.clients.issue("edge");
    world.write("client.pem", &issued.pem);
    world.write("client.key", &world.clients.issue("edge").key.serialize_pem());
    let at = |name: &str| Some(world.path(name));
    let trusted = ClientTls { ca_file: at("ca.pem"), ..ClientTls::default() };
    trusted.load().unwrap();
    let pair = |certificate, key| ClientTls {
        certificate_file: certificate,
        key_file: key,
        ..trusted.clone()
    };
    for (tls, key, what) in [
        (pair(at("client.pem"), None), "tls.key_file", "is not set"),
        (pair(None, at("client.key")), "tls.certificate_file", "is not set"),
        (pair(at("client.pem"), at("client.key")), "tls.key_file", "client.pem"),
        (pair(at("none.pem"), at("client.key")), "tls.certificate_file", "none.pem"),
        (pair(at("client.pem"), at("client.pem")), "tls.key_file", "no private key"),
        (ClientTls { ca_file: at("none.pem"), ..ClientTls::default() }, "tls.ca_file", "none.pem"),
        (ClientTls { ca_file: at("client.key"), ..ClientTls::default() }, "tls.ca_file", "PEM"),
    ] {
        let error = error(&tls);
        assert!(error.starts_with(key) && error.contains(what), "{error}");
    }
}

#[test]
fn a_host_that_no_certificate_can_have_needs_a_server_name() {
    let tls = ClientTls::default();
    assert!(tls.name("my_broker").is_ok());
    assert!(tls.name("broker.example.").is_ok());
    let error = tls.name("a b").unwrap_err().to_string();
    assert!(error.contains("tls.server_name"), "{error}");
}
