//! The form of tokens, their algorithms, and the selection of keys.

use base64::Engine as _;
use proptest::prelude::*;

use super::signer::base64;
use super::*;

/// A verifier with the keys of a set in a file.
fn with_set(keys: &Value) -> JwtVerifier {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    std::fs::write(&path, json!({"keys": keys}).to_string()).unwrap();
    verifier(&AuthJwt { jwks_file: Some(path), ..AuthJwt::default() })
}

/// A verifier with a key file.
fn with_pem(pem: &str) -> JwtVerifier {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pem");
    std::fs::write(&path, pem).unwrap();
    verifier(&AuthJwt { key_file: Some(path), ..AuthJwt::default() })
}

/// A signer of each type with the algorithms of that type.
fn signers() -> [(Signer, &'static [&'static str]); 5] {
    [
        (Signer::secret(SECRET), &["HS256", "HS384", "HS512"]),
        (Signer::rsa(), &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]),
        (Signer::p256(), &["ES256"]),
        (Signer::p384(), &["ES384"]),
        (Signer::ed25519(), &["EdDSA", "Ed25519"]),
    ]
}

#[test]
fn each_algorithm_is_verified_by_keys_of_its_type_only() {
    for (index, (signer, algorithms)) in signers().iter().enumerate() {
        for algorithm in *algorithms {
            let token = signer.token(algorithm, &good());
            let own = with_set(&json!([signer.jwk("k")]));
            assert_eq!(&*verify(&own, &token).unwrap().username, "ann", "{algorithm}");
            for (other, (key, _)) in signers().iter().enumerate() {
                if other != index {
                    let refused = verify(&with_set(&json!([key.jwk("k")])), &token).unwrap_err();
                    assert_eq!(refused, Refused::KeyType, "{algorithm} with key {other}");
                }
            }
        }
    }
}

#[test]
fn a_public_key_is_no_secret() {
    let signer = Signer::rsa();
    let by_public_key = Signer::secret(signer.pem()).token("HS256", &good());
    assert_eq!(verify(&with_pem(&signer.pem()), &by_public_key), Err(Refused::KeyType));
    assert_eq!(verify(&with_set(&json!([signer.jwk("k")])), &by_public_key), Err(Refused::KeyType));
}

#[test]
fn a_token_by_another_key_is_refused() {
    let others = [Signer::secret("x".repeat(32)), Signer::p256(), Signer::ed25519()];
    for (signer, algorithm) in others.iter().zip(["HS256", "ES256", "EdDSA"]) {
        let mine = match algorithm {
            "HS256" => Signer::secret(SECRET),
            "ES256" => Signer::p256(),
            _ => Signer::ed25519(),
        };
        let token = signer.token(algorithm, &good());
        let refused = verify(&with_set(&json!([mine.jwk("k")])), &token);
        assert_eq!(refused, Err(Refused::Signature), "{algorithm}");
    }
}

#[test]
fn a_signature_of_another_form_is_refused() {
    // ASN.1 in place of r and s, as OpenSSL writes it.
    let der =
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode([0x30, 0x06, 2, 1, 1, 2, 1, 1]);
    let signer = Signer::p256();
    let own = with_set(&json!([signer.jwk("k")]));
    let token = signer.token("ES256", &good());
    let (message, _) = token.rsplit_once('.').unwrap();
    assert_eq!(verify(&own, &format!("{message}.{der}")), Err(Refused::Signature));
    assert_eq!(verify(&own, &format!("{message}.")), Err(Refused::Signature));
}

#[test]
fn none_is_no_algorithm_however_it_is_written() {
    for algorithm in ["none", "None", "NONE", "nOnE", "", "HS1", "hs256", "ES512", "ES256K", "dir"]
    {
        let token = Signer::secret(SECRET).token(algorithm, &good());
        let (message, _) = token.rsplit_once('.').unwrap();
        for token in [&token, &format!("{message}.")] {
            let refused = verify(&verifier(&config()), token);
            assert_eq!(refused, Err(Refused::Algorithm), "{algorithm}");
        }
    }
}

