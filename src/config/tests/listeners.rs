//! Rules of listeners, of authentication and of lists, and who is let in by them.

use super::*;

/// Loads `[listeners.lab]` with these lines, and these of other tables.
fn lab(lines: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f.toml");
    std::fs::write(&path, format!("[listeners.lab]\n{lines}\n")).unwrap();
    let loaded = Config::load(&Sources { file: Some(path.clone()), ..Sources::default() });
    loaded.map_err(|error| error.to_string().replace(path.to_str().unwrap(), "FILE"))
}

const TLS: &str = "protocol = \"mqtts\"\nbind = \"127.0.0.1:8883\"\n\
                   tls = { certificate_file = \"/c\", key_file = \"/k\"";

#[test]
fn listeners_of_each_protocol_can_be_configured() {
    for lines in [
        "bind = \"127.0.0.1:1\"".to_owned(),
        "protocol = \"unix\"\nbind = \"/run/x.sock\"\nmode = \"600\"".to_owned(),
        "protocol = \"ws\"\nbind = \"127.0.0.1:1\"".to_owned(),
        "protocol = \"ws\"\nbind = \"127.0.0.1:1\"\n\
         websocket = { path = \"/\", allowed_origins = [\"https://a.example:8443\"] }"
            .to_owned(),
        format!("{TLS} }}"),
        format!("{TLS}, client_auth = \"required\", client_ca_file = \"/a\", crl_file = \"/r\" }}"),
        format!("{TLS}, min_version = \"1.3\" }}").replace("mqtts", "wss"),
        "bind = \"off\"\nproxy_protocol = \"v1\"\ntrusted_proxies = [\"10.0.0.0/8\"]".to_owned(),
    ] {
        assert_eq!(lab(&lines).map(|_| ()), Ok(()), "{lines}");
    }
}

#[test]
fn a_key_that_does_not_belong_to_the_protocol_or_lacks_another_is_told() {
    let plain = "bind = \"127.0.0.1:1\"\n";
    let ws = "bind = \"127.0.0.1:1\"\nprotocol = \"ws\"\n";
    let tls = |keys: &str| format!("{TLS}, {keys} }}");
    let unused = "tls.client_auth is \"off\", so no certificate would be checked against it: write \
                  client_auth = \"required\" or \"optional\", or remove the key";
    let asks = "tls.client_auth asks for certificates: set it to a PEM file with the authorities \
                that issue them";
    for (lines, key, problem) in [
        (
            "protocol = \"unix\"\nbind = \"127.0.0.1:1\"".to_owned(),
            "bind",
            "found 127.0.0.1:1, expected the path of a socket, such as /run/ferrymq.sock, since \
             protocol is \"unix\"",
        ),
        (
            "bind = \"/run/x\"".to_owned(),
            "bind",
            "found /run/x, expected an address with a port, since protocol is \"mqtt\": write \
             protocol = \"unix\" for a Unix socket",
        ),
        (
            "protocol = \"unix\"\nbind = \"/run/x\"\nmode = 0o660".to_owned(),
            "mode",
            "found 432, expected octal digits that let the owner read and write, as text: \"660\"",
        ),
        (
            "protocol = \"unix\"\nbind = \"/run/x\"\nproxy_protocol = \"v2\"".to_owned(),
            "proxy_protocol",
            "a Unix socket has no proxies that an address would tell apart: remove the key, or let \
             the proxy connect by TCP",
        ),
        (
            format!("{plain}proxy_protocol = \"any\""),
            "trusted_proxies",
            "proxy_protocol is on, and would be believed of nobody: list the networks of the \
             proxies, such as 10.0.0.0/8",
        ),
        (
            format!("{plain}trusted_proxies = [\"10.0.0.0/8\"]"),
            "trusted_proxies",
            "protocol = \"mqtt\" has no X-Forwarded-For, and proxy_protocol is \"off\", so no proxy \
             could name a client: set proxy_protocol, or remove the key",
        ),
        (
            format!("{TLS}, min_version = \"1.2\" }}\ntrusted_proxies = [\"10.0.0.0/8\"]"),
            "trusted_proxies",
            "protocol = \"mqtts\" has no X-Forwarded-For, and proxy_protocol is \"off\", so no proxy \
             could name a client: set proxy_protocol, or remove the key",
        ),
        (
            format!("{plain}protocol = \"mqtts\""),
            "tls.certificate_file",
            "protocol = \"mqtts\" needs it: set it to a PEM file with the certificate and its chain",
        ),
        (
            format!("{plain}protocol = \"wss\"\ntls = {{ certificate_file = \"/c\" }}"),
            "tls.key_file",
            "protocol = \"wss\" needs it: set it to a PEM file with the private key",
        ),
        (
            format!("{plain}tls = {{ certificate_file = \"/c\", key_file = \"/k\" }}"),
            "tls",
            "protocol = \"mqtt\" has no TLS: write protocol = \"mqtts\" or \"wss\", or remove the \
             table",
        ),
        (tls("client_auth = \"optional\""), "tls.client_ca_file", asks),
        (tls("client_auth = \"required\", crl_file = \"/r\""), "tls.client_ca_file", asks),
        (tls("client_ca_file = \"/a\""), "tls.client_ca_file", unused),
        (tls("crl_file = \"/r\""), "tls.crl_file", unused),
        (
            format!("{plain}websocket = {{}}"),
            "websocket",
            "protocol = \"mqtt\" is no WebSocket: write protocol = \"ws\" or \"wss\", or remove the \
             table",
        ),
        (
            format!("{ws}websocket = {{ path = \"mqtt\" }}"),
            "websocket.path",
            "found \"mqtt\", expected a path that begins with /, such as /mqtt",
        ),
        (
            format!("{ws}websocket = {{ allowed_origins = [\"https://a.example/\"] }}"),
            "websocket.allowed_origins",
            "found \"https://a.example/\", expected scheme and host, and a port that is not the \
             scheme's own, such as https://example.org",
        ),
        (
            format!("{plain}auth = {{ require = [\"certificate\"] }}"),
            "auth.require",
            "found \"certificate\", which is not in listeners.lab.auth.methods: add it there",
        ),
    ] {
        let expected = format!("listeners.lab.{key} (file FILE): {problem}");
        assert_eq!(lab(&lines).unwrap_err(), expected, "{lines}");
    }
}

