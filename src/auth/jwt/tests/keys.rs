//! Keys that cannot be used, and where they come from.

use std::path::PathBuf;

use super::super::error::KeyError;
use super::super::jwk::{self, Source};
use super::super::key_set::MAX_KEYS;
use super::super::pem;
use super::*;

/// A directory with one file, and its path.
fn file(text: impl AsRef<[u8]>) -> (tempfile::TempDir, Option<PathBuf>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    std::fs::write(&path, text).unwrap();
    (directory, Some(path))
}

fn secret_file(text: &str) -> Result<JwtVerifier, JwtError> {
    let (_directory, secret_file) = file(text);
    JwtVerifier::load(&AuthJwt { secret_file, ..AuthJwt::default() })
}

#[test]
fn a_secret_is_the_whole_file_but_one_line_end() {
    let token = token(&good());
    for text in [SECRET.to_owned(), format!("{SECRET}\n"), format!("{SECRET}\r\n")] {
        assert!(verify(&secret_file(&text).unwrap(), &token).is_ok(), "{text:?}");
    }
    for text in [format!("{SECRET}\n\n"), format!(" {SECRET}"), format!("{SECRET}\t")] {
        assert_eq!(verify(&secret_file(&text).unwrap(), &token), Err(Refused::Signature));
    }
    // Warned of, and used.
    secret_file("short").unwrap();
    for (text, expected) in [("", KeyError::Empty), ("\n", KeyError::Empty)] {
        let error = secret_file(text).unwrap_err();
        assert!(matches!(error, JwtError::Key { problem, .. } if problem == expected));
    }
    let error = secret_file(&Signer::p256().pem()).unwrap_err();
    assert!(matches!(error, JwtError::Key { problem: KeyError::PemSecret, .. }), "{error}");
}

#[test]
fn without_a_key_nothing_starts() {
    assert!(matches!(JwtVerifier::load(&AuthJwt::default()), Err(JwtError::NoKey)));
    let none = Some(PathBuf::from("/none"));
    for config in [
        AuthJwt { secret_file: none.clone(), ..config() },
        AuthJwt { key_file: none.clone(), ..config() },
        AuthJwt { jwks_file: none, ..config() },
        AuthJwt { key_file: Some("/dev/zero".into()), ..config() },
    ] {
        assert!(matches!(JwtVerifier::load(&config), Err(JwtError::Read { .. })));
    }
    let long = file(vec![b' '; super::super::remote::MAX_BODY + 1]);
    let error = JwtVerifier::load(&AuthJwt { jwks_file: long.1, ..config() }).unwrap_err();
    assert!(error.to_string().contains("longer than 1048576 bytes"), "{error}");
    let error = JwtVerifier::load(&AuthJwt { jwks_url: "id.example".into(), ..config() });
    assert!(matches!(error, Err(JwtError::Url(_))));
}

#[test]
fn several_kinds_of_keys_can_be_configured_together() {
    let (a, b) = (Signer::p256(), Signer::ed25519());
    let (_one, key_file) = file(a.pem());
    let (_two, jwks_file) = file(json!({"keys": [b.jwk("b")]}).to_string());
    let all = verifier(&AuthJwt { key_file, jwks_file, ..config() });
    for token in [
        token(&good()),
        a.token("ES256", &good()),
        a.token_of("ES256", "anything", &good()),
        b.token_of("EdDSA", "b", &good()),
    ] {
        assert!(verify(&all, &token).is_ok());
    }
}

#[test]
fn pem_without_a_usable_public_key_is_refused() {
    let Signer::Pair(pair) = Signer::p256() else { unreachable!() };
    let broken = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    for (text, expected) in [
        ("", KeyError::NoPem),
        ("no pem", KeyError::NoPem),
        (&*pair.serialize_pem(), KeyError::Private),
        (broken, KeyError::Pem("PUBLIC KEY".to_owned())),
        (include_str!("rsa_1024.pem"), KeyError::RsaBits(1024)),
    ] {
        assert_eq!(pem::keys(text.as_bytes()), Err(expected));
    }
    let half = Signer::rsa().pem();
    let half = half.get(..half.len() / 2).unwrap();
    pem::keys(half.as_bytes()).unwrap_err();
}

