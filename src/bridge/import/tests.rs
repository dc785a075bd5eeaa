//! Configurations as people have them: manual page, Debian's example, a cloud service.

use super::*;
use crate::config::{BridgeRule, Config};

/// The TOML, which is checked as a configuration, and the notes.
fn imported(text: &str) -> (String, Vec<String>) {
    let imported = import(text);
    assert_eq!(imported.problem, None);
    let toml = imported.to_toml();
    let mut config = toml::from_str::<toml::Table>(&toml).unwrap();
    let mut all = toml::Table::try_from(Config::default()).unwrap();
    all.insert("bridges".to_owned(), config.remove("bridges").unwrap());
    let config: Config = all.try_into().unwrap();
    assert_eq!(config.bridges, imported.bridges, "what is written is what was meant");
    (toml, imported.notes.iter().map(ToString::to_string).collect())
}

/// `connection c` with an address, a client id and these lines: the TOML behind these keys, and
/// the notes.
fn with(lines: &str) -> (String, Vec<String>) {
    let head = "connection c\naddress h:1\nremote_clientid i\nnotifications false\ntopic # out 1\n";
    let (toml, notes) = imported(&format!("{head}{lines}"));
    let usual = [
        "[bridges.c]",
        "addresses = [\"mqtt://h:1\"]",
        "addresses = [\"mqtts://h:1\"]",
        "client_id = \"i\"",
        "forward = [",
        "  { filter = \"#\", qos = 1 },",
        "]",
        "",
    ];
    let lines = toml.lines().filter(|line| !usual.contains(line));
    (lines.collect::<Vec<_>>().join("\n"), notes)
}

/// "Example Bridge Topic Remapping" of mosquitto.conf(5).
#[test]
fn the_example_of_the_manual_page() {
    let (toml, notes) = imported(
        "connection test-mosquitto-org\n\
         address test.mosquitto.org\n\
         cleansession true\n\
         topic clients/total in 0 test/mosquitto/org/ $SYS/broker/\n",
    );
    assert_eq!(
        toml,
        "[bridges.test-mosquitto-org]\n\
         addresses = [\"mqtt://test.mosquitto.org:1883\"]\n\
         clean_start = true\n\
         notifications = true\n\
         subscribe = [\n  \
           { filter = \"clients/total\", qos = 0, local_prefix = \"test/mosquitto/org/\", \
             remote_prefix = \"$SYS/broker/\" },\n\
         ]\n"
    );
    assert_eq!(
        notes,
        ["line 1, `connection test-mosquitto-org`: no remote_clientid: Mosquitto makes one of \
          this name and the host's, and the bridge's is ferrymq-test-mosquitto-org. Messages in \
          the old session at the remote broker stay there"]
    );
}

/// The configuration that AWS publishes for a bridge to its broker.
#[test]
fn a_bridge_to_a_cloud_service() {
    let (toml, notes) = imported(
        "#Copy paste the following in the nano editor:\r\n\
         # =================================================================\r\n\
         # Bridges to AWS IOT\r\n\
         connection awsiot\r\n\
         address abc-ats.iot.eu-central-1.amazonaws.com:8883\r\n\
         # Specifying which topics are bridged\r\n\
         topic awsiot_to_localgateway in 1\r\n\
         topic localgateway_to_awsiot out 1\r\n\
         topic both_directions both 1\r\n\
         bridge_protocol_version mqttv311\r\n\
         bridge_insecure false\r\n\
         cleansession true\r\n\
         clientid bridgeawsiot\r\n\
         start_type automatic\r\n\
         notifications false\r\n\
         log_type all\r\n\
         bridge_cafile /etc/mosquitto/certs/rootCA.pem\r\n\
         bridge_certfile /etc/mosquitto/certs/cert.crt\r\n\
         bridge_keyfile /etc/mosquitto/certs/private.key\r\n\
         bridge_alpn mqtt\r\n",
    );
    assert_eq!(
        toml,
        r#"[bridges.awsiot]
addresses = ["mqtts://abc-ats.iot.eu-central-1.amazonaws.com:8883"]
version = "3.1.1"
client_id = "bridgeawsiot"
clean_start = true
forward = [
  { filter = "localgateway_to_awsiot", qos = 1 },
  { filter = "both_directions", qos = 1 },
]
subscribe = [
  { filter = "awsiot_to_localgateway", qos = 1 },
  { filter = "both_directions", qos = 1 },
]

[bridges.awsiot.tls]
alpn = ["mqtt"]
ca_file = "/etc/mosquitto/certs/rootCA.pem"
certificate_file = "/etc/mosquitto/certs/cert.crt"
key_file = "/etc/mosquitto/certs/private.key"
"#
    );
    assert_eq!(notes, ["line 16, `log_type all`: not a setting of a bridge"]);
}

