//! Tests of precedence between layers and of error messages.

use super::*;

fn sources(env: &[(&str, &str)], set: &[&str]) -> Sources {
    Sources {
        file: None,
        env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        set: set.iter().map(|given| (*given).to_owned()).collect(),
    }
}

/// The error for a file with this text; the file's path is replaced by FILE.
fn file_error(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f.toml");
    std::fs::write(&path, text).unwrap();
    let error = Config::load(&Sources { file: Some(path.clone()), ..Sources::default() });
    error.unwrap_err().to_string().replace(path.to_str().unwrap(), "FILE")
}

fn env_error(name: &str, value: &str) -> String {
    Config::load(&sources(&[(name, value)], &[])).unwrap_err().to_string()
}

fn set_error(given: &str) -> String {
    Config::load(&sources(&[], &[given])).unwrap_err().to_string()
}

#[test]
fn without_layers_there_are_the_defaults() {
    assert_eq!(Config::load(&Sources::default()).unwrap(), Config::default());
}

#[test]
fn later_layers_win_and_leave_the_rest_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f.toml");
    std::fs::write(
        &path,
        "[mqtt]\nreceive_maximum = 1\nmax_topic_levels = 1\nconnect_timeout = \"1s\"\n",
    )
    .unwrap();
    let mut sources = sources(
        &[("FERRYMQ_MQTT__MAX_TOPIC_LEVELS", "2"), ("FERRYMQ_MQTT__CONNECT_TIMEOUT", "2s")],
        &["mqtt.connect_timeout=3s"],
    );
    sources.file = Some(path);
    let mqtt = Config::load(&sources).unwrap().mqtt;
    assert_eq!(mqtt.receive_maximum, 1);
    assert_eq!(mqtt.max_topic_levels, 2);
    assert_eq!(mqtt.connect_timeout, Span::seconds(3));
    assert_eq!(mqtt.topic_alias_maximum, Mqtt::default().topic_alias_maximum);
}

#[test]
fn every_kind_of_value_can_be_set_in_the_environment() {
    let config = Config::load(&sources(
        &[
            ("FERRYMQ_LISTENERS__TCP__BIND", "[::1]:1884"),
            ("FERRYMQ_HTTP__BIND", "off"),
            ("FERRYMQ_AUTH__ALLOW_ANONYMOUS", "false"),
            ("FERRYMQ_AUTH__PASSWORD_FILE", "/etc/p"),
            ("FERRYMQ_MQTT__MAX_PACKET_SIZE", "65536"),
            ("FERRYMQ_SESSION__OVERFLOW", "drop-oldest"),
            ("FERRYMQ_SESSION__MAX_EXPIRY", "never"),
            ("FERRYMQ_PERSISTENCE__ENABLED", "false"),
            ("FERRYMQ_PERSISTENCE__PATH", "\"123\""),
            ("PATH", "/bin"),
        ],
        &[],
    ))
    .unwrap();
    assert_eq!(config.listeners["tcp"].bind, "[::1]:1884".parse().unwrap());
    assert_eq!(config.http.bind, Bind::Off);
    assert_eq!(config.auth.allow_anonymous, Anonymous::Never);
    assert_eq!(config.auth.password_file, Some("/etc/p".into()));
    assert_eq!(config.mqtt.max_packet_size, ByteSize::kib(64));
    assert_eq!(config.session.overflow, Overflow::DropOldest);
    assert!(config.session.max_expiry.is_never());
    assert!(!config.persistence.enabled);
    assert_eq!(config.persistence.path, std::path::PathBuf::from("123"));
}