#[test]
fn values_of_authentication_and_bans_have_their_ranges() {
    for (given, problem) in [
        (
            "auth.require=certificate",
            "found \"certificate\", which is not in auth.methods: add it there",
        ),
        (
            "auth.methods=jwt,pasword",
            "found \"pasword\", expected \"certificate\", \"jwt\", \"password\" or \"http\"",
        ),
        ("auth.jwt.jwks_refresh=9s", "found 9s, expected 10s to 7d"),
        ("auth.jwt.leeway=2h", "found 2h, expected 0s to 1h"),
        ("auth.jwt.username_claim=", "found \"\", expected the name of a claim, such as \"sub\""),
        (
            "auth.jwt.jwks_url=example.org",
            "expected a URL that begins with https:// or http://, or \"\" for none",
        ),
        ("auth.http.timeout=1ms", "found 1ms, expected 100ms to 1m"),
        ("auth.http.max_requests=0", "found 0, expected 1 to 1000"),
        ("auth.http.cache_time=never", "found never, expected 0s to 1d"),
        ("auth.http.cache_size=1000001", "found 1000001, expected 0 to 1000000"),
        ("bans.max_failures=1000001", "found 1000001, expected 0 to 1000000"),
        ("bans.window=0s", "found 0s, expected 1s to 1d"),
        ("bans.time=366d", "found 366d, expected 1s to 365d"),
        (
            "bans.exempt=10.0.0.1",
            "found \"10.0.0.1\", expected a network such as 10.0.0.0/8 or 2001:db8::/32",
        ),
        ("limits.publish_rate=-1", "found -1, expected a whole number from 0 to 4294967295"),
        (
            "mqtt.on_denied=drop",
            "\"drop\" is not allowed; it can be \"acknowledge\", \"disconnect\"",
        ),
    ] {
        let (key, _) = given.split_once('=').unwrap();
        assert_eq!(set_error(given), format!("{key} (--set): {problem}"));
    }
    let text = "[acl]\nmosquitto_file = \"/a\"\n\n\
                [[acl.rules]]\neffect = \"deny\"\ntopics = [\"#\"]\n";
    assert_eq!(
        file_error(text),
        "acl.mosquitto_file (file FILE): acl.rules is set as well: keep one of them"
    );
}