#[test]
fn what_is_no_token_is_left_to_other_methods() {
    let header = base64(r#"{"alg":"HS256"}"#);
    for password in [
        "",
        "secret",
        "a.b",
        "a.b.c",
        "..",
        &format!("{header}.x"),
        &format!("{header}.x.y.z"),
        &format!("{header}.x.y="),
        &format!("{header}.x y.z"),
        &format!("{header}==.x.y"),
        &format!("{}.x.y", base64(r#"{"typ":"JWT"}"#)),
        &format!("{}.x.y", base64(r#"{"alg":1}"#)),
        &format!("{}.x.y", base64(r#"["alg"]"#)),
        &format!("{}.x.y", base64("alg")),
        &format!("{}.x.y", base64([0xFF])),
    ] {
        assert!(!looks_like_token(password.as_bytes()), "{password}");
        assert_eq!(verify(&verifier(&config()), password), Err(Refused::NotMine), "{password}");
    }
    assert!(!looks_like_token(&[0xFF, b'.', b'.']));
}

#[test]
fn what_looks_like_a_token_is_refused_and_not_left_to_others() {
    let by_secret =
        |header: &str, claims: &str| Signer::secret(SECRET).sign("HS256", header, claims);
    let header = r#"{"alg":"HS256"}"#;
    let claims = good().to_string();
    for (token, expected) in [
        (by_secret(r#"{"alg":"HS256","alg":"HS256"}"#, &claims), Refused::Malformed("its header")),
        (by_secret(r#"{"alg":"HS256","kid":1}"#, &claims), Refused::Malformed("its `kid`")),
        (by_secret(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, &claims), Refused::Critical),
        (
            by_secret(header, r#"{"sub":"ann","sub":"bob","exp":9e9}"#),
            Refused::Malformed("its claims"),
        ),
        (
            by_secret(header, r#"{"sub":"ann","exp":9e9,"acl":{"pub":["a"],"pub":["b"]}}"#),
            Refused::Malformed("its claims"),
        ),
        (by_secret(header, "[]"), Refused::Malformed("its claims")),
        (by_secret(header, ""), Refused::Malformed("its claims")),
        (format!("{}..A", base64(header)), Refused::Malformed("its signature")),
        (format!("{}..", base64(header)), Refused::Signature),
    ] {
        assert!(looks_like_token(token.as_bytes()), "{token}");
        assert_eq!(verify(&verifier(&config()), &token), Err(expected), "{token}");
    }
}

#[test]
fn a_token_is_bounded() {
    let padded = |count| token(&good_with(json!({"x": "x".repeat(count)})));
    assert!(verify(&verifier(&config()), &padded(40_000)).is_ok());
    assert_eq!(verify(&verifier(&config()), &padded(60_000)), Err(Refused::TooLong));
}

#[test]
fn kid_selects_a_key_and_without_it_all_are_tried() {
    let (a, b) = (Signer::p256(), Signer::p256());
    let set = with_set(&json!([a.jwk("a"), b.jwk("b")]));
    assert!(verify(&set, &b.token_of("ES256", "b", &good())).is_ok());
    assert!(verify(&set, &b.token("ES256", &good())).is_ok());
    assert_eq!(verify(&set, &b.token_of("ES256", "a", &good())), Err(Refused::Signature));
    assert_eq!(verify(&set, &b.token_of("ES256", "c", &good())), Err(Refused::UnknownKey));
    // Two keys of one name, while it changes.
    let set = with_set(&json!([a.jwk("k"), b.jwk("k")]));
    assert!(verify(&set, &b.token_of("ES256", "k", &good())).is_ok());
    // A key without a name is for tokens with any.
    let mut unnamed = b.jwk("");
    unnamed.as_object_mut().unwrap().remove("kid");
    let set = with_set(&json!([a.jwk("a"), unnamed]));
    assert!(verify(&set, &b.token_of("ES256", "c", &good())).is_ok());
    assert_eq!(verify(&set, &b.token_of("ES256", "a", &good())), Err(Refused::Signature));
    assert_eq!(verify(&set, &a.token_of("ES256", "c", &good())), Err(Refused::UnknownKey));
}

#[test]
fn a_token_without_kid_costs_a_bounded_number_of_signatures() {
    use super::super::key_set::MAX_TRIES;
    let last = Signer::ed25519();
    let others = (1..MAX_TRIES).map(|index| Signer::ed25519().jwk(&index.to_string()));
    let mut keys: Vec<Value> = others.collect();
    keys.push(last.jwk("last"));
    assert!(verify(&with_set(&keys.clone().into()), &last.token("EdDSA", &good())).is_ok());
    keys.insert(0, Signer::ed25519().jwk("one more"));
    let set = with_set(&keys.into());
    assert_eq!(verify(&set, &last.token("EdDSA", &good())), Err(Refused::Signature));
    assert!(verify(&set, &last.token_of("EdDSA", "last", &good())).is_ok());
}

#[test]
fn a_key_may_be_for_one_algorithm_only() {
    let signer = Signer::rsa();
    let mut key = signer.jwk("k");
    key["alg"] = "PS256".into();
    let set = with_set(&json!([key]));
    assert!(verify(&set, &signer.token("PS256", &good())).is_ok());
    assert_eq!(verify(&set, &signer.token("RS256", &good())), Err(Refused::KeyType));
}

#[test]
fn keys_are_read_from_pem_and_certificates() {
    let certificate = |signer: &Signer| {
        let Signer::Pair(pair) = signer else { panic!("no pair") };
        rcgen::CertificateParams::new([]).unwrap().self_signed(pair).unwrap().pem()
    };
    let pkcs1 = include_str!("rsa_2048_pkcs1.pem");
    assert!(verify(&with_pem(pkcs1), &Signer::rsa().token("RS256", &good())).is_ok());
    for (signer, algorithms) in signers().iter().skip(1) {
        let token = signer.token(algorithms[0], &good());
        assert!(verify(&with_pem(&signer.pem()), &token).is_ok(), "{algorithms:?}");
        if matches!(signer, Signer::Pair(_)) {
            assert!(verify(&with_pem(&certificate(signer)), &token).is_ok(), "{algorithms:?}");
        }
    }
    // Two keys, while it changes; but of a chain only the first certificate.
    let (a, b) = (Signer::p256(), Signer::p256());
    let both = with_pem(&format!("{}{}", a.pem(), b.pem()));
    let chain = with_pem(&format!("{}{}", certificate(&a), certificate(&b)));
    assert!(verify(&both, &b.token("ES256", &good())).is_ok());
    assert!(verify(&chain, &a.token("ES256", &good())).is_ok());
    assert_eq!(verify(&chain, &b.token("ES256", &good())), Err(Refused::Signature));
}

proptest! {
    #[test]
    fn no_password_is_a_token_by_chance(password in prop::collection::vec(any::<u8>(), 0..200)) {
        let refused = verifier(&config()).verify(&password, None, "c", NOW);
        prop_assert_eq!(refused, Err(Refused::NotMine));
    }

    #[test]
    fn a_changed_character_is_never_accepted(at in any::<prop::sample::Index>(), with in "[A-Za-z0-9_-]") {
        let token = token(&good());
        let at = at.index(token.len());
        let mut changed = token.clone();
        changed.replace_range(at..=at, &with);
        prop_assume!(changed != token);
        prop_assert!(verify(&verifier(&config()), &changed).is_err());
    }
}
