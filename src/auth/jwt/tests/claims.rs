//! Times, names and rules.

use super::*;
use crate::auth::acl::Effect;
use crate::config::{List, Span, TokenMatch};

/// The outcome of good claims with these, by a configuration with a leeway of 10 s.
fn with(more: Value) -> Result<Verified, Refused> {
    verify(&verifier(&config()), &token(&good_with(more)))
}

#[test]
fn a_token_holds_until_its_expiry_and_the_leeway() {
    let at = |now: u64| {
        let token = token(&good_with(json!({"exp": 1000})));
        verifier(&config()).verify(token.as_bytes(), None, "c", WallMillis(now))
    };
    assert_eq!(at(1_009_999).unwrap().expires_at, Some(WallMillis(1_010_000)));
    assert_eq!(at(1_010_000), Err(Refused::Expired));
    assert_eq!(at(u64::MAX), Err(Refused::Expired));
}

#[test]
fn a_token_does_not_hold_before_its_time_less_the_leeway() {
    let at = |now: u64| {
        let token = token(&good_with(json!({"nbf": 1000})));
        verifier(&config()).verify(token.as_bytes(), None, "c", WallMillis(now))
    };
    assert_eq!(at(989_999), Err(Refused::NotYet));
    assert!(at(990_000).is_ok());
}

#[test]
fn times_are_numbers_of_any_size() {
    let expires_at = |exp: Value| with(json!({"exp": exp})).map(|it| it.expires_at.unwrap().0);
    let whole = NOW_SECONDS * 1000 + 10_000;
    assert_eq!(expires_at(json!(NOW_SECONDS)), Ok(whole));
    assert_eq!(expires_at(json!(1_767_225_600.5)), Ok(whole + 500));
    assert_eq!(expires_at(json!(1e300)), Ok(u64::MAX));
    assert_eq!(expires_at(json!(u64::MAX)), Ok(u64::MAX));
    assert_eq!(expires_at(json!(-1)), Err(Refused::Expired));
    assert_eq!(expires_at(json!(-1e300)), Err(Refused::Expired));
    for exp in [json!("9999999999"), json!([1]), json!(true), json!({})] {
        assert_eq!(expires_at(exp), Err(Refused::Invalid("exp".into())));
    }
    assert_eq!(with(json!({"nbf": "0"})), Err(Refused::Invalid("nbf".into())));
    assert!(with(json!({"nbf": -5, "iat": NOW_SECONDS + 1_000_000})).is_ok());
    assert_eq!(with(json!({"nbf": 1e300})), Err(Refused::NotYet));
}

#[test]
fn an_expiry_is_required_unless_the_configuration_says_otherwise() {
    let without = token(&good_with(json!({"exp": null})));
    assert_eq!(verify(&verifier(&config()), &without), Err(Refused::Missing("exp".into())));
    let lax = verifier(&AuthJwt { require_expiry: false, ..config() });
    assert_eq!(verify(&lax, &without).unwrap().expires_at, None);
    let expired = token(&good_with(json!({"exp": 1})));
    assert_eq!(verify(&lax, &expired), Err(Refused::Expired));
}

#[test]
fn a_leeway_may_be_zero() {
    let strict = verifier(&AuthJwt { leeway: Span::ZERO, ..config() });
    let at = |exp: u64| verify(&strict, &token(&good_with(json!({"exp": exp}))));
    assert_eq!(at(NOW_SECONDS), Err(Refused::Expired));
    assert!(at(NOW_SECONDS + 1).is_ok());
}

#[test]
fn the_issuer_is_the_one_that_is_configured() {
    let strict = verifier(&AuthJwt { issuer: "https://id".to_owned(), ..config() });
    let by = |iss: Value| verify(&strict, &token(&good_with(json!({"iss": iss}))));
    assert!(by(json!("https://id")).is_ok());
    for iss in [json!(null), json!(""), json!("https://id/"), json!(["https://id"]), json!(1)] {
        assert_eq!(by(iss), Err(Refused::Issuer));
    }
    assert!(with(json!({"iss": "anyone"})).is_ok());
}

#[test]
fn the_audience_has_one_of_those_that_are_configured() {
    let audience = List(vec!["mqtt".to_owned(), "iot".to_owned()]);
    let strict = verifier(&AuthJwt { audience, ..config() });
    let to = |aud: Value| verify(&strict, &token(&good_with(json!({"aud": aud}))));
    for aud in [json!("mqtt"), json!("iot"), json!(["web", "iot"]), json!([1, "mqtt"])] {
        assert!(to(aud).is_ok());
    }
    for aud in [json!(null), json!("web"), json!([]), json!(["mq"]), json!(1), json!({"mqtt": 1})] {
        assert_eq!(to(aud), Err(Refused::Audience));
    }
    assert!(with(json!({"aud": "anyone"})).is_ok());
}

