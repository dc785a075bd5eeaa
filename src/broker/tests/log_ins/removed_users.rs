//! A reload disconnects users who were removed.

use super::*;
use crate::auth::{PasswordFile, Request};
use crate::broker::tests::world::at_once;
use crate::message::Revoked;
use crate::protocol::{LastWill, QoS, TopicName};

/// A world with a password file, and its users connected by their names.
struct Users {
    world: World,
    config: Config,
    _directory: tempfile::TempDir,
}

impl Users {
    fn new(users: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.auth.password_file = Some(directory.path().join("passwords"));
        let new = Self { world: World::new(), config, _directory: directory };
        let mut file = PasswordFile::default();
        for user in users {
            file.set(user, b"x").unwrap();
        }
        new.replace(&file);
        new
    }

    fn file(&self) -> PasswordFile {
        PasswordFile::read(self.config.auth.password_file.as_ref().unwrap()).unwrap()
    }

    fn replace(&self, file: &PasswordFile) {
        file.write(self.config.auth.password_file.as_ref().unwrap()).unwrap();
        let authenticator = &self.world.broker.authenticator;
        assert!(authenticator.replace(authenticator.read(&self.config).unwrap()));
    }

    async fn identity(&self, user: &str) -> Identity {
        let request = Request {
            listener: "tcp",
            loopback: false,
            client_id: user,
            username: Some(user),
            password: Some(b"x"),
            certificate: None,
            peer: ([127, 0, 0, 1], 1).into(),
            until: tokio::time::Instant::now() + Duration::from_mins(1),
            now: crate::message::WallMillis(0),
        };
        match self.world.broker.authenticator.connect(request).await {
            crate::auth::Decision::Allow(identity) => identity,
            refused @ crate::auth::Decision::Refuse { .. } => panic!("{refused:?}"),
        }
    }

    async fn connect(&self, user: &str) -> User {
        let will = LastWill {
            topic: TopicName::new("wills").unwrap(),
            payload: user.into(),
            qos: QoS::AtMostOnce,
            retain: false,
            delay: 0,
            expiry: None,
            properties: Vec::new(),
        };
        let connect = Connect { will: Some(will), ..request(Version::V5, user, false) };
        let mut connected = self.world.try_log_in(&connect, self.identity(user).await).unwrap();
        self.world.commit();
        assert_eq!(connected.received().len(), 1, "CONNACK");
        connected
    }
}

#[tokio::test]
async fn removed_users_and_changed_passwords_are_disconnected_and_no_others() {
    let users = Users::new(&["alice", "bob", "carol"]);
    let (mut alice, bob, carol) =
        (users.connect("alice").await, users.connect("bob").await, users.connect("carol").await);
    let mut anonymous = users.world.passing("anonymous");
    anonymous.subscribe("wills", QoS::AtMostOnce);
    users.world.commit();
    anonymous.received();
    let mut file = users.file();
    file.remove("bob");
    file.set("carol", b"y").unwrap();
    users.replace(&file);
    assert_eq!(users.world.broker.disconnect_removed_users().await, 2);
    assert!(alice.received().is_empty() && !alice.client.is_revoked());
    for mut gone in [bob, carol] {
        assert_eq!(reason_of(gone.try_received()), ReasonCode::NotAuthorized);
        gone.vanish();
    }
    assert_eq!(anonymous.received(), ["PUBLISH 0 bob", "PUBLISH 0 carol"], "their wills");
    assert_eq!(users.world.broker.session_counts(), (2, 2), "their sessions are kept");
    assert_eq!(users.world.broker.disconnect_removed_users().await, 0);
}

#[tokio::test]
async fn who_was_verified_before_a_reload_and_connects_after_it_does_not_stay() {
    let users = Users::new(&["alice"]);
    let identity = users.identity("alice").await;
    let mut file = users.file();
    file.set("alice", b"y").unwrap();
    users.replace(&file);
    assert_eq!(users.world.broker.disconnect_removed_users().await, 0);
    let connect = request(Version::V5, "alice", false);
    let mut late = users.world.try_log_in(&connect, identity).unwrap();
    assert_eq!(reason_of(late.try_received()), ReasonCode::NotAuthorized);
}

#[test]
fn clients_are_disconnected_by_any_condition_also_when_they_are_many() {
    let world = World::new();
    // More than one page of the registry.
    let mut clients: Vec<_> = (0..1300).map(|n| world.connect(&format!("{n:04}"), true)).collect();
    let is_gone = |id: &str, _: &crate::session::ConnectionInfo| id.ends_with('0');
    let ended = at_once(world.broker.disconnect_where(Revoked::CertificateRevoked, is_gone));
    assert_eq!(ended, 130);
    for (n, client) in clients.iter_mut().enumerate() {
        if n % 10 == 0 {
            let reason = reason_of(client.try_received());
            assert_eq!(reason, ReasonCode::NotAuthorized);
        } else {
            assert!(!client.client.is_revoked());
        }
    }
}