fn set(keys: &Value) -> Result<(usize, Vec<KeyError>), KeyError> {
    let (keys, skipped) = jwk::keys(json!({"keys": keys}).to_string().as_bytes(), Source::File)?;
    Ok((keys.len(), skipped.into_iter().map(|it| it.problem).collect()))
}

#[test]
fn keys_that_cannot_be_used_are_skipped_and_named() {
    let changed = |signer: Signer, more: Value| {
        let mut key = signer.jwk("k");
        key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        key
    };
    let unsupported = |what: &str| KeyError::Unsupported(format!("{what} is not supported"));
    for (key, expected) in [
        (json!(1), KeyError::Value("kty")),
        (json!({}), KeyError::Value("kty")),
        (json!({"kty": "XYZ"}), unsupported("the key type `XYZ`")),
        (changed(Signer::p256(), json!({"crv": "P-521"})), unsupported("the curve `P-521`")),
        (changed(Signer::ed25519(), json!({"crv": "X25519"})), unsupported("the curve `X25519`")),
        (changed(Signer::p256(), json!({"crv": "P-384"})), KeyError::Value("x")),
        (changed(Signer::p256(), json!({"y": "AA"})), KeyError::Value("y")),
        (changed(Signer::p256(), json!({"x": "="})), KeyError::Value("x")),
        (changed(Signer::rsa(), json!({"e": "AA"})), KeyError::Value("e")),
        (changed(Signer::rsa(), json!({"e": "AQ"})), KeyError::Value("e")),
        (changed(Signer::rsa(), json!({"e": "AQABAQAB"})), KeyError::Value("e")),
        (changed(Signer::rsa(), json!({"n": "AQAB"})), KeyError::RsaBits(17)),
        (changed(Signer::rsa(), json!({"n": ""})), KeyError::Value("n")),
        (changed(Signer::rsa(), json!({"use": "enc"})), KeyError::Use),
        (changed(Signer::rsa(), json!({"key_ops": ["sign"]})), KeyError::Use),
        (
            changed(Signer::rsa(), json!({"alg": "RSA-OAEP"})),
            unsupported("the algorithm `RSA-OAEP`"),
        ),
        (changed(Signer::rsa(), json!({"alg": "ES256"})), KeyError::Value("alg")),
        (changed(Signer::rsa(), json!({"alg": "HS256"})), KeyError::Value("alg")),
        (changed(Signer::rsa(), json!({"kid": 1})), KeyError::Value("kid")),
        (json!({"kty": "oct", "k": ""}), KeyError::Empty),
    ] {
        let with_a_good_one = json!([key, Signer::p256().jwk("good")]);
        assert_eq!(set(&with_a_good_one), Ok((1, vec![expected.clone()])), "{key}");
        assert_eq!(set(&json!([key])), Err(KeyError::NoneUsable(expected.to_string())), "{key}");
    }
    let verifies = changed(Signer::rsa(), json!({"use": "sig", "key_ops": ["sign", "verify"]}));
    assert_eq!(set(&json!([verifies])), Ok((1, vec![])));
}

#[test]
fn a_set_is_an_object_with_a_bounded_list() {
    assert_eq!(set(&json!([])), Err(KeyError::NoKeys));
    for text in ["", "{}", "[]", r#"{"keys":{}}"#, "{\"keys\":["] {
        let error = jwk::keys(text.as_bytes(), Source::File).unwrap_err();
        assert!(matches!(error, KeyError::Set(_)), "{error}");
    }
    let key = Signer::p256().jwk("k");
    assert_eq!(set(&json!(vec![key.clone(); MAX_KEYS])), Ok((MAX_KEYS, vec![])));
    assert_eq!(set(&json!(vec![key; MAX_KEYS + 1])), Err(KeyError::TooMany));
}

#[test]
fn a_secret_from_a_url_is_none() {
    let text = json!({"keys": [Signer::secret(SECRET).jwk("k")]}).to_string();
    let error = jwk::keys(text.as_bytes(), Source::Url).unwrap_err();
    assert_eq!(error, KeyError::NoneUsable(KeyError::PublicSecret.to_string()));
}

#[test]
fn nothing_that_is_printed_has_a_key() {
    let shown = format!("{:?}", verifier(&config()));
    assert!(!shown.contains(SECRET) && shown.contains("secret"), "{shown}");
}
