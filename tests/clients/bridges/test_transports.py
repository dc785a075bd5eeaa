"""TLS and WebSocket on the way to a remote broker."""

import pytest

from certificates import Pki
from mosquittoproc import needs_mosquitto
from reach import log_has
from settings import rule

BOTH = {"forward": [rule("out/#")], "subscribe": [rule("in/#")]}


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("bridges") / "pki")


@pytest.fixture
def passes(at, await_subscribed):
    """Messages pass both ways; `plain` is a port of the remote broker without TLS."""
    def passes(local, remote, plain=None):
        await_subscribed(remote)
        here, there = at(local, "here"), at(plain or remote, "there")
        here.subscribe("in/#")
        there.subscribe("out/#")
        for client, other, topic in ((here, there, "out/a"), (there, here, "in/a")):
            client.publish(topic, b"x" * 100_000, qos=2)
            assert other.message(timeout=20, topic=topic).payload == b"x" * 100_000

    return passes


class Port:
    def __init__(self, port):
        self.port = port


@pytest.fixture
def mosquitto_with_tls(mosquitto, pki, port):
    def mosquitto_with_tls(*lines):
        plain = port()
        remote = mosquitto(listener=[
            f"listener {plain} 127.0.0.1", "listener PORT 127.0.0.1",
            f"cafile {pki.trusted}", f"certfile {pki.server.file}", f"keyfile {pki.server.key}", *lines])
        return remote, Port(plain)

    return mosquitto_with_tls


def mqtts(remote, host="localhost"):
    return f"mqtts://{host}:{remote.port}"


@needs_mosquitto
@pytest.mark.parametrize("version", ["5.0", "3.1.1"])
def test_tls_to_mosquitto(version, mosquitto_with_tls, bridged, pki, passes):
    remote, plain = mosquitto_with_tls()
    local = bridged(mqtts(remote), version=version, tls={"ca_file": str(pki.trusted)}, **BOTH)
    passes(local, remote, plain)


@needs_mosquitto
def test_a_client_certificate_for_mosquitto(mosquitto_with_tls, bridged, pki, passes):
    remote, plain = mosquitto_with_tls("require_certificate true", "use_identity_as_username true")
    tls = {"ca_file": str(pki.trusted), "certificate_file": str(pki.alice.file), "key_file": str(pki.alice.key)}
    local = bridged(mqtts(remote), tls=tls, **BOTH)
    passes(local, remote, plain)
    assert "u'alice'" in remote.logged()


@needs_mosquitto
def test_without_its_client_certificate_the_reason_is_logged(mosquitto_with_tls, bridged, pki):
    remote, _ = mosquitto_with_tls("require_certificate true")
    local = bridged(mqtts(remote), tls={"ca_file": str(pki.trusted)}, **BOTH)
    log_has(local, r"cannot connect.*certificate")


@needs_mosquitto
@pytest.mark.parametrize("tls,host,says", [
    ("stranger", "localhost", r"cannot connect.*certificate.*tls\.ca_file"),
    (None, "localhost", r"cannot connect.*certificate.*tls\.ca_file"),
    ("trusted", "127.0.0.2", r"cannot connect.*certificate.*tls\.server_name")])
def test_a_certificate_that_cannot_be_verified_is_told_with_the_key_to_set(
        tls, host, says, mosquitto_with_tls, mosquitto, bridged, pki, port):
    remote = mosquitto(listener=["listener PORT", f"cafile {pki.trusted}",
                                 f"certfile {pki.server.file}", f"keyfile {pki.server.key}"])
    keys = {"tls": {"ca_file": str(pki.trusted if tls == "trusted" else pki.stranger.certificate)}} if tls else {}
    local = bridged(mqtts(remote, host), **keys, **BOTH)
    log_has(local, says)
    assert remote.subscriptions() == 0


@needs_mosquitto
def test_another_name_than_that_of_the_address(mosquitto, bridged, pki, await_subscribed):
    remote = mosquitto(listener=["listener PORT", f"cafile {pki.trusted}",
                                 f"certfile {pki.server.file}", f"keyfile {pki.server.key}"])
    bridged(mqtts(remote, "127.0.0.2"), tls={"ca_file": str(pki.trusted), "server_name": "localhost"}, **BOTH)
    await_subscribed(remote)


@needs_mosquitto
def test_files_of_tls_are_read_again_at_each_dial(mosquitto_with_tls, bridged, pki, tmp_path, await_subscribed):
    remote, _ = mosquitto_with_tls()
    file = tmp_path / "ca.crt"
    file.write_bytes(pki.stranger.certificate.read_bytes())
    local = bridged(mqtts(remote), tls={"ca_file": str(file)}, **BOTH)
    log_has(local, "cannot connect.*certificate")
    file.write_bytes(pki.trusted.read_bytes())
    await_subscribed(remote)


@pytest.mark.parametrize("version", ["5.0", "3.1.1"])
@pytest.mark.parametrize("protocol", ["ws", "wss", "mqtts"])
def test_transports_to_a_second_broker(protocol, version, make_broker, bridged, pki, port, passes):
    number = port()
    settings = {"LISTENERS__OTHER__PROTOCOL": protocol, "LISTENERS__OTHER__BIND": f"127.0.0.1:{number}"}
    if protocol != "ws":
        settings |= {"LISTENERS__OTHER__TLS__CERTIFICATE_FILE": pki.server.file,
                     "LISTENERS__OTHER__TLS__KEY_FILE": pki.server.key}
    remote = make_broker(name="remote", **settings)
    keys = {} if protocol == "ws" else {"tls": {"ca_file": str(pki.trusted)}}
    local = bridged(f"{protocol}://localhost:{number}", version=version, **keys, **BOTH)
    passes(local, remote)


def test_another_path_of_a_websocket(make_broker, bridged, port, passes):
    number = port()
    remote = make_broker(name="remote", LISTENERS__WEB__PROTOCOL="ws", LISTENERS__WEB__BIND=f"127.0.0.1:{number}",
                         LISTENERS__WEB__WEBSOCKET__PATH="/far/mqtt")
    passes(bridged(f"ws://127.0.0.1:{number}/far/mqtt", **BOTH), remote)
    wrong = bridged(f"ws://127.0.0.1:{number}/elsewhere", **BOTH)
    log_has(wrong, r"cannot connect.*(404|WebSocket)")