#[test]
fn quotes_around_a_value_are_taken_off_whatever_the_key_takes() {
    for quote in ['"', '\''] {
        let quoted = |value: &str| format!("{quote}{value}{quote}");
        let given = [
            ("FERRYMQ_SESSION__MAX_SUBSCRIPTIONS", quoted("5000")),
            ("FERRYMQ_LISTENERS__TCP__MAX_CONNECTIONS", quoted("7")),
            ("FERRYMQ_LISTENERS__LAB__BIND", quoted("127.0.0.1:1")),
            ("FERRYMQ_LISTENERS__LAB__MAX_CONNECTIONS", quoted("8")),
            ("FERRYMQ_MQTT__RETAIN_AVAILABLE", quoted("false")),
            ("FERRYMQ_MQTT__MAX_PACKET_SIZE", quoted("65536")),
            ("FERRYMQ_LIMITS__MAX_CONNECTIONS", quoted("9")),
            ("FERRYMQ_TELEMETRY__TRACE_RATIO", quoted("0.5")),
            ("FERRYMQ_AUTH__ALLOW_ANONYMOUS", quoted("true")),
            ("FERRYMQ_SESSION__MAX_EXPIRY", quoted("1h")),
            ("FERRYMQ_PERSISTENCE__PATH", quoted("123")),
        ];
        let env = given.map(|(name, value)| (name.to_owned(), value)).into();
        let config = Config::load(&Sources { env, ..Sources::default() }).unwrap();
        assert_eq!(config.session.max_subscriptions, 5000);
        assert_eq!(config.listeners["tcp"].max_connections, 7);
        assert_eq!(config.listeners["lab"].max_connections, 8);
        assert!(!config.mqtt.retain_available);
        assert_eq!(config.mqtt.max_packet_size, ByteSize::kib(64));
        assert_eq!(config.limits.max_connections.set(), Some(9));
        assert_eq!(config.telemetry.trace_ratio.get().to_string(), "0.5");
        assert_eq!(config.auth.allow_anonymous, Anonymous::Always);
        assert_eq!(config.session.max_expiry, Span::hours(1));
        assert_eq!(config.persistence.path, std::path::PathBuf::from("123"));
    }
    // Only a complete pair of quotes is removed.
    assert_eq!(
        env_error("FERRYMQ_SESSION__MAX_SUBSCRIPTIONS", "\"5000"),
        "session.max_subscriptions (environment variable FERRYMQ_SESSION__MAX_SUBSCRIPTIONS): \
         found \"\"5000\", expected a whole number from 1 to 10000000"
    );
}

#[test]
fn a_path_that_nobody_means_is_refused_instead_of_an_empty_database_elsewhere() {
    for (path, found) in [
        ("/data/a.db\r", "a control character"),
        ("/data/a.db\n", "a control character"),
        ("/data/\x1b.db", "a control character"),
        ("/data/a.db ", "a space at its beginning or end"),
        ("\"/data/a.db", "a quote at its beginning or end"),
        ("'\"/data/a.db\"'", "a quote at its beginning or end"),
        ("/data/a.db'", "a quote at its beginning or end"),
    ] {
        let error = env_error("FERRYMQ_PERSISTENCE__PATH", path);
        assert!(error.starts_with("persistence.path (environment variable"), "{error}");
        assert!(error.contains(found) && error.lines().count() == 1, "{error}");
        assert!(!error.contains(char::is_control), "{error:?}");
    }
    assert!(Config::load(&sources(&[], &["persistence.path=/d a/it's.db"])).is_ok());
}

#[test]
fn a_listener_can_be_added_with_its_address_alone() {
    let config =
        Config::load(&sources(&[("FERRYMQ_LISTENERS__LAB__BIND", "127.0.0.1:1")], &[])).unwrap();
    assert_eq!(config.listeners.len(), 2);
    assert_eq!(config.listeners["lab"].max_connections, 100_000);
    assert_eq!(
        set_error("listeners.lab.max_connections=1"),
        "listeners.lab.bind (--set): this key is required"
    );
}

#[test]
fn a_variable_that_resembles_no_key_is_somebody_elses() {
    for name in ["FERRYMQ_BIN", "FERRYMQ_VERSION", "FERRYMQ_HOME"] {
        let env = vec![(name.to_owned(), "x".to_owned())];
        assert!(Config::load(&Sources { env, ..Sources::default() }).is_ok(), "{name}");
    }
    for name in ["FERRYMQ_PERSISTENCE_PATH", "FERRYMQ_HTTP", "FERRYMQ_DURABILITY"] {
        let env = vec![(name.to_owned(), "x".to_owned())];
        assert!(Config::load(&Sources { env, ..Sources::default() }).is_err(), "{name}");
    }
}