#[test]
fn a_user_name_is_text_without_control_characters() {
    assert_eq!(&*with(json!({"sub": "Zoë +#/%"})).unwrap().username, "Zoë +#/%");
    for sub in [
        json!(""),
        json!("a\0"),
        json!("a\n"),
        json!("\u{7f}"),
        json!("\u{9b}x"),
        json!(1),
        json!(["ann"]),
        json!({"name": "ann"}),
    ] {
        assert_eq!(with(json!({"sub": sub})), Err(Refused::Invalid("sub".into())));
    }
    assert_eq!(with(json!({"sub": null})), Err(Refused::Missing("sub".into())));
}

#[test]
fn a_named_claim_is_the_user_name() {
    let named = verifier(&AuthJwt { username_claim: "device".to_owned(), ..config() });
    let verified = verify(&named, &token(&good_with(json!({"device": "d1"}))));
    assert_eq!(&*verified.unwrap().username, "d1");
    assert_eq!(verify(&named, &token(&good())), Err(Refused::Missing("device".into())));
}

#[test]
fn the_user_name_can_be_required_to_match() {
    let token = token(&good());
    let connect = |must_match, username, client_id| {
        verifier(&AuthJwt { username_must_match: must_match, ..config() })
            .verify(token.as_bytes(), username, client_id, NOW)
            .map(|_| ())
    };
    assert_eq!(connect(TokenMatch::Off, Some("bob"), "x"), Ok(()));
    assert_eq!(connect(TokenMatch::Username, Some("ann"), "x"), Ok(()));
    for username in [None, Some(""), Some("bob"), Some("Ann")] {
        let refused = connect(TokenMatch::Username, username, "ann");
        assert_eq!(refused, Err(Refused::Mismatch("user name")));
    }
    assert_eq!(connect(TokenMatch::ClientId, None, "ann"), Ok(()));
    let refused = connect(TokenMatch::ClientId, Some("ann"), "x");
    assert_eq!(refused, Err(Refused::Mismatch("client id")));
}

#[test]
fn rules_come_with_the_token_in_their_order() {
    assert_eq!(with(json!({})).unwrap().rules, None);
    assert!(with(json!({"acl": []})).unwrap().rules.unwrap().list().is_empty());
    let rules = with(json!({"acl": [
        {"permission": "deny", "action": "publish", "topic": "t/secret"},
        {"permission": "allow", "action": "all", "topics": ["t/#", "${clientid}/${username}"]},
    ]}));
    let rules = rules.unwrap().rules.unwrap();
    let rules = rules.list();
    let effects: Vec<_> = rules.iter().map(|rule| rule.effect).collect();
    assert_eq!(effects, [Effect::Deny, Effect::Allow]);
    assert_eq!(rules[1].topics[1].as_str(), "%c/%u");
    let rules = with(json!({"acl": {"pub": ["a"], "sub": ["b"], "all": ["c"]}}));
    assert_eq!(rules.unwrap().rules.unwrap().list().len(), 3);
}

#[test]
fn rules_without_a_meaning_refuse_the_token() {
    let rule = |topic: &str| json!([{"permission": "allow", "action": "all", "topic": topic}]);
    for acl in [
        json!("all"),
        json!(1),
        json!({"publish": ["a"]}),
        json!([{"permission": "allow", "action": "all", "topic": "a", "zone": "z"}]),
        rule("a/#/b"),
        rule("${cert_common_name}"),
        // Text in EMQX 5, and a placeholder here.
        rule("a/%u"),
        rule("a/%c/#"),
        json!({"pub": ["%u"]}),
    ] {
        let refused = with(json!({"acl": acl}));
        assert!(matches!(refused, Err(Refused::Rules(_))), "{refused:?}");
    }
    // `null` is no list either, and not the absence of the claim.
    let text = format!(r#"{{"sub":"ann","exp":{},"acl":null}}"#, NOW_SECONDS + 60);
    let token = Signer::secret(SECRET).sign("HS256", r#"{"alg":"HS256"}"#, &text);
    assert!(matches!(verify(&verifier(&config()), &token), Err(Refused::Rules(_))));
}

#[test]
fn another_claim_can_have_the_rules() {
    let named = verifier(&AuthJwt { acl_claim: "mqtt".to_owned(), ..config() });
    let verified = verify(&named, &token(&good_with(json!({"acl": 1, "mqtt": {"pub": ["a"]}}))));
    assert_eq!(verified.unwrap().rules.unwrap().list().len(), 1);
}
