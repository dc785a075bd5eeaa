//! Methods of enhanced authentication in the chain.

use super::*;
use crate::auth::scram::ScramFile;

/// Authenticates whoever answers the question `who` with a user name, or sends
/// `NAME:EXPIRES_AT` at once. The name `mallory` is refused.
#[derive(Debug)]
pub(crate) struct Echo(pub(crate) Method);

impl EnhancedMethod for Echo {
    fn name(&self) -> &'static str {
        "ECHO"
    }

    fn method(&self) -> Method {
        self.0
    }

    fn exchange(&self, _: Claimed<'_>) -> Box<dyn Exchange> {
        Box::new(EchoExchange(self.0))
    }

    fn still_has(&self, user: &str, credential: u64) -> bool {
        user != "mallory" && credential == 1
    }

    fn fingerprint(&self) -> u64 {
        1
    }
}

#[derive(Debug)]
struct EchoExchange(Method);

impl EchoExchange {
    fn done(&self, text: &str) -> Step {
        let (name, expires_at) = text.split_once(':').unwrap_or((text, ""));
        if name == "mallory" {
            return Step::Refuse(BAD);
        }
        let identity = Identity {
            username: Some(name.into()),
            method: Some(self.0),
            expires_at: expires_at.parse().ok().map(WallMillis),
            credential: 1,
            ..Identity::default()
        };
        Step::Done(identity, Some(b"welcome".to_vec()))
    }
}

impl Exchange for EchoExchange {
    fn begin(&mut self, data: &[u8]) -> NextStep {
        match data {
            [] => Step::Continue(b"who".to_vec()).into(),
            data => self.done(std::str::from_utf8(data).unwrap()).into(),
        }
    }

    fn next(&mut self, data: &[u8]) -> NextStep {
        self.done(std::str::from_utf8(data).unwrap()).into()
    }
}

fn nobody() -> Claimed<'static> {
    let Request { peer, until, now, .. } = request();
    Claimed { username: None, client_id: "c", peer, until, now }
}

fn with_echo(config: &Config, method: Method) -> Authenticator {
    let auth = Authenticator::load(config).unwrap();
    let policy = auth.read(config).unwrap().with_enhanced(Arc::new(Echo(method)));
    assert!(auth.replace(policy));
    auth
}

#[tokio::test]
async fn a_method_is_offered_where_the_one_that_it_stands_for_is_asked() {
    let mut config = Config::default();
    let only_certificates =
        ListenerAuth { methods: Some(List(vec![Method::Certificate])), ..ListenerAuth::default() };
    let inner = Listener { auth: Some(only_certificates), ..Listener::default() };
    config.listeners.insert("inner".to_owned(), inner);
    for method in [Method::Jwt, Method::Scram] {
        let auth = with_echo(&config, method);
        let (found, mut exchange) = auth.exchange("tcp", "ECHO", nobody()).unwrap();
        assert_eq!(found, method);
        let step = exchange.begin(b"").reached().await;
        assert_eq!(step, Step::Continue(b"who".to_vec()));
        assert!(auth.exchange("tcp", "echo", nobody()).is_none());
        assert!(auth.exchange("inner", "ECHO", nobody()).is_none());
    }
}

#[tokio::test]
async fn an_exchange_stands_for_its_method_and_other_required_ones_are_asked() {
    let mut config = Config::default();
    config.auth.methods = List(vec![Method::Certificate, Method::Password]);
    let identity = || Identity {
        username: Some("alice".into()),
        method: Some(Method::Scram),
        ..Identity::default()
    };
    let alice = (Some("alice".to_owned()), Some(Method::Scram));
    let auth = with_echo(&config, Method::Scram);
    assert_eq!(accepted(auth.exchanged(request(), identity()).await), alice);
    // A password file, of which SCRAM takes the place.
    let directory = tempfile::tempdir().unwrap();
    let path = with_users(&directory, &[("alice", "x")]).auth.password_file;
    config.auth.password_file = path;
    config.auth.require = List(vec![Method::Certificate, Method::Password]);
    let auth = with_echo(&config, Method::Scram);
    let decision = auth.exchanged(request(), identity()).await;
    assert_eq!(decision, refusal(NOT_AUTHORIZED, Some(Method::Certificate)));
    let meter = certificate(Some("meter"), &[]);
    let shown = Request { certificate: Some(&meter), ..request() };
    assert_eq!(accepted(auth.exchanged(shown, identity()).await), alice);
}

#[tokio::test]
async fn a_required_password_that_only_scram_can_prove_is_not_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("scram");
    let mut file = ScramFile::default();
    file.set("alice", b"x", 4096).unwrap();
    file.write(&path).unwrap();
    let mut config = Config::default();
    config.auth.scram.file = Some(path);
    config.auth.methods = List(vec![Method::Certificate, Method::Jwt, Method::Password]);
    config.auth.require = List(vec![Method::Certificate, Method::Password]);
    let meter = certificate(Some("meter"), &[]);
    let auth = with_echo(&config, Method::Jwt);
    for shown in [request(), with_password("alice", "x")] {
        let shown = Request { certificate: Some(&meter), ..shown };
        let decision = auth.connect(shown).await;
        assert_eq!(decision, refusal(NOT_AUTHORIZED, Some(Method::Password)));
        let by = |method| Identity { method: Some(method), ..Identity::default() };
        let decision = auth.exchanged(shown, by(Method::Jwt)).await;
        assert_eq!(decision, refusal(NOT_AUTHORIZED, Some(Method::Password)));
        let decision = auth.exchanged(shown, by(Method::Scram)).await;
        assert!(matches!(decision, Decision::Allow(_)), "{decision:?}");
    }
}

#[tokio::test]
async fn a_way_to_authenticate_ends_the_exemption_of_loopback() {
    let auth = with_echo(&Config::default(), Method::Scram);
    let local = Request { loopback: true, ..request() };
    assert_eq!(auth.connect(local).await, refusal(NOT_AUTHORIZED, None));
}

#[test]
fn what_an_exchange_has_verified_holds_as_long_as_its_method_says() {
    let auth = with_echo(&Config::default(), Method::Scram);
    let log_in = |user, credential| LogIn {
        listener: "tcp",
        username: Some(user),
        method: Some(Method::Scram),
        credential,
        certificate: None,
    };
    assert!(auth.still_valid(&log_in("alice", 1)));
    assert!(!auth.still_valid(&log_in("alice", 2)) && !auth.still_valid(&log_in("mallory", 1)));
    auth.replace(auth.read(&Config::default()).unwrap());
    assert!(!auth.still_valid(&log_in("alice", 1)), "the method is gone");
}