#[test]
fn a_variable_that_begins_like_ours_and_sets_nothing_is_told() {
    let sources = sources(
        &[
            ("FERRYMQ_PORT", "1884"),
            ("FERRYMQ__X", "1"),
            ("FERRYMQ_VERSION", "1"),
            ("FERRYMQ_", "1"),
            ("FERRYMQ_CONFIG", "/etc/f.toml"),
            ("FERRYMQ_MQTT__MAX_TOPIC_LEVELS", "2"),
            ("FERRYMQUETTE", "1"),
            ("PATH", "/bin"),
        ],
        &[],
    );
    assert!(Config::load(&sources).is_ok());
    let told: Vec<_> = sources.unused_variables().collect();
    assert_eq!(told, ["FERRYMQ_PORT", "FERRYMQ__X", "FERRYMQ_VERSION", "FERRYMQ_"]);
}

#[test]
fn what_kubernetes_puts_into_the_environment_is_ignored() {
    for name in [
        "FERRYMQ_SERVICE_HOST",
        "FERRYMQ_SERVICE_PORT",
        "FERRYMQ_SERVICE_PORT_MQTT",
        "FERRYMQ_PORT",
        "FERRYMQ_PORT_1883_TCP",
        "FERRYMQ_PORT_1883_TCP_ADDR",
        "FERRYMQ_HEADLESS_SERVICE_HOST",
        "FERRYMQ_HEADLESS_PORT",
    ] {
        let sources = sources(&[(name, "tcp://10.0.0.1:1883")], &[]);
        assert!(Config::load(&sources).is_ok(), "{name}");
        assert_eq!(sources.unused_variables().count(), 0, "{name}");
    }
    assert_eq!(
        env_error("FERRYMQ_BIND", "x"),
        "environment variable FERRYMQ_BIND: write it as FERRYMQ_TABLE__KEY, with two underscores, \
         for example FERRYMQ_PERSISTENCE__PATH"
    );
}

#[test]
fn an_unknown_key_is_named_with_its_layer_and_what_was_meant() {
    assert_eq!(
        file_error("[mqtt]\nmax_packet_sise = 1\n"),
        "mqtt.max_packet_sise (file FILE): there is no such key; did you mean mqtt.max_packet_size?"
    );
    assert_eq!(
        env_error("FERRYMQ_PERSISTENCE__PHAT", "x"),
        "persistence.phat (environment variable FERRYMQ_PERSISTENCE__PHAT): \
         there is no such key; did you mean persistence.path?"
    );
    assert_eq!(
        set_error("session.max_packet_size=1"),
        "session.max_packet_size (--set): there is no such key; did you mean mqtt.max_packet_size?"
    );
    assert_eq!(
        file_error("[sesion]\n"),
        "sesion (file FILE): there is no such key; did you mean session?"
    );
    assert_eq!(
        set_error("listeners.lab.bnd=x"),
        "listeners.lab.bnd (--set): there is no such key; did you mean listeners.lab.bind?"
    );
    assert_eq!(
        set_error("listeners.tcp.tls.certifcate_file=x"),
        "listeners.tcp.tls.certifcate_file (--set): there is no such key; did you mean \
         listeners.tcp.tls.certificate_file?"
    );
    assert_eq!(
        set_error("listeners.tcp.tls=x"),
        "listeners.tcp.tls (--set): found \"x\", expected a table"
    );
}

