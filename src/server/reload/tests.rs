//! What a reload takes, reads and watches.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::auth::Authenticator;
use crate::broker::{Persistence, Settings};
use crate::net::tls::TlsContext;
use crate::store::Recovered;
use crate::telemetry::Metrics;

const OLD: &str = "token-of-the-old-file";
const NEW: &str = "token-of-the-new-file";

/// A broker with a listener `secure`, and its files.
struct World {
    directory: TempDir,
    reloader: Arc<Reloader>,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(directory.path().join("c"), own.cert.pem()).unwrap();
        fs::write(directory.path().join("k"), own.signing_key.serialize_pem()).unwrap();
        let file = directory.path().join("ferrymq.toml");
        fs::write(&file, Self::text(directory.path(), OLD)).unwrap();
        let sources = Sources { file: Some(file), ..Sources::default() };
        let config = Config::load(&sources).unwrap();
        let tls = config.listeners["secure"].tls.clone().unwrap();
        let context = TlsContext::load("secure", false, &tls).unwrap();
        let broker = Broker::new(
            Settings::from(&config),
            Authenticator::load(&config).unwrap(),
            Arc::new(Metrics::default()),
            Persistence::new(None, false),
            Recovered::default(),
        );
        let reloader = Arc::new(Reloader {
            sources,
            bridges: Bridges::none(&broker),
            broker,
            tokens: Arc::new(Tokens::load(&config.http).unwrap()),
            level: LogLevel::unattached(&config.telemetry.level),
            certificates: Certificates::new(vec![Arc::new(context)]),
            runtime: tokio::runtime::Handle::current(),
            running: Mutex::new(config.into()),
        });
        Self { directory, reloader }
    }

    /// The lines of a configuration with this token.
    fn text(directory: &Path, token: &str) -> String {
        let at = directory.display();
        format!(
            "http.token = \"{token}\"\n\
             listeners.secure = {{ protocol = \"mqtts\", bind = \"127.0.0.1:8883\", \
             tls = {{ certificate_file = \"{at}/c\", key_file = \"{at}/k\" }} }}\n"
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn reload(&self, lines: &str) -> Result<Reloaded, String> {
        fs::write(self.path("ferrymq.toml"), lines).unwrap();
        (self.reloader.as_reload().0)()
    }

    fn has(&self, token: &str) -> bool {
        self.reloader.tokens.matches(token.as_bytes())
    }

    fn watches(&self, name: &str) -> bool {
        self.reloader.files().contains(&self.path(name))
    }
}

#[tokio::test]
async fn nothing_changes_if_one_file_is_invalid() {
    let world = World::new();
    let own = fs::read_to_string(world.path("c")).unwrap();
    let lines = World::text(world.directory.path(), NEW);
    fs::write(world.path("c"), "half written").unwrap();
    assert!(world.reload(&lines).unwrap_err().contains("certificate_file"));
    assert!(world.has(OLD) && !world.has(NEW));
    fs::write(world.path("c"), own).unwrap();
    assert_eq!(world.reload(&lines).unwrap().changed, ["http.token"]);
    assert!(world.has(NEW) && !world.has(OLD));
}

#[tokio::test]
async fn a_listener_that_is_removed_with_its_files_holds_up_no_reload() {
    let lines = format!("http.token = \"{NEW}\"\n");
    let off = "listeners.secure = { bind = \"off\" }\n";
    for lines in [lines.clone(), format!("{lines}{off}")] {
        let world = World::new();
        assert!(world.watches("c"));
        fs::remove_file(world.path("c")).unwrap();
        let reloaded = world.reload(&lines).unwrap();
        assert!(world.has(NEW) && !world.watches("c"));
        assert!(reloaded.needs_restart.contains(&"listeners.secure.protocol".to_owned()));
        // Back again, it is read again.
        let again = world.reload(&World::text(world.directory.path(), OLD));
        assert!(again.unwrap_err().contains("certificate_file"));
        assert!(world.watches("c") && world.has(NEW));
    }
}

#[tokio::test]
async fn a_file_that_a_refused_configuration_names_is_watched_until_another_one_is_in_effect() {
    let world = World::new();
    let lines = World::text(world.directory.path(), OLD);
    let path = world.path("passwords");
    let named = format!("{lines}auth.password_file = \"{}\"\n", path.display());
    world.reload(&named).unwrap_err();
    assert!(world.watches("passwords") && world.watches("c") && world.watches("ferrymq.toml"));
    world.reload(&lines).unwrap();
    assert!(!world.watches("passwords") && world.watches("c"));
}

#[test]
fn limits_apply_without_a_restart() {
    let mut new = Config::default();
    new.bans.max_failures = 5;
    new.limits.max_connections_per_address = 10;
    new.limits.connection_rate_per_address = 10;
    new.limits.publish_rate = 100;
    new.limits.publish_bytes_rate = crate::config::ByteSize::mib(1);
    new.mqtt.connect_timeout = crate::config::Span::seconds(1);
    new.mqtt.max_keep_alive = crate::config::Span::hours(1);
    new.session.max_sessions = 10;
    new.session.max_subscriptions = 10;
    let changed = differences(&Config::default(), &new);
    assert_eq!(changed.len(), 9);
    // Operators and the chart rely on the same list.
    let manual = include_str!("../../../docs/admin-api.md");
    let chart = include_str!("../../../helm/ferrymq/templates/_config.tpl");
    for key in changed {
        let (table, name) = key.split_once('.').unwrap();
        let is_said = manual.contains(&format!("`{key}`"));
        assert!(is_said || manual.contains(&format!("- `[{table}]`,")), "{key}");
        let is_left_out = chart.contains(&format!("\"{name}\""));
        assert!(is_left_out || chart.contains(&format!("\"{table}\" -}}}}")), "{key}");
    }
    let mut running = Config::default();
    take_limits(&mut running, &new);
    assert!(differences(&running, &new).is_empty());
    assert_eq!(ReloadableSettings::from(&running), ReloadableSettings::from(&new));
}
