//! What a client's certificate says.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};

use crate::net::tls::ClientIdentity;

#[test]
fn a_certificate_reads_as_openssl_prints_it() {
    let pem = include_str!("fixtures/names.pem");
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let client = ClientIdentity::new(&[der], UnixTime::now(), 0).unwrap();
    let certificate = client.certificate();
    // `openssl x509 -noout -nameopt RFC2253 -subject -serial -fingerprint -sha256`
    assert_eq!(
        &*certificate.subject,
        r#"CN=meter 7,CN=first+serialNumber=42,1.2.3.4=#0C036F776E,DC=example,UID=u1,emailAddress=a@b.example,OU=M\C3\BCller \E2\82\AC,OU=\ lead\ ,OU=\#hash,O=ACME\, Inc. \"x\" \<y\>\; a\+b\\c,C=DE"#
    );
    assert_eq!(certificate.common_name.as_deref(), Some("first"));
    let names: Vec<&str> = certificate.alternative_names.iter().map(AsRef::as_ref).collect();
    assert_eq!(names, ["meter-7.example", "a@b.example", "urn:x:7"]);
    let serial = 0x475D_E9D5_A9D3_A0CF_5D1C_1144_AC68_CE87_u128.to_be_bytes();
    assert_eq!(&*certificate.serial, &[&serial[..], &[0xE1, 0xC2, 0xD0, 0x81]].concat());
    assert_eq!(
        &*certificate.fingerprint,
        "01d9a3eff4afd060c813e3e604eac5ab5e919ebf2b10dcf78bf9575679178e91"
    );
    // Self-signed, and a SEQUENCE (X.690, 8.9).
    assert_eq!(certificate.issuer.first(), Some(&0x30));
}