#[test]
fn a_bad_value_is_named_with_what_is_allowed() {
    for (given, problem) in [
        (
            "session.overflow=drop",
            "\"drop\" is not allowed; it can be \"refuse\", \"drop-oldest\", \"drop-newest\"",
        ),
        (
            "persistence.durability=full",
            "\"full\" is not allowed; it can be \"fsync\", \"commit\", \"async\"",
        ),
        ("persistence.enabled=yes", "found \"yes\", expected true or false"),
        ("persistence.path=5", "found 5, expected text"),
        ("mqtt.receive_maximum=65536", "found 65536, expected a whole number from 1 to 65535"),
        ("mqtt.topic_alias_maximum=65536", "found 65536, expected a whole number from 0 to 65535"),
        ("mqtt.max_topic_levels=many", "found \"many\", expected a whole number from 1 to 65535"),
        ("mqtt.max_topic_levels=-1", "found -1, expected a whole number from 1 to 65535"),
        (
            "persistence.max_pending=99999999999999999999",
            "found \"99999999999999999999\", expected a whole number from 1 to 100000000",
        ),
        ("session.inflight_window=65536", "found 65536, expected a whole number from 1 to 65535"),
        (
            "mqtt.connect_timeout=30",
            "found 30, expected a time with its unit, such as 5ms, 30s, 10m, 18h or 7d, or \"never\"",
        ),
        (
            "mqtt.max_packet_size=1M",
            "found \"1M\", expected a size such as 64KiB, 10MB or 1GiB (B, KB, KiB, MB, MiB, GB, GiB, TB, TiB)",
        ),
        (
            "http.bind=8080",
            "found 8080, expected an IP address with a port, such as 127.0.0.1:1883 or [::]:1883, or \"off\"",
        ),
        ("auth.allow_anonymous=maybe", "found \"maybe\", expected true, false or \"loopback\""),
    ] {
        let (key, _) = given.split_once('=').unwrap();
        assert_eq!(set_error(given), format!("{key} (--set): {problem}"));
    }
    assert_eq!(file_error("mqtt = 5\n"), "mqtt (file FILE): found 5, expected a table");
    assert_eq!(
        file_error("[mqtt]\nmax_packet_size = 1.5\n"),
        "mqtt.max_packet_size (file FILE): found 1.5, expected a size such as 64KiB, 10MB or 1GiB \
         (B, KB, KiB, MB, MiB, GB, GiB, TB, TiB)"
    );
}

#[test]
fn a_value_out_of_range_is_named_with_the_range() {
    for (given, problem) in [
        ("mqtt.max_packet_size=1GiB", "found 1GiB, expected 64B to 268435455B"),
        ("mqtt.max_topic_levels=0", "found 0, expected 1 to 65535"),
        ("mqtt.receive_maximum=0", "found 0, expected 1 to 65535"),
        ("mqtt.connect_timeout=never", "found never, expected 100ms to 1h"),
        ("mqtt.max_keep_alive=1d", "found 1d, expected 1s to 65535s or \"never\""),
        ("persistence.elision_window=11ms", "found 11ms, expected 0s to 10ms"),
        ("persistence.max_size=1KiB", "found 1KiB, expected at least 1MiB"),
        ("persistence.wal_checkpoint_pages=32769", "found 32769, expected 1 to 32768"),
        (
            "persistence.reserve_size=11GiB",
            "found 11GiB, expected at most persistence.max_size, which is 10GiB",
        ),
        ("persistence.path=", "found \"\", expected the path of the database file"),
        ("persistence.cache_size=1000TiB", "found 1000TiB, expected 64KiB to 64GiB"),
        ("limits.max_connections=0", "found 0, expected 1 to 10000000"),
        ("limits.max_connections=many", "found \"many\", expected \"auto\" or a whole number"),
        ("limits.max_memory=1KiB", "found 1KiB, expected at least 1MiB"),
        (
            "limits.max_memory=3MiB",
            "3MiB is less than 4 times mqtt.max_packet_size (1MiB): raise it, or lower mqtt.max_packet_size",
        ),
        ("auth.max_verifications=0", "found 0, expected 1 to 64"),
        ("runtime.shutdown_timeout=2h", "found 2h, expected 0s to 1h"),
        (
            "telemetry.level=inof",
            "found \"inof\", expected error, warn, info, debug, trace or off, also by module as in info,ferrymq::store=debug",
        ),
    ] {
        let (key, _) = given.split_once('=').unwrap();
        assert_eq!(set_error(given), format!("{key} (--set): {problem}"));
    }
}

#[test]
fn the_least_size_of_the_database_is_one_that_can_be_set() {
    assert!(Config::load(&sources(&[], &["persistence.max_size=1MiB"])).is_ok());
}

