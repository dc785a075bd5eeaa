//! Public keys in PEM: `PUBLIC KEY` (RFC 5280), `RSA PUBLIC KEY` (RFC 8017), and certificates.

use x509_parser::asn1_rs::{FromDer, oid};
use x509_parser::certificate::X509Certificate;
use x509_parser::pem::Pem;
use x509_parser::public_key::{PublicKey, RSAPublicKey};
use x509_parser::x509::SubjectPublicKeyInfo;

use super::error::KeyError;
use super::key::{Curve, Key};
use super::key_set::MAX_KEYS;

/// All public keys of the text. Of its certificates only the first counts: the others of a
/// chain belong to those who issued it, and they do not sign tokens. Whether it has expired is
/// not asked; it is a form of the key.
pub fn keys(text: &[u8]) -> Result<Vec<Key>, KeyError> {
    let mut keys = Vec::new();
    let mut has_certificate = false;
    for block in Pem::iter_from_buffer(text) {
        let block = block.map_err(|error| KeyError::Pem(error.to_string()))?;
        let invalid = || KeyError::Pem(block.label.clone());
        match block.label.as_str() {
            "PUBLIC KEY" => {
                let (rest, info) =
                    SubjectPublicKeyInfo::from_der(&block.contents).map_err(|_| invalid())?;
                if !rest.is_empty() {
                    return Err(invalid());
                }
                keys.push(key(&info)?);
            }
            "RSA PUBLIC KEY" => {
                let (_, rsa) = RSAPublicKey::from_der(&block.contents).map_err(|_| invalid())?;
                keys.push(Key::rsa(rsa.modulus, rsa.exponent)?);
            }
            "CERTIFICATE" if !has_certificate => {
                let (_, certificate) =
                    X509Certificate::from_der(&block.contents).map_err(|_| invalid())?;
                keys.push(key(certificate.public_key())?);
                has_certificate = true;
            }
            label if label.ends_with("PRIVATE KEY") => return Err(KeyError::Private),
            _ => {}
        }
        if keys.len() > MAX_KEYS {
            return Err(KeyError::TooMany);
        }
    }
    if keys.is_empty() { Err(KeyError::NoPem) } else { Ok(keys) }
}

fn key(info: &SubjectPublicKeyInfo<'_>) -> Result<Key, KeyError> {
    let algorithm = &info.algorithm.algorithm;
    let bytes: &[u8] = &info.subject_public_key.data;
    // RFC 8410, 3.
    if *algorithm == oid!(1.3.101.112) {
        return Key::ed25519(bytes);
    }
    match info.parsed() {
        Ok(PublicKey::RSA(rsa)) => Key::rsa(rsa.modulus, rsa.exponent),
        Ok(PublicKey::EC(_)) => {
            let curve = info.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
            // RFC 5480, 2.1.1.1.
            let curve = match curve {
                Some(curve) if curve == oid!(1.2.840.10045.3.1.7) => Curve::P256,
                Some(curve) if curve == oid!(1.3.132.0.34) => Curve::P384,
                _ => return Err(KeyError::Unsupported("an elliptic key on another curve".into())),
            };
            Key::elliptic(curve, bytes)
        }
        _ => Err(KeyError::Unsupported(format!("a key of the algorithm {algorithm}"))),
    }
}
