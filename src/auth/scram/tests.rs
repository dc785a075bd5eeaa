//! Exchanges, good and bad.

use proptest::prelude::*;

use super::client::Client;
use super::*;

const LEAST: u32 = *ITERATIONS.start();

fn users(of: &[(&str, &str)]) -> ScramUsers {
    let mut file = ScramFile::default();
    for (user, password) in of {
        file.set(user, password.as_bytes(), LEAST).unwrap();
    }
    ScramUsers::from(&file)
}

fn alice() -> ScramUsers {
    users(&[("alice", "wonderland")])
}

/// The whole exchange; also checks the server's signature.
fn log_in(client: &Client<'_>, users: &ScramUsers) -> Result<Box<str>, Refusal> {
    let (exchange, server_first) = Exchange::begin(&client.first(), users, &Nonce::random())?;
    let (last, expected) = client.last(&server_first);
    let Success { username, server_final, .. } = exchange.finish(&last)?;
    assert_eq!(server_final, expected);
    Ok(username)
}

fn first_refused(message: &str) -> Refusal {
    Exchange::begin(message.as_bytes(), &alice(), &Nonce::random()).unwrap_err()
}

/// The example of RFC 7677, section 3.
#[test]
fn the_example_of_the_rfc_is_followed_to_the_letter() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scram");
    std::fs::write(&path, "user:SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n").unwrap();
    let users = ScramUsers::load(&path).unwrap();
    let nonce = Nonce::fixed("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
    let (exchange, server_first) =
        Exchange::begin(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", &users, &nonce).unwrap();
    assert_eq!(
        server_first,
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    let last = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    let Success { username, server_final, .. } = exchange.finish(last).unwrap();
    assert_eq!(&*username, "user");
    assert_eq!(server_final, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

#[test]
fn the_right_password_opens_and_nothing_else_does() {
    let users = users(&[("alice", "wonderland"), ("a,b=c", "x"), ("ünal", "x")]);
    assert_eq!(log_in(&Client::new("alice", "wonderland"), &users).as_deref(), Ok("alice"));
    assert_eq!(log_in(&Client::new("a,b=c", "x"), &users).as_deref(), Ok("a,b=c"));
    assert_eq!(log_in(&Client::new("ünal", "x"), &users).as_deref(), Ok("ünal"));
    for (name, password) in [("alice", "Wonderland"), ("alice", ""), ("bob", "x"), ("ALICE", "x")] {
        let refused = log_in(&Client::new(name, password), &users);
        assert_eq!(refused, Err(Refusal::Credentials), "{name}");
    }
    let nobody = ScramUsers::default();
    assert_eq!(log_in(&Client::new("alice", "x"), &nobody), Err(Refusal::Credentials));
}

#[test]
fn a_header_without_channel_binding_is_accepted() {
    let client = |gs2_header| Client { gs2_header, ..Client::new("alice", "wonderland") };
    for header in ["n,,", "y,,", "n,a=alice,"] {
        assert_eq!(log_in(&client(header), &alice()).as_deref(), Ok("alice"), "{header}");
    }
    let refused = |header| log_in(&client(header), &alice()).unwrap_err();
    assert_eq!(refused("p=tls-exporter,,"), Refusal::ChannelBinding);
    assert_eq!(refused("n,a=bob,"), Refusal::Authzid);
}

/// A client that drops `y` from its final message was tampered with on the way.
#[test]
fn a_header_that_changes_on_the_way_is_refused() {
    let client = Client { gs2_header: "y,,", ..Client::new("alice", "wonderland") };
    let begun = Exchange::begin(&client.first(), &alice(), &Nonce::random()).unwrap();
    let (last, _) = Client { gs2_header: "n,,", ..client }.last(&begun.1);
    assert_eq!(begun.0.finish(&last), Err(Refusal::OtherExchange));
}

#[test]
fn a_final_message_is_worth_nothing_in_another_exchange() {
    let (client, users) = (Client::new("alice", "wonderland"), alice());
    let (exchange, server_first) =
        Exchange::begin(&client.first(), &users, &Nonce::random()).unwrap();
    let (recorded, _) = client.last(&server_first);
    exchange.finish(&recorded).unwrap();
    let (second, _) = Exchange::begin(&client.first(), &users, &Nonce::random()).unwrap();
    assert_eq!(second.finish(&recorded), Err(Refusal::OtherExchange));
    // With the new nonce, the recorded proof is that of another message.
    let (third, server_first) = Exchange::begin(&client.first(), &users, &Nonce::random()).unwrap();
    let [recorded, expected] =
        [recorded, client.last(&server_first).0].map(|it| String::from_utf8(it).unwrap());
    let (proof, message) = (recorded.rsplit_once(",p="), expected.rsplit_once(",p="));
    let forged = format!("{},p={}", message.unwrap().0, proof.unwrap().1);
    assert_eq!(third.finish(forged.as_bytes()), Err(Refusal::Credentials));
}

#[test]
fn a_user_that_does_not_exist_looks_like_one() {
    let users = users(&[("alice", "wonderland"), ("carol", "x")]);
    let cost = |name: &str, users: &ScramUsers| {
        let client = Client::new(name, "x");
        let (_, first) = Exchange::begin(&client.first(), users, &Nonce::fixed("n")).unwrap();
        String::from_utf8(first).unwrap()
    };
    let bob = cost("bob", &users);
    assert_eq!(bob.len(), cost("carol", &users).len());
    assert!(bob.ends_with(",i=4096"), "{bob}");
    assert_eq!(bob, cost("bob", &users), "a salt that changes belongs to nobody");
    assert_eq!(bob, cost("bob", &alice()), "also when the file is read again");
    assert_ne!(bob, cost("dave", &users));
    let first = cost("bob", &ScramUsers::default());
    assert!(first.ends_with(&format!(",i={DEFAULT_ITERATIONS}")), "{first}");
}

/// What a reload asks about clients that are connected.
#[test]
fn changed_keys_are_noticed() {
    let before = users(&[("alice", "wonderland"), ("bob", "x")]);
    let client = Client::new("alice", "wonderland");
    let (exchange, first) = Exchange::begin(&client.first(), &before, &Nonce::random()).unwrap();
    let credential = exchange.finish(&client.last(&first).0).unwrap().credential;
    assert_eq!(before.credential("alice"), Some(credential));
    assert_eq!((before.credential("carol"), alice().credential("bob")), (None, None));
    assert_eq!(before.fingerprint(), before.clone().fingerprint());
    // The same password has other keys with another salt.
    let after = alice();
    assert_ne!(after.credential("alice"), Some(credential));
    assert_ne!(after.fingerprint(), before.fingerprint());
    assert_ne!(after.fingerprint(), ScramUsers::default().fingerprint());
}

#[test]
fn malformed_first_messages_are_refused() {
    for wrong in [
        "",
        ",",
        "n",
        "n,",
        "n,,",
        "n=alice,r=x",
        "x,,n=alice,r=x",
        "n,,r=x,n=alice",
        "n,,n=,r=x",
        "n,,n=alice",
        "n,,n=alice,r=",
        "n,,n=alice,r=\u{e9}",
        "n,,n=alice,r=a b",
        "n,,n=al=ice,r=x",
        "n,,n=al=2cice,r=x",
        "n,,n=al\u{7}ice,r=x",
        "n,,m=must,n=alice,r=x",
        "n,,n=alice,r=x,",
        "n,,n=alice,r=x,=y",
        "n,alice,n=alice,r=x",
    ] {
        assert!(matches!(first_refused(wrong), Refusal::Malformed(_)), "{wrong:?}");
    }
    let begun = Exchange::begin(b"n,,n=\xff,r=x", &alice(), &Nonce::random());
    assert_eq!(begun.unwrap_err(), Refusal::Malformed("not UTF-8"));
    Exchange::begin(b"n,,n=alice,r=x,e=extension", &alice(), &Nonce::random()).unwrap();
}

#[test]
fn malformed_final_messages_are_refused() {
    let client = Client::new("alice", "wonderland");
    let finish = |change: &dyn Fn(&str) -> String| {
        let (exchange, server_first) =
            Exchange::begin(&client.first(), &alice(), &Nonce::random()).unwrap();
        let last = String::from_utf8(client.last(&server_first).0).unwrap();
        exchange.finish(change(&last).as_bytes()).unwrap_err()
    };
    let malformed: [&dyn Fn(&str) -> String; 7] = [
        &|_| String::new(),
        &|last| last.rsplit_once(",p=").unwrap().0.to_owned(),
        &|last| format!("{last}AAAA"),
        &|last| last.trim_end_matches('=').to_owned(),
        &|last| last.replace("c=biws,", ""),
        &|last| format!("{last},x=y"),
        &|last| last.replace(",p=", ",bad,p="),
    ];
    for (number, change) in malformed.into_iter().enumerate() {
        assert!(matches!(finish(change), Refusal::Malformed(_)), "{number}");
    }
    assert_eq!(finish(&|last| last.replace(",r=f", ",r=g")), Refusal::OtherExchange);
    assert_eq!(finish(&|last| last.replace(",p=", "x,p=")), Refusal::OtherExchange);
    assert_eq!(finish(&|last| last.replace("c=biws", "c=eSws")), Refusal::OtherExchange);
    // What is signed was changed.
    assert_eq!(finish(&|last| last.replace(",p=", ",x=y,p=")), Refusal::Credentials);
}

#[test]
fn oversized_messages_are_refused() {
    let long = "x".repeat(4_096);
    assert!(matches!(first_refused(&format!("n,,n={long},r=x")), Refusal::Malformed(_)));
    let nonce = "x".repeat(257);
    assert!(matches!(first_refused(&format!("n,,n=alice,r={nonce}")), Refusal::Malformed(_)));
    let (exchange, _) = Exchange::begin(b"n,,n=alice,r=x", &alice(), &Nonce::random()).unwrap();
    assert!(matches!(
        exchange.finish(format!("c=biws,r=x,p={long}").as_bytes()),
        Err(Refusal::Malformed(_))
    ));
}

#[test]
fn nothing_secret_is_shown() {
    let users = alice();
    let begun = Exchange::begin(b"n,,n=alice,r=cnonce", &users, &Nonce::random()).unwrap();
    let shown = format!("{:?} {users:?}", begun.0);
    assert!(!shown.contains("cnonce") && shown.contains("ScramKeys(..)"), "{shown}");
}

/// Text that is often nearly a message.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just("n,,"),
        Just("y,"),
        Just("n=alice"),
        Just("r=x"),
        Just(","),
        Just("="),
        Just("=2C"),
        Just("c=biws"),
        Just(",p="),
        Just("AAAA"),
        Just("a=alice"),
        Just("m=x"),
        Just("é")
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat().into_bytes())
}

proptest! {
    #[test]
    fn no_bytes_open_or_panic(
        first in prop_oneof![any::<Vec<u8>>(), nearly()],
        last in prop_oneof![any::<Vec<u8>>(), nearly()],
    ) {
        let users = ScramUsers::default();
        if let Ok((exchange, answer)) = Exchange::begin(&first, &users, &Nonce::random()) {
            prop_assert!(answer.starts_with(b"r="));
            prop_assert!(exchange.finish(&last).is_err());
        }
        let (exchange, _) = Exchange::begin(b"n,,n=a,r=x", &users, &Nonce::random()).unwrap();
        prop_assert!(exchange.finish(&last).is_err());
    }

    #[test]
    fn every_name_arrives_as_it_was_sent(name in "[ -~äß漢]{1,20}") {
        let client = Client::new(&name, "x");
        let users = ScramUsers::default();
        let (exchange, _) = Exchange::begin(&client.first(), &users, &Nonce::random()).unwrap();
        prop_assert_eq!(exchange.claimed_username(), name);
    }
}
