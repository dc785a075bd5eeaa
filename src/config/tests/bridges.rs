//! Keys, layers and errors of bridges.

use super::*;

/// Loads `[bridges.lab]` with these lines.
fn lab(lines: &str) -> Result<Config, String> {
    load(&format!("[bridges.lab]\n{lines}\n"))
}

fn load(text: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f.toml");
    std::fs::write(&path, text).unwrap();
    let loaded = Config::load(&Sources { file: Some(path.clone()), ..Sources::default() });
    loaded.map_err(|error| error.to_string().replace(path.to_str().unwrap(), "FILE"))
}

const TO: &str = "addresses = [\"mqtts://broker\"]\n";
const RULE: &str = "forward = [{ filter = \"a/#\" }]\n";

#[test]
fn a_bridge_needs_an_address_and_a_rule_and_has_defaults_for_the_rest() {
    let config = lab(&format!("{TO}{RULE}")).unwrap();
    let bridge = &config.bridges["lab"];
    let expected = Bridge {
        addresses: List(vec!["mqtts://broker:8883".parse().unwrap()]),
        forward: vec![BridgeRule { filter: "a/#".to_owned(), ..BridgeRule::default() }],
        ..Bridge::default()
    };
    assert_eq!(*bridge, expected);
    assert_eq!(bridge.client_id("lab"), "ferrymq-lab");
    assert_eq!(bridge.remote_notification_topic("lab"), None);
    assert_eq!((bridge.forward[0].qos, bridge.forward[0].retain), (2, true));
    assert_eq!(bridge.keep_alive_seconds(), 60);
}

#[test]
fn every_key_of_a_bridge_can_be_written_and_is_shown_again() {
    let config = lab(
        "addresses = [\"wss://[::1]/x\", \"mqtt://b:1\"]\nversion = \"3.1.1\"\nclient_id = \"c\"\n\
         username = \"u\"\npassword_file = \"/p\"\nkeep_alive = \"65535s\"\nack_timeout = \"1s\"\n\
         max_backoff = \"1h\"\nclean_start = true\nsession_expiry = \"1d\"\nreceive_maximum = 1\n\
         queue_qos0 = true\nmax_queued_messages = 1\nmax_queued_bytes = \"1KiB\"\n\
         overflow = \"drop-oldest\"\non_refused = \"stop\"\nmax_dead_letters = 0\npaused = true\n\
         notifications = true\nnotification_topic = \"n\"\ntry_private = false\n\
         max_rate = { messages = 5, bytes = \"1KB\" }\n\
         forward = [{ filter = \"a\", qos = 0, local_prefix = \"l/\", remote_prefix = \"r/\", retain = false }]\n\
         subscribe = [{ filter = \"$share/g/b\" }]\n\
         [bridges.lab.tls]\nca_file = \"/a\"\ncertificate_file = \"/c\"\nkey_file = \"/k\"\n\
         server_name = \"s\"\nalpn = [\"mqtt\"]\n",
    )
    .unwrap();
    let bridge = &config.bridges["lab"];
    assert_eq!((bridge.client_id("lab").as_ref(), bridge.keep_alive_seconds()), ("c", 65_535));
    assert_eq!(bridge.remote_notification_topic("lab").unwrap(), "n");
    assert_eq!(bridge.max_rate, BridgeRate { messages: 5, bytes: ByteSize(1000) });
    assert_eq!(bridge.addresses[0].to_string(), "wss://[::1]:443/x");
    assert!(bridge.subscribe[0].is_shared());
    assert_eq!(load(&config.to_toml().unwrap()).unwrap(), config);
}