/// Each setting in the bridge section of the file that Debian's package ships as an example,
/// with Mosquitto's defaults as values, behind the settings of Debian's /etc/mosquitto.
#[test]
fn every_setting_of_debians_example() {
    let (toml, notes) = imported(
        "pid_file /run/mosquitto/mosquitto.pid\n\
         persistence true\n\
         include_dir /etc/mosquitto/conf.d\n\
         connection up\n\
         address a.example.org:1884 192.168.1.10 2001:db8::1:1883\n\
         topic site/# both 2 local/ remote/\n\
         bridge_bind_address 192.168.1.10\n\
         bridge_attempt_unsubscribe true\n\
         bridge_protocol_version mqttv50\n\
         cleansession false\n\
         idle_timeout 60\n\
         keepalive_interval 60\n\
         local_clientid local.up\n\
         notifications true\n\
         notification_topic state/up\n\
         remote_clientid edge7\n\
         remote_password hunter2\n\
         remote_username ann\n\
         restart_timeout 5 30\n\
         round_robin false\n\
         start_type automatic\n\
         threshold 10\n\
         try_private true\n\
         bridge_outgoing_retain true\n\
         bridge_max_packet_size 0\n\
         bridge_cafile /ca.pem\n\
         bridge_capath /certs\n\
         bridge_insecure false\n",
    );
    assert_eq!(
        toml,
        r#"[bridges.up]
addresses = ["mqtts://a.example.org:1884", "mqtts://192.168.1.10:1883", "mqtts://[2001:db8::1]:1883"]
version = "5.0"
client_id = "edge7"
username = "ann"
max_backoff = "30s"
notification_topic = "state/up"
notifications = true
forward = [
  { filter = "site/#", qos = 2, local_prefix = "local/", remote_prefix = "remote/" },
]
subscribe = [
  { filter = "site/#", qos = 2, local_prefix = "local/", remote_prefix = "remote/" },
]

[bridges.up.tls]
ca_file = "/ca.pem"
"#
    );
    let lines: Vec<_> = notes.iter().map(|note| note.split('`').nth(1).unwrap()).collect();
    assert_eq!(
        lines,
        [
            "pid_file /run/mosquitto/mosquitto.pid",
            "persistence true",
            "include_dir /etc/mosquitto/conf.d",
            "address a.example.org:1884 192.168.1.10 2001:db8::1:1883",
            "bridge_bind_address 192.168.1.10",
            "bridge_attempt_unsubscribe true",
            "idle_timeout 60",
            "local_clientid local.up",
            "remote_password ***",
            "restart_timeout 5 30",
            "threshold 10",
            "bridge_max_packet_size 0",
            "bridge_capath /certs",
        ]
    );
    let all = format!("{toml}{notes:?}");
    assert!(!all.contains("hunter2"), "{all}");
    assert!(all.contains("set bridges.up.password_file to the file"), "{all}");
}