#[test]
fn lists_and_the_tables_of_a_listener_can_be_set_in_the_environment() {
    for quote in ["", "\"", "'"] {
        let given = [
            ("AUTH__METHODS", "jwt, password,certificate"),
            ("AUTH__REQUIRE", "certificate"),
            ("AUTH__JWT__AUDIENCE", "1883"),
            ("AUTH__JWT__ISSUER", "https://issuer.example"),
            ("AUTH__JWT__REQUIRE_EXPIRY", "false"),
            ("AUTH__HTTP__MAX_REQUESTS", "7"),
            ("BANS__EXEMPT", "10.0.0.0/8,2001:db8::/32"),
            ("LISTENERS__SECURE__PROTOCOL", "mqtts"),
            ("LISTENERS__SECURE__BIND", "127.0.0.1:8883"),
            ("LISTENERS__SECURE__MODE", "660"),
            ("LISTENERS__SECURE__PROXY_PROTOCOL", "any"),
            ("LISTENERS__SECURE__TRUSTED_PROXIES", "10.0.0.0/8"),
            ("LISTENERS__SECURE__TLS__CERTIFICATE_FILE", "/c"),
            ("LISTENERS__SECURE__TLS__KEY_FILE", "/k"),
            ("LISTENERS__SECURE__TLS__CLIENT_AUTH", "required"),
            ("LISTENERS__SECURE__TLS__CLIENT_CA_FILE", "/a"),
            ("LISTENERS__SECURE__TLS__MIN_VERSION", "1.3"),
            ("LISTENERS__SECURE__AUTH__METHODS", "certificate"),
            ("LISTENERS__SECURE__AUTH__ALLOW_ANONYMOUS", "false"),
            ("LISTENERS__PAGE__PROTOCOL", "ws"),
            ("LISTENERS__PAGE__BIND", "127.0.0.1:8083"),
            ("LISTENERS__PAGE__WEBSOCKET__PATH", "/"),
            ("LISTENERS__PAGE__WEBSOCKET__ALLOWED_ORIGINS", "https://a.example,http://b.example"),
        ];
        let env =
            given.map(|(key, value)| (format!("FERRYMQ_{key}"), format!("{quote}{value}{quote}")));
        let config = Config::load(&Sources { env: env.into(), ..Sources::default() }).unwrap();
        let auth = &config.auth;
        assert_eq!(auth.methods.0, [Method::Jwt, Method::Password, Method::Certificate]);
        assert_eq!(auth.require.0, [Method::Certificate]);
        assert_eq!(auth.jwt.audience.0, ["1883"]);
        assert_eq!(auth.jwt.issuer, "https://issuer.example");
        assert!(!auth.jwt.require_expiry);
        assert_eq!(auth.http.max_requests, 7);
        assert_eq!(config.bans.exempt.len(), 2);
        let secure = &config.listeners["secure"];
        assert_eq!((secure.protocol, secure.mode), (Protocol::Mqtts, Mode(0o660)));
        assert_eq!(secure.proxy_protocol, ProxyProtocol::Any);
        assert_eq!(secure.trusted_proxies.len(), 1);
        let tls = secure.tls.as_ref().unwrap();
        assert_eq!(tls.certificate_file, Some("/c".into()));
        assert_eq!((tls.client_auth, tls.min_version), (ClientAuth::Required, TlsVersion::V13));
        let own = secure.auth.as_ref().unwrap();
        assert_eq!(own.methods.as_deref(), Some(&[Method::Certificate][..]));
        assert_eq!((&own.require, own.allow_anonymous), (&None, Some(Anonymous::Never)));
        let page = config.listeners["page"].websocket.as_ref().unwrap();
        assert_eq!((&*page.path, page.allowed_origins.len()), ("/", 2));
    }
}

#[test]
fn an_open_listener_is_protected_by_what_can_tell_who_a_client_is() {
    let open = ["listeners.tcp.bind=0.0.0.0:1883"];
    let load = |more: &[&str]| {
        Config::load(&sources(&[], &[&open[..], more].concat()))
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    for ways in [
        &["auth.jwt.key_file=/k"][..],
        &["auth.http.url=https://auth.example"],
        &["auth.scram.file=/s"],
        &["listeners.tcp.auth.allow_anonymous=true"],
        &["auth.password_file=/p", "listeners.tcp.auth.methods=password"],
        &[
            "auth.methods=certificate",
            "listeners.tcp.protocol=mqtts",
            "listeners.tcp.tls.certificate_file=/c",
            "listeners.tcp.tls.key_file=/k",
            "listeners.tcp.tls.client_auth=required",
            "listeners.tcp.tls.client_ca_file=/a",
        ],
    ] {
        assert_eq!(load(ways), Ok(()), "{ways:?}");
    }
    for (ways, key) in [
        // What may tell who a client is, is not asked.
        (&["auth.password_file=/p", "auth.methods=jwt"][..], "auth.methods"),
        (
            &["auth.password_file=/p", "listeners.tcp.auth.methods=jwt"],
            "listeners.tcp.auth.methods",
        ),
        (&["auth.methods=certificate"], "listeners.tcp.bind"),
        (
            &["auth.allow_anonymous=true", "listeners.tcp.auth.allow_anonymous=false"],
            "listeners.tcp.bind",
        ),
    ] {
        let error = load(ways).unwrap_err();
        assert!(error.starts_with(&format!("{key} (")), "{ways:?} {error}");
    }
}

#[test]
fn a_listener_behind_a_proxy_is_open_wherever_it_is_bound() {
    let proxied = ["listeners.tcp.proxy_protocol=v2", "listeners.tcp.trusted_proxies=127.0.0.0/8"];
    let error = Config::load(&sources(&[], &proxied)).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "listeners.tcp.bind (built-in default): others can reach, through a proxy, \
             127.0.0.1:1883: set auth.password_file"
        ),
        "{error}"
    );
    let word = [&proxied[..], &["auth.allow_anonymous=true"]].concat();
    assert!(Config::load(&sources(&[], &word)).is_ok());
    // A Unix socket is for this machine.
    let unix = ["listeners.tcp.protocol=unix", "listeners.tcp.bind=/run/x.sock"];
    assert!(Config::load(&sources(&[], &unix)).is_ok());
}
