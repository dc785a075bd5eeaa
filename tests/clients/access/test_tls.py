"""TLS: certificates of the broker and of its clients, good and bad, as real clients see them."""

import ssl

import pytest

import raw
from certificates import AUTHORITY, PAST, SERVER, Authority, client_context, openssl
from person import V4, V5
from reach import lines_of, log_has, mosquitto, over_tcp, over_tls, tls

BOTH = pytest.mark.parametrize("version", [V4, V5])
FAILURES = "ferrymq_tls_handshake_failures_total"


@pytest.fixture
def secure(make_broker, listener, pki):
    """A broker with a listener `secure` for TLS, at `tls_port`."""
    def secure(certificate=pki.server, start=True, key=None, **keys):
        settings = {name: value for name, value in keys.items() if name.startswith(("AUTH__", "HTTP__"))}
        of_tls = {f"TLS__{name}": value for name, value in keys.items() if name not in settings}
        made, port = listener("secure", "mqtts", TLS__CERTIFICATE_FILE=certificate.file,
                              TLS__KEY_FILE=key or certificate.key, **of_tls)
        broker = make_broker(start=False, **made, **settings)
        broker.tls_port = port
        return broker.start() if start else broker

    return secure


@pytest.fixture
def with_clients(secure, pki):
    """One that asks its clients for certificates."""
    def with_clients(client_auth="required", **keys):
        return secure(CLIENT_CA_FILE=pki.trusted, CLIENT_AUTH=client_auth, **keys)

    return with_clients


def tls_options(pki, certificate=None, trusted=None):
    """Those of mosquitto_pub and mosquitto_sub."""
    own = ("--cert", certificate.file, "--key", certificate.key) if certificate else ()
    return ("--cafile", trusted or pki.trusted, *own)


@BOTH
def test_paho_publishes_and_subscribes(secure, pki, person, version):
    port = secure().tls_port
    use = {"host": "localhost", "prepare": lambda client: client.tls_set_context(pki.authority.context())}
    one, other = person(port, "one", version, **use), person(port, "other", version, **use)
    other.subscribe("t/#", 2)
    for qos in range(3):
        one.publish(f"t/{qos}", b"x" * 100_000, qos)
        assert other.message().payload == b"x" * 100_000


@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_mosquitto_publishes_and_subscribes(secure, pki, version):
    port = secure().tls_port
    common = (*tls_options(pki), "-V", version, "-t", "kept")
    sent = mosquitto("pub", port, *common, "-m", "over TLS", "-r", "-q", "1")
    assert sent.returncode == 0, sent.stderr
    got = mosquitto("sub", port, *common, "-C", "1", "-W", "15")
    assert got.stdout == "over TLS\n", got.stderr


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("alpn,chosen", [(None, None), (["mqtt"], "mqtt"), (["x", "mqtt"], "mqtt"), (["http/1.1"], None)])
def test_versions_and_alpn(secure, pki, opened, version, alpn, chosen):
    context = pki.authority.context(version=version, alpn=alpn)
    client = opened(over_tls(secure().tls_port, context))
    assert client.socket.version() == version.name.replace("_", ".")
    # Nobody is refused for what is offered, and nothing else is chosen.
    assert client.socket.selected_alpn_protocol() == chosen
    client.connect("c")
    client.ping()


# Python's own warning about the version that is tried.
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1")
@pytest.mark.parametrize("lowest,offered", [
    ("1.2", ssl.TLSVersion.TLSv1_1), ("1.3", ssl.TLSVersion.TLSv1_2)])
def test_a_version_that_is_too_old(secure, pki, lowest, offered):
    broker = secure(MIN_VERSION=lowest)
    with pytest.raises(OSError):
        tls(broker.tls_port, pki.authority.context(version=offered))
    broker.await_metric(FAILURES, lambda n: n == 1, reason="unsupported_version")
    log_has(broker, "TLS handshake failed.*min_version")


@pytest.mark.parametrize("kind,form", [
    ("ec", "pkcs8"), ("ec", "sec1"), ("rsa", "pkcs8"), ("rsa", "pkcs1"), ("ed25519", "pkcs8")])
def test_forms_of_a_private_key(secure, pki, tmp_path, opened, kind, form):
    certificate = Authority(tmp_path / "own").issue("server", SERVER, kind=kind)
    key = certificate.key
    if form != "pkcs8":
        key = tmp_path / "key.pem"
        openssl("ec" if kind == "ec" else "rsa", "-in", certificate.key, "-out", key,
                *(("-traditional",) if kind == "rsa" else ()))
        assert "BEGIN PRIVATE" not in key.read_text()
    port = secure(certificate, key=key).tls_port
    opened(over_tls(port, client_context(tmp_path / "own" / "ca.crt"))).connect("c")