#[test]
fn topics_have_mosquittos_defaults() {
    let rules = |lines: &str| {
        let bridge = import(&format!("connection c\naddress h\nremote_clientid c\n{lines}"))
            .bridges
            .remove("c");
        let bridge = bridge.unwrap();
        (bridge.forward, bridge.subscribe)
    };
    let rule = |filter: &str, qos, local: &str, remote: &str| BridgeRule {
        filter: filter.to_owned(),
        qos,
        local_prefix: local.to_owned(),
        remote_prefix: remote.to_owned(),
        retain: true,
    };
    for (line, out, into) in [
        ("topic a/#", Some(rule("a/#", 0, "", "")), None),
        ("topic a out", Some(rule("a", 0, "", "")), None),
        ("topic a IN 1", None, Some(rule("a", 1, "", ""))),
        ("topic a in 1 l/", None, Some(rule("a", 1, "l/", ""))),
        ("topic a in 1 \"\" r/", None, Some(rule("a", 1, "", "r/"))),
        ("topic a out 2 l/ \"\"", Some(rule("a", 2, "l/", "")), None),
        ("topic \"\" out 1 here there", Some(rule("", 1, "here", "there")), None),
        ("topic   #   out   1", Some(rule("#", 1, "", "")), None),
        ("topic \"a b/#\" out 1 l/ r/", Some(rule("a b/#", 1, "l/", "r/")), None),
        ("topic a out 1 # a comment", Some(rule("a", 1, "", "")), None),
        (
            "bridge_outgoing_retain false\ntopic a",
            Some(BridgeRule { retain: false, ..rule("a", 0, "", "") }),
            None,
        ),
    ] {
        assert_eq!(rules(line), (Vec::from_iter(out), Vec::from_iter(into)), "{line}");
    }
}

/// As Mosquitto 2.0.11 does it: with `p/#` before it, `p/x` still arrives as `mapped/p/x`.
#[test]
fn lines_with_a_prefix_come_before_those_without() {
    let text = "connection c\naddress h\ntopic p/# out 1\ntopic p/x both 1 \"\" mapped/\n\
                topic # both 1\ntopic q/# in 1 l/\n";
    let bridge = import(text).bridges.remove("c").unwrap();
    let filters =
        |rules: &[BridgeRule]| rules.iter().map(|rule| rule.filter.clone()).collect::<Vec<_>>();
    assert_eq!(filters(&bridge.forward), ["p/x", "p/#", "#"]);
    assert_eq!(filters(&bridge.subscribe), ["p/x", "q/#", "#"]);
}

#[test]
fn lines_for_the_same_topics_become_one_rule_that_loses_nothing() {
    let rules = |lines: &str| {
        let text = format!("connection c\naddress h\nremote_clientid c\n{lines}");
        let imported = import(&text);
        assert_eq!(imported.notes.len(), 1, "{:?}", imported.notes);
        let rules = imported.bridges["c"].forward.clone();
        rules.into_iter().map(|it| (it.filter, it.qos, it.remote_prefix)).collect::<Vec<_>>()
    };
    let one = |filter: &str, prefix: &str| vec![(filter.to_owned(), 2, prefix.to_owned())];
    assert_eq!(rules("topic a/# out 0\ntopic a/# out 2\n"), one("a/#", ""));
    assert_eq!(rules("topic # out 0\ntopic # out 2 \"\" x/\n"), one("#", "x/"));
    assert_eq!(rules("topic # out 2 \"\" x/\ntopic # out 0\n"), one("#", "x/"));
    assert_eq!(rules("topic # out 1 \"\" x/\ntopic # out 2 \"\" y/\n"), one("#", "x/"));
}

#[test]
fn a_topic_that_cannot_be_read_is_left_out_with_a_note() {
    for (line, why) in [
        ("topic", "there is no topic"),
        ("topic \"a b out 1", "there is no closing quote"),
        ("topic a up 1", "`up` is none of out, in and both"),
        ("topic a out 3", "`3` is no QoS"),
        ("topic a out 1 l/ r/ x", "there is something behind the remote prefix"),
    ] {
        let (toml, notes) = with(line);
        assert_eq!((toml.as_str(), notes), ("", vec![format!("line 6, `{line}`: {why}")]));
    }
}