#[test]
fn an_address_that_is_bound_twice_is_named_with_both_keys() {
    let lab = |bind: &str| format!("listeners.lab.bind={bind}");
    for (sets, key, other) in [
        (vec![lab("127.0.0.1:1883")], "listeners.tcp.bind", "listeners.lab.bind"),
        (vec![lab("127.0.0.1:8080")], "http.bind", "listeners.lab.bind"),
        (vec!["http.metrics_bind=127.0.0.1:8080".into()], "http.metrics_bind", "http.bind"),
        (
            vec![lab("[::1]:9"), "http.metrics_bind=[::]:9".into()],
            "http.metrics_bind",
            "listeners.lab.bind",
        ),
        (vec!["http.bind=0.0.0.0:1883".into()], "http.bind", "listeners.tcp.bind"),
        // An unspecified address of IPv6 is for IPv4 as well.
        (vec![lab("[::]:1883")], "listeners.tcp.bind", "listeners.lab.bind"),
        (vec!["http.bind=[::ffff:127.0.0.1]:1883".into()], "http.bind", "listeners.tcp.bind"),
        (
            vec!["http.bind=[::]:9".into(), "http.metrics_bind=0.0.0.0:9".into()],
            "http.metrics_bind",
            "http.bind",
        ),
        (
            [lab("/run/x"), "listeners.lab.protocol=unix".into()]
                .into_iter()
                .chain(["bind=/run/x", "protocol=unix"].map(|set| format!("listeners.xyz.{set}")))
                .collect(),
            "listeners.xyz.bind",
            "listeners.lab.bind",
        ),
    ] {
        let set = sets.clone();
        let error = Config::load(&Sources { set, ..Sources::default() }).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{key} (")), "{sets:?} {error}");
        assert!(error.contains(&format!("which is where {other} listens")), "{sets:?} {error}");
    }
    for set in [lab("127.0.0.2:1883"), lab("[::1]:1883"), "http.bind=127.0.0.1:0".into()] {
        let sets = vec![set, "http.metrics_bind=127.0.0.1:0".into()];
        assert!(Config::load(&Sources { set: sets, ..Sources::default() }).is_ok());
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let file = Some("/nowhere/f.toml".into());
    let error = Config::load(&Sources { file, ..Sources::default() }).unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot read the configuration file /nowhere/f.toml: No such file or directory (os error 2)"
    );
    let error = file_error("[mqtt]\n\nmax_topic_levels = = 3\n");
    assert!(error.starts_with("FILE, line 3: ") && error.lines().count() == 1, "{error}");
    let error = file_error("[mqtt]\nreceive_maximum = 1\nreceive_maximum = 2\n");
    assert!(error.starts_with("FILE, line 3: duplicate key"), "{error}");
}

#[test]
fn a_flag_without_key_or_value_is_explained() {
    for given in ["x", "mqtt=1", ".a=1", "a..b=1"] {
        assert_eq!(
            set_error(given),
            format!(
                "--set {given}: write it as TABLE.KEY=VALUE, for example persistence.path=/data/ferrymq.db"
            )
        );
    }
}

#[test]
fn a_listener_that_others_can_reach_needs_authentication_or_a_written_word() {
    let open = "listeners.tcp.bind=0.0.0.0:1883";
    assert_eq!(
        set_error(open),
        "listeners.tcp.bind (--set): other machines can reach 0.0.0.0:1883: set auth.password_file \
         (see `ferrymq passwd`), or write auth.allow_anonymous = true \
         (FERRYMQ_AUTH__ALLOW_ANONYMOUS=true) to let everyone in"
    );
    // A command that does not serve needs no authentication.
    assert!(Config::load_without_serving(&sources(&[], &[open])).is_ok());
    for word in ["auth.allow_anonymous=true", "auth.password_file=/etc/p"] {
        assert!(Config::load(&sources(&[], &[open, word])).is_ok(), "{word}");
    }
    for word in ["auth.allow_anonymous=false", "auth.password_file="] {
        assert!(Config::load(&sources(&[], &[open, word])).is_err(), "{word}");
    }
    assert!(Config::load(&sources(&[], &["listeners.tcp.bind=off"])).is_ok());
}

#[test]
fn a_broker_without_any_socket_is_refused() {
    let sets = &["listeners.tcp.bind=off", "http.bind=off"];
    let error = Config::load(&sources(&[], sets)).unwrap_err().to_string();
    assert!(error.contains("nobody could reach the broker"), "{error}");
}

#[test]
fn a_listener_has_a_name_that_every_layer_can_write() {
    assert_eq!(
        file_error("[listeners.\"My Lab\"]\nbind = \"127.0.0.1:1\"\n"),
        "listeners.My Lab (file FILE): a listener's name is made of a-z, 0-9, - and _, never two _ in a row"
    );
}

mod bridges;
mod listeners;