#[test]
fn a_bridge_can_be_made_of_variables_alone() {
    for quote in ["", "'"] {
        let quoted = |text: &str| format!("{quote}{text}{quote}");
        let env = [
            ("FERRYMQ_BRIDGES__UP__ADDRESSES", quoted("[\"mqtt://127.0.0.1:1884\"]")),
            ("FERRYMQ_BRIDGES__UP__FORWARD", quoted("[{filter=\"#\"}]")),
            ("FERRYMQ_BRIDGES__UP__SUBSCRIBE", quoted("[ { filter = \"a,b/#\", qos = 1 } ]")),
            ("FERRYMQ_BRIDGES__UP__MAX_RATE", quoted("{ messages = 7 }")),
            ("FERRYMQ_BRIDGES__UP__MAX_RATE__BYTES", quoted("1KiB")),
            ("FERRYMQ_BRIDGES__UP__USERNAME", quoted("[u]")),
            ("FERRYMQ_BRIDGES__UP__PASSWORD", quoted("[word]")),
            ("FERRYMQ_BRIDGES__UP__VERSION", quoted("5.0")),
            ("FERRYMQ_BRIDGES__DOWN__ADDRESSES", quoted("ws://a, wss://b")),
            ("FERRYMQ_BRIDGES__DOWN__SUBSCRIBE", quoted("[{filter=\"#\"}]")),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value)).into();
        let config = Config::load(&Sources { env, ..Sources::default() }).unwrap();
        let up = &config.bridges["up"];
        assert_eq!(up.addresses[0].to_string(), "mqtt://127.0.0.1:1884");
        assert_eq!((up.forward[0].filter.as_str(), up.forward.len()), ("#", 1));
        assert_eq!((up.subscribe[0].filter.as_str(), up.subscribe[0].qos), ("a,b/#", 1));
        assert_eq!(up.max_rate, BridgeRate { messages: 7, bytes: ByteSize::kib(1) });
        assert_eq!((up.username.as_str(), up.password.reveal()), ("[u]", "[word]"));
        assert_eq!(up.version, BridgeVersion::V5);
        assert!(!config.to_toml().unwrap().contains("word]"), "the password is masked");
        assert_eq!(config.bridges["down"].addresses.len(), 2);
    }
}

#[test]
fn access_rules_can_be_made_of_a_variable() {
    let rules = "[{ effect = \"allow\", topics = [\"a/#\"] }]".to_owned();
    let env = [("FERRYMQ_ACL__RULES".to_owned(), rules)].into();
    let config = Config::load(&Sources { env, ..Sources::default() }).unwrap();
    assert_eq!(config.acl.rules.len(), 1);
}