#[test]
fn every_other_setting_becomes_a_key_or_a_note() {
    for (lines, toml, note) in [
        ("keepalive_interval 30", "keep_alive = \"30s\"", None),
        ("try_private false", "try_private = false", None),
        ("bridge_receive_maximum 20", "receive_maximum = 20", None),
        ("bridge_session_expiry_interval 3600", "session_expiry = \"1h\"", None),
        ("bridge_session_expiry_interval 4294967295", "", None),
        ("bridge_session_expiry_interval 0", "", Some("a session that ends with the connection")),
        ("bridge_protocol_version mqttv31", "version = \"3.1.1\"", Some("do not speak MQTT 3.1;")),
        ("bridge_tls_use_os_certs true", "", None),
        ("bridge_tls_use_os_certs false", "", None),
        ("bridge_cafile /a b.pem", "[bridges.c.tls]\nca_file = \"/a b.pem\"", None),
        ("bridge_certfile /c", "", Some("the connection has no TLS, as in Mosquitto")),
        ("bridge_insecure true", "", Some("certificates are always checked")),
        ("bridge_identity i", "", Some("pre-shared keys are not supported")),
        ("bridge_psk 1234", "", Some("`bridge_psk ***`: no counterpart: pre-shared keys")),
        ("bridge_tls_version tlsv1.2", "", Some("TLS 1.2 and 1.3 are offered")),
        ("bridge_ciphers X", "", Some("cipher suites")),
        ("bridge_require_ocsp true", "", Some("OCSP")),
        ("bridge_max_topic_alias 10", "", Some("topic aliases")),
        ("bridge_tcp_keepalive 1 1 1", "", Some("found by keep_alive and ack_timeout")),
        ("bridge_tcp_user_timeout 1", "", Some("found by keep_alive and ack_timeout")),
        ("bridge_reload_type immediate", "", Some("a reload leaves bridges alone")),
        ("notifications true", "notifications = true", None),
        ("notifications true\nnotifications_local_only true", "", None),
        ("cleansession 1", "clean_start = true", None),
        ("cleansession maybe", "", Some("expected true or false")),
        ("local_cleansession true", "", Some("always durable")),
        ("local_username u", "", Some("the user bridge:NAME")),
        ("local_password hunter2", "", Some("`local_password ***`")),
        ("round_robin true", "", Some("addresses are tried in their order")),
        ("start_type lazy", "", Some("always connected")),
        ("start_type once", "", Some("always connects again")),
        ("start_type manual", "", Some("none of automatic, lazy and once")),
        ("restart_timeout 20", "max_backoff = \"20s\"", Some("waits begin at 1s")),
        ("restart_timeout x", "", Some("expected seconds")),
        ("keepalive_interval 0", "", Some("expected 1 to 65535 seconds")),
        ("address [::1", "", Some("`[::1` is no host with a port")),
        ("queue_qos0_messages true", "", Some("set queue_qos0 = true for each bridge")),
        ("max_inflight_messages 1", "", Some("a key receive_maximum")),
        ("bridge_new_setting x", "", Some("not a setting of a bridge")),
    ] {
        let (found, notes) = with(lines);
        assert_eq!(found, toml, "{lines}");
        assert_eq!(notes.len(), usize::from(note.is_some()), "{lines} {notes:?}");
        assert!(notes.iter().all(|one| one.contains(note.unwrap_or_default())), "{notes:?}");
    }
}

#[test]
fn names_are_made_into_those_that_a_bridge_may_have() {
    let text = "topic #\nconnection Bridge To.X\naddress a\ntopic #\nconnection bridge to x\n\
                address b\ntopic #\nconnection a__b\naddress c\ntopic #\nconnection\naddress d\ntopic #";
    let imported = import(text);
    let names: Vec<_> = imported.bridges.keys().map(String::as_str).collect();
    assert_eq!(names, ["a_-b", "bridge", "bridge-to-x", "bridge-to-x-2"]);
    assert_eq!(imported.problem, None);
    assert_eq!(
        imported.notes[0].to_string(),
        "line 1, `topic #`: it belongs to a bridge, and there is no connection above it"
    );
    let long = format!("connection {}\n", "ü".repeat(90)).repeat(2);
    let lengths: Vec<_> = import(&long).bridges.keys().map(String::len).collect();
    assert_eq!(lengths, [64, 64]);
}

#[test]
fn what_has_to_be_changed_before_use_is_told() {
    let problem = |lines: &str| import(&format!("connection c\n{lines}")).problem.unwrap();
    assert!(problem("topic #").starts_with("bridges.c.addresses: found none"));
    assert!(problem("address a").starts_with("bridges.c.forward: neither"));
    assert!(problem("address a\ntopic # out 0 l").contains("\"l#\""));
    assert!(import("").bridges.is_empty());
}

#[test]
fn a_note_has_nothing_that_acts_on_a_terminal() {
    let note = import("x \u{1b}[2J\u{202e}").notes.remove(0).to_string();
    assert_eq!(note, "line 1, `x \\u{1b}[2J\\u{202e}`: not a setting of a bridge");
}