def test_a_chain_with_an_authority_between(secure, pki, tmp_path, person):
    """The client trusts only the root, and the broker sends what is between."""
    between = Authority(tmp_path / "between", "Between", issuer=pki.authority)
    server = between.issue("server", SERVER)
    server.file.write_text(server.file.read_text() + between.certificate.read_text())
    port = secure(server).tls_port
    sent = mosquitto("pub", port, *tls_options(pki), "-t", "t", "-m", "x", "-q", "1")
    assert sent.returncode == 0, sent.stderr


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_resumed(secure, pki, version):
    port = secure().tls_port
    context = pki.authority.context(version=version)
    first = over_tls(port, context)
    first.connect("c")
    session = first.socket.session
    first.disconnect()
    first.drop()
    again = over_tls(port, context, session=session)
    assert again.socket.session_reused
    again.connect("c")
    again.drop()


# The broker's certificate.

@pytest.mark.parametrize("flaw", ["wrong-host", "expired", "self-signed", "unknown-authority", "wrong-purpose"])
def test_clients_refuse_a_broker_that_proves_nothing(secure, pki, person, tmp_path, flaw):
    certificate = {
        "wrong-host": lambda: pki.authority.issue(
            "elsewhere", "extendedKeyUsage=serverAuth\nsubjectAltName=DNS:elsewhere.example"),
        "expired": lambda: pki.authority.issue("late", SERVER, **PAST),
        "self-signed": lambda: pki.authority.self_signed("alone", SERVER),
        "unknown-authority": lambda: pki.stranger.issue("strange", SERVER),
        "wrong-purpose": lambda: pki.authority.issue(
            "client-only", "extendedKeyUsage=clientAuth\nsubjectAltName=DNS:localhost"),
    }[flaw]()
    broker = secure(certificate)
    with pytest.raises(ssl.SSLCertVerificationError):
        person(broker.tls_port, "c", V5, host="localhost",
               prepare=lambda client: client.tls_set_context(pki.authority.context()))
    sent = mosquitto("pub", broker.tls_port, *tls_options(pki), "-t", "t", "-m", "x")
    assert sent.returncode != 0
    log_has(broker, "TLS handshake failed.*(by_client|closed|io)")
    # One that does not look is served.
    careless = over_tls(broker.tls_port, client_context(None))
    careless.connect("careless")
    careless.drop()


def test_an_expired_certificate_of_its_own_is_warned_about(secure, pki):
    broker = secure(pki.authority.issue("too-late", SERVER, **PAST))
    log_has(broker, "WARN.*expired")
    assert broker.metric("ferrymq_certificate_expiry_timestamp_seconds", listener="secure") == 1609459200


def test_what_cannot_be_a_certificate_stops_the_start(secure, pki):
    for keys, told in [({"key": pki.alice.key}, "is not the key of the first certificate"),
                       ({"key": "/nowhere/key.pem"}, "/nowhere/key.pem"),
                       ({"CLIENT_AUTH": "required"}, "client_ca_file")]:
        broker = secure(start=False, **keys)
        refused = broker.run("serve")
        assert refused.returncode != 0 and told in refused.stderr, refused.stderr
        assert "PRIVATE KEY-----" not in refused.stderr


# Those of clients.

@BOTH
@pytest.mark.parametrize("client_auth", ["optional", "required"])
def test_a_client_certificate_is_a_log_in(with_clients, pki, person, version, client_auth):
    broker = with_clients(client_auth, AUTH__METHODS="certificate")
    person(broker.tls_port, "c", version, host="localhost",
           prepare=lambda client: client.tls_set_context(pki.authority.context(pki.alice))).publish("t", b"", 1)
    log_has(broker, 'connected.*user="?alice')


def test_without_a_certificate(with_clients, pki, opened):
    broker = with_clients("optional", AUTH__METHODS="certificate")
    context = pki.authority.context()
    client = opened(over_tls(broker.tls_port, context))
    client.connect("nobody", reason=0x87)
    # As a log-in it is one way; as a condition for the connection it is another.
    broker.restart(env={"LISTENERS__SECURE__TLS__CLIENT_AUTH": "required"})
    sent = mosquitto("pub", broker.tls_port, *tls_options(pki), "-t", "t", "-m", "x", "-q", "1")
    assert sent.returncode != 0
    broker.await_metric(FAILURES, lambda n: n == 1, reason="no_certificate")
    log_has(broker, "showed no certificate.*client_ca_file")


def test_mosquitto_clients_with_certificates(with_clients, pki):
    broker = with_clients()
    sent = mosquitto("pub", broker.tls_port, *tls_options(pki, pki.alice), "-t", "kept", "-m", "mine", "-r", "-q", "2")
    assert sent.returncode == 0, sent.stderr
    got = mosquitto("sub", broker.tls_port, *tls_options(pki, pki.bob), "-t", "kept", "-C", "1", "-W", "15")
    assert got.stdout == "mine\n", got.stderr