#[test]
fn a_list_that_is_no_toml_is_told_with_its_variable() {
    let begins = "it begins like a list or a table of TOML, and is none: ";
    for value in ["[{filter=#}]", "[{filter=\"a\"", "{", "[]\nmqtt = 1"] {
        let error = env_error("FERRYMQ_BRIDGES__UP__FORWARD", value);
        let key = "bridges.up.forward (environment variable FERRYMQ_BRIDGES__UP__FORWARD): ";
        assert!(error.starts_with(&format!("{key}{begins}")), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(set_error(&format!("bridges.up.forward={value}")).contains(begins));
    }
    assert_eq!(
        env_error("FERRYMQ_BRIDGES__UP__FORWARD", "a/#"),
        "bridges.up.forward (environment variable FERRYMQ_BRIDGES__UP__FORWARD): found \"a/#\", \
         expected a list"
    );
}

#[test]
fn an_unknown_key_of_a_bridge_or_of_a_rule_is_told() {
    assert_eq!(
        lab("adresses = []").unwrap_err(),
        "bridges.lab.adresses (file FILE): there is no such key; did you mean \
         bridges.lab.addresses?"
    );
    let error = lab(&format!("{TO}forward = [{{ fliter = \"a\" }}]")).unwrap_err();
    assert!(error.starts_with("bridges.lab.forward"), "{error}");
    assert!(error.contains("filter"), "{error}");
}

#[test]
fn a_table_without_a_name_and_a_qos_that_is_none_are_told() {
    let named = "each item of bridges has a name: write the table as [bridges.NAME]";
    for text in [
        "[bridges]\nforward = [{ filter = \"#\" }]\n",
        "[bridges]\nkeep_alive = \"30s\"\n",
        "[[bridges]]\naddresses = [\"mqtt://a\"]\n",
    ] {
        let error = load(text).unwrap_err();
        assert!(error.ends_with(named), "{error}");
    }
    let error = lab("forward = [{ filter = \"#\", qos = \"1\" }]").unwrap_err();
    assert!(error.ends_with("found \"1\", expected a QoS of 0, 1 or 2"), "{error}");
    // A listener may have the name of a key.
    let error = load("[listeners.tls]\nbind = 1\n").unwrap_err();
    assert!(!error.contains("has a name"), "{error}");
}

#[test]
fn an_address_that_cannot_be_read_is_shown_without_its_password() {
    assert_eq!(
        lab("addresses = [\"mqtt://ann:hunter2@broker\"]").unwrap_err(),
        "bridges.lab.addresses (file FILE): found \"mqtt://***@broker\", expected a URL such as \
         mqtts://host:8883 or wss://host/mqtt (mqtt, mqtts, ws, wss), without a user name"
    );
}

#[test]
fn a_bridge_has_a_name_that_every_layer_can_write() {
    let long = "n".repeat(65);
    for name in ["Up", "a.b", "a__b", "", &long] {
        let error = load(&format!("[bridges.\"{name}\"]\n{TO}{RULE}")).unwrap_err();
        assert!(error.contains("a bridge's name is made of a-z, 0-9, - and _"), "{error}");
    }
    load(&format!("[bridges.{}]\n{TO}{RULE}", "n".repeat(64))).unwrap();
}

#[test]
fn two_bridges_do_not_have_one_client_id_at_the_same_broker() {
    let twice = |address: &str| {
        load(&format!(
            "[bridges.a]\n{TO}{RULE}client_id = \"x\"\n\
             [bridges.b]\naddresses = [\"{address}\"]\n{RULE}client_id = \"x\"\n"
        ))
    };
    let error = twice("mqtts://broker:8883").unwrap_err();
    assert!(error.starts_with("bridges.b.client_id (file FILE): bridges.a has"), "{error}");
    twice("mqtts://other").unwrap();
}

#[test]
fn a_value_of_a_bridge_that_is_not_allowed_is_told_with_what_is() {
    let plain = "addresses = [\"mqtt://broker\"]\n";
    let tls = |keys: &str| format!("{TO}{RULE}tls = {{ {keys} }}");
    let with = |keys: &str| format!("{TO}{RULE}{keys}");
    for (lines, key, problem) in [
        (RULE.to_owned(), "addresses", "found none: list the remote broker's"),
        (TO.to_owned(), "forward", "neither forward nor subscribe has a rule"),
        (
            with("version = 5.0"),
            "version",
            "found 5, expected \"auto\", \"5.0\" or \"3.1.1\", as text",
        ),
        (with("version = \"3.1\""), "version", "found \"3.1\", expected \"auto\""),
        (with("keep_alive = \"0s\""), "keep_alive", "found 0s, expected 1s to 65535s"),
        (with("keep_alive = \"never\""), "keep_alive", "found never, expected 1s to 65535s"),
        (with("ack_timeout = \"2h\""), "ack_timeout", "found 2h, expected 1s to 1h"),
        (with("max_backoff = \"500ms\""), "max_backoff", "found 500ms, expected 1s to 1d"),
        (
            with("session_expiry = \"0s\""),
            "session_expiry",
            "found 0s, with which the remote broker would forget the session, and the messages in \
             it, when the connection breaks: expected 1s or more, or \"never\"",
        ),
        (with("session_expiry = \"999ms\""), "session_expiry", "found 999ms, with which"),
        (with("receive_maximum = 0"), "receive_maximum", "found 0, expected 1 to 65535"),
        (
            with("receive_maximum = 65536"),
            "receive_maximum",
            "found 65536, expected a whole number from 1 to 65535",
        ),
        (with("max_queued_messages = 0"), "max_queued_messages", "found 0, expected 1 to"),
        (with("max_queued_bytes = \"1B\""), "max_queued_bytes", "found 1B, expected at least 1KiB"),
        (with("max_dead_letters = 10000001"), "max_dead_letters", "found 10000001, expected 0 to"),
        (with("on_refused = \"drop\""), "on_refused", "\"drop\" is not allowed; it can be"),
        (with("overflow = \"drop\""), "overflow", "\"drop\" is not allowed; it can be"),
        (with("client_id = \"a\\nb\""), "client_id", "expected at most 65535 bytes without"),
        (
            with("password = \"x\""),
            "username",
            "there is a password without it, which only MQTT 5.0 allows: set it, or version = \
             \"5.0\"",
        ),
        (
            with("username = \"u\"\npassword = \"x\"\npassword_file = \"/p\""),
            "password_file",
            "bridges.lab.password is set as well: keep one of them",
        ),
        (
            with("notification_topic = \"a/#\""),
            "notification_topic",
            "found \"a/#\", which is a topic name with a wildcard",
        ),
        (
            format!("{plain}{RULE}tls = {{}}"),
            "tls",
            "no address uses TLS: write addresses with mqtts:// or wss://, or remove the table",
        ),
        (tls("certificate_file = \"/c\""), "tls.key_file", "tls.certificate_file needs it"),
        (tls("key_file = \"/k\""), "tls.certificate_file", "tls.key_file needs it"),
        (
            tls("server_name = \"host:8883\""),
            "tls.server_name",
            "found \"host:8883\", expected a DNS name or an IP address, without a port",
        ),
        (tls("alpn = [\"\"]"), "tls.alpn", "expected names of 1 to 255 bytes"),
    ] {
        let error = lab(&lines).unwrap_err();
        let expected = format!("bridges.lab.{key} (file FILE): {problem}");
        assert!(error.starts_with(&expected), "{lines}\n{error}\n{expected}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    lab(&with("version = \"5.0\"\npassword = \"token\"")).unwrap();
    lab(&with("tls = { server_name = \"10.0.0.1\" }")).unwrap();
}

#[test]
fn a_rule_that_has_no_meaning_is_told_with_its_number() {
    let rules = |key: &str, rules: &str| lab(&format!("{TO}{key} = [{rules}]"));
    for (key, rule, problem) in [
        ("forward", "{}", "filter: found \"\", expected a topic filter such as \"site/#\""),
        ("forward", "{ remote_prefix = \"r\" }", "filter: found \"\""),
        ("subscribe", "{ local_prefix = \"l\" }", "filter: found \"\""),
        ("forward", "{ filter = \"a\", qos = 3 }", "qos: found 3, expected 0 to 2"),
        ("forward", "{ filter = \"a#\" }", "filter: found \"a#\", which is `#` that is not"),
        ("forward", "{ filter = \"$share/g\" }", "filter: found \"$share/g\", which is a shared"),
        (
            "forward",
            "{ filter = \"a\", local_prefix = \"x/+/\" }",
            "local_prefix: found \"x/+/\", expected no wildcard: those are for filter",
        ),
        (
            "subscribe",
            "{ filter = \"a\", remote_prefix = \"#\" }",
            "remote_prefix: found \"#\", expected no wildcard",
        ),
        (
            "forward",
            "{ filter = \"a\", local_prefix = \"$share/g/\" }",
            "local_prefix: found \"$share/g/\": the group",
        ),
        (
            "forward",
            "{ filter = \"#\", remote_prefix = \"edge7\" }",
            "remote_prefix: \"edge7\" and the filter \"#\" make \"edge7#\", which is `#`",
        ),
        (
            "forward",
            "{ filter = \"$SYS/broker/#\" }",
            "remote_prefix: messages would be published to \"$SYS/broker/#\", and only the remote \
             broker publishes below $SYS: set remote_prefix, such as \"status/\"",
        ),
        (
            "subscribe",
            "{ filter = \"load/#\", remote_prefix = \"x/\", local_prefix = \"$SYS/\" }",
            "local_prefix: messages would be published to \"$SYS/load/#\", and only this broker",
        ),
    ] {
        let error = rules(key, rule).unwrap_err();
        let expected = format!("bridges.lab.{key} (file FILE): rule 1, {problem}");
        assert!(error.starts_with(&expected), "{error}\n{expected}");
    }
    let twice = "{ filter = \"b/#\", local_prefix = \"a/\" }, { filter = \"a/b/#\" }";
    assert_eq!(
        rules("forward", twice).unwrap_err(),
        "bridges.lab.forward (file FILE): rule 2, filter: rule 1 is for \"a/b/#\" as well, and \
         the first decides: remove one of them"
    );
    rules("subscribe", twice).unwrap();
    for (key, rule) in [
        ("forward", "{ local_prefix = \"l\", remote_prefix = \"r\" }"),
        ("forward", "{ filter = \"$SYS/#\", remote_prefix = \"r/\" }"),
        (
            "subscribe",
            "{ filter = \"clients/total\", remote_prefix = \"$SYS/broker/\", local_prefix = \"l/\" }",
        ),
        ("forward", "{ filter = \"#\", qos = 0 }, { filter = \"a/#\", qos = 1 }"),
    ] {
        assert_eq!(rules(key, rule).map(|_| ()), Ok(()), "{rule}");
    }
}