BAD = {
    "expired": (lambda pki: pki.authority.issue("old", **PAST), "expired", "expired on.*renew it"),
    "revoked": (lambda pki: pki.revoked, "revoked", "is revoked"),
    "self-signed": (lambda pki: pki.authority.self_signed("selfmade"), "unknown_ca", "client_ca_file"),
    "unknown-authority": (lambda pki: pki.stranger.issue("guest"), "unknown_ca", "client_ca_file"),
    "wrong-purpose": (lambda pki: pki.authority.issue("server-only", SERVER), "bad_certificate",
                      "extendedKeyUsage = clientAuth"),
    "version-1": (lambda pki: pki.authority.version_1("from-a-recipe"), "bad_certificate",
                  "X.509 version 1.*-extfile FILE.*extendedKeyUsage=clientAuth"),
    "an-authority": (lambda pki: pki.authority.issue("self-important", AUTHORITY), "bad_certificate",
                     "that of an authority"),
}


@pytest.mark.parametrize("flaw", BAD)
@pytest.mark.parametrize("client_auth", ["optional", "required"])
def test_a_bad_client_certificate(with_clients, pki, flaw, client_auth):
    """Also where none is asked for: one that is shown has to be good."""
    make, reason, told = BAD[flaw]
    bad = make(pki)
    broker = with_clients(client_auth, CRL_FILE=pki.crl)
    sent = mosquitto("pub", broker.tls_port, *tls_options(pki, bad), "-t", "t", "-m", "x", "-q", "1")
    assert sent.returncode != 0
    broker.await_metric(FAILURES, lambda n: n == 1, reason=reason)
    log_has(broker, f"TLS handshake failed.*{told}")
    # The others are not concerned.
    sent = mosquitto("pub", broker.tls_port, *tls_options(pki, pki.alice), "-t", "t", "-m", "x", "-q", "1")
    assert sent.returncode == 0, sent.stderr


@BOTH
def test_paho_with_a_revoked_certificate(with_clients, pki, person, version):
    """In TLS 1.3 it hears of it only after its own end of the handshake."""
    broker = with_clients(CRL_FILE=pki.crl)

    def join(client_id, certificate, **options):
        context = pki.authority.context(certificate)
        return person(broker.tls_port, client_id, version, host="localhost",
                      prepare=lambda client: client.tls_set_context(context), **options)

    revoked = join("c", pki.revoked, wait=False)
    assert revoked.gone.get(timeout=10).is_failure
    assert revoked.connected.empty()
    broker.await_metric(FAILURES, lambda n: n and n >= 1, reason="revoked")
    join("d", pki.alice).publish("t", b"", 1)


@pytest.mark.parametrize("expired_crl", ["refuse", "warn"])
def test_a_revocation_list_that_is_overdue(with_clients, pki, expired_crl):
    broker = with_clients(CRL_FILE=pki.overdue_crl, EXPIRED_CRL=expired_crl)
    assert broker.metric("ferrymq_crl_next_update_timestamp_seconds", listener="secure") == 1609459200
    log_has(broker, "WARN.*crl_file")

    def code(certificate):
        return mosquitto("pub", broker.tls_port, *tls_options(pki, certificate), "-t", "t", "-m", "x", "-q",
                         "1").returncode

    if expired_crl == "warn":
        assert code(pki.alice) == 0
    else:
        assert code(pki.alice) != 0
        broker.await_metric(FAILURES, lambda n: n == 1, reason="revocation_unknown")
    assert code(pki.revoked) != 0


@pytest.mark.parametrize("part,user", [("cn", "alice"), ("subject", "CN=alice,O=Tests"), ("san", "device-7")])
def test_the_part_of_a_certificate_that_is_the_user_name(with_clients, pki, opened, part, user):
    certificate = pki.authority.issue("alice", "extendedKeyUsage=clientAuth\nsubjectAltName=DNS:device-7")
    broker = with_clients(AUTH__METHODS="certificate", AUTH__CERTIFICATE__USERNAME=part)
    opened(over_tls(broker.tls_port, pki.authority.context(certificate))).connect("c")
    log_has(broker, f'connected.*user="?{user}')


def test_what_is_no_tls(with_clients, pki, opened):
    broker = with_clients()
    client = over_tcp(broker.tls_port, raw.V311)
    client.send(raw.connect("plain"))
    assert client.closed() == []
    client.drop()
    broker.await_metric(FAILURES, lambda n: n == 1, reason="not_tls")
    # A probe is no failure and leaves no line.
    assert lines_of(broker, lambda: over_tcp(broker.tls_port).drop(), lambda: opened(
        over_tls(broker.tls_port, pki.authority.context(pki.alice))).connect("mark")) == []
    assert broker.metric(FAILURES) == 1
