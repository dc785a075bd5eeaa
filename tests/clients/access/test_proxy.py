"""The PROXY protocol and X-Forwarded-For: haproxy in front, and those who only claim to be one."""

import re
import shutil
import socket
import struct

import pytest

import raw
from frames import WebSocket
from haproxy import Haproxy, passed_on
from person import V4, V5
from reach import Over, lines_of, log_has, mosquitto, over_tcp, poll, tcp

pytestmark = pytest.mark.skipif(not shutil.which("haproxy"), reason="haproxy is not installed")
REJECTED = "ferrymq_connections_rejected_total"
V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


@pytest.fixture
def proxied(with_api, listener, port, tmp_path):
    """A broker behind haproxy, which listens on `front`."""
    made = []

    def proxied(server="send-proxy-v2", version="any", protocol="mqtt", mode="tcp", trusted="127.0.0.1/32",
                configuration=None, **keys):
        of_listener = {k: v for k, v in keys.items() if k.startswith("TLS__")}
        others = {k: v for k, v in keys.items() if k not in of_listener}
        settings, back = listener("proxied", protocol, PROXY_PROTOCOL=version, TRUSTED_PROXIES=trusted, **of_listener)
        broker = with_api(configuration, **{"AUTH__ALLOW_ANONYMOUS": "true"} | settings | others)
        broker.back, broker.front = back, port()
        broker.haproxy = Haproxy(tmp_path, passed_on(broker.front, back, server, mode), broker.front)
        made.append(broker.haproxy)
        return broker

    yield proxied
    for one in made:
        one.close()


def v2(command=1, family=0x11, source="192.0.2.1", port=4711):
    """A header of version 2; by default of a proxy that speaks for an IPv4 client."""
    addresses = socket.inet_aton(source) + socket.inet_aton("127.0.0.1") + struct.pack(">HH", port, 1883)
    addresses = addresses if family == 0x11 else b""
    return V2_SIGNATURE + bytes([0x20 | command, family]) + struct.pack(">H", len(addresses)) + addresses


@pytest.mark.parametrize("server,version", [
    ("send-proxy", "v1"), ("send-proxy", "any"), ("send-proxy-v2", "v2"), ("send-proxy-v2", "any")])
def test_the_client_is_who_the_proxy_names(proxied, person, opened, server, version):
    broker = proxied(server, version)
    client = opened(over_tcp(broker.front, source="127.0.0.2"))
    own = client.socket.getsockname()[1]
    client.connect("from-afar")
    log_has(broker, f"connected.*client_id=\"?from-afar.*remote=127.0.0.2:{own}")
    assert broker.api.get("/sessions/from-afar")["client_id"] == "from-afar"
    for version in (V4, V5):
        one = person(broker.front, f"paho{version}", version)
        one.subscribe("t", 1)
        one.publish("t", b"x" * 50_000, 1)
        assert len(one.message().payload) == 50_000
    assert mosquitto("pub", broker.front, "-t", "t", "-m", "x", "-q", "2", host="127.0.0.1").returncode == 0


def test_the_other_version_is_refused(proxied):
    broker = proxied("send-proxy", "v2")
    client = over_tcp(broker.front)
    client.send(raw.connect("c", raw.V5))
    assert client.closed() == []
    client.drop()
    broker.await_metric(REJECTED, lambda n: n and n >= 1, reason="proxy_protocol")


@pytest.mark.parametrize("begins", [
    v2(), b"PROXY TCP4 192.0.2.1 127.0.0.1 4711 1883\r\n", raw.connect("c", raw.V5)])
def test_who_is_no_proxy_is_closed(proxied, begins):
    broker = proxied()
    client = over_tcp(broker.back, source="127.0.0.3")
    client.send(begins + raw.connect("c", raw.V5))
    assert client.closed() == []
    client.drop()
    broker.await_metric(REJECTED, lambda n: n == 1, reason="proxy_protocol")
    log_has(broker, "127.0.0.3.*trusted_proxies")


@pytest.mark.parametrize("begins", [
    b"", b"PROXY TCP4 192.0.2.999 127.0.0.1 4711 1883\r\n", b"PROXY TCP4 192.0.2.1\r\n", b"PROXY " + b"x" * 200,
    V2_SIGNATURE + b"\x31\x11\0\x0c" + b"x" * 12, V2_SIGNATURE + b"\x22\x11\0\x0c" + b"x" * 12,
    V2_SIGNATURE + b"\x21\x11\0\x02xx"])
def test_a_trusted_proxy_that_sends_no_header(proxied, begins):
    broker = proxied()
    client = over_tcp(broker.back)
    client.send(begins + raw.connect("c", raw.V5))
    assert client.closed() == []
    client.drop()
    broker.await_metric(REJECTED, lambda n: n == 1, reason="proxy_protocol")


def test_a_header_in_pieces(proxied, opened):
    broker = proxied()
    client = opened(over_tcp(broker.back))
    for byte in v2() + raw.connect("slow", raw.V5):
        client.send(bytes([byte]))
    client.expect(raw.CONNACK, reason=0)
    log_has(broker, "connected.*client_id=\"?slow.*remote=192.0.2.1:4711")


def test_probes_leave_no_trace(proxied, opened):
    """haproxy's own checks (LOCAL), and connections that close at once."""
    broker = proxied("send-proxy-v2 check inter 50ms check-send-proxy")

    def probe():
        poll(lambda: broker.haproxy.check_status() == "L4OK")
        for header in (b"", v2(command=0, family=0), v2()):
            client = opened(over_tcp(broker.back))
            client.send(header)
            client.socket.shutdown(socket.SHUT_WR)
            assert client.closed() == []

    assert lines_of(broker, probe, lambda: opened(over_tcp(broker.front)).connect("mark")) == []
    assert not broker.metric(REJECTED)


def test_loopback_is_no_privilege_behind_a_proxy(make_broker, listener):
    """The proxy's clients are from anywhere, so somebody has to decide about them."""
    settings, _ = listener("proxied", "mqtt", PROXY_PROTOCOL="any", TRUSTED_PROXIES="127.0.0.1/32")
    refused = make_broker(start=False, **settings).run("serve")
    assert refused.returncode == 2 and "through a proxy" in refused.stderr
    make_broker(**{key: value for key, value in settings.items() if not key.endswith(("PROTOCOL", "PROXIES"))})


def test_in_front_of_tls(proxied, pki, opened):
    """haproxy passes TLS on as it is: the header comes before it."""
    broker = proxied(protocol="mqtts", TLS__CERTIFICATE_FILE=pki.server.file, TLS__KEY_FILE=pki.server.key)
    context = pki.authority.context()
    sock = context.wrap_socket(tcp(broker.front, "127.0.0.2"), server_hostname="localhost")
    opened(Over(sock)).connect("secure")
    log_has(broker, "connected.*client_id=\"?secure.*remote=127.0.0.2")


def test_rules_see_the_client(proxied, opened):
    broker = proxied(configuration="""
        [[acl.rules]]
        effect = "allow"
        networks = ["127.0.0.2"]
        topics = ["from/two"]
    """)
    two, three = (opened(over_tcp(broker.front, source=f"127.0.0.{n}")) for n in (2, 3))
    two.connect("two")
    three.connect("three")
    assert two.publish("from/two", qos=1).reason in (0, 0x10)
    assert three.publish("from/two", qos=1).reason == 0x87


def test_limits_see_the_client(proxied, opened):
    broker = proxied(LIMITS__MAX_CONNECTIONS_PER_ADDRESS=2)
    for n in (1, 2):
        opened(over_tcp(broker.front, source="127.0.0.2")).connect(f"two{n}")
    refused = over_tcp(broker.front, source="127.0.0.2")
    refused.send(raw.connect("two3", raw.V5))
    assert refused.closed() == []
    refused.drop()
    broker.await_metric(REJECTED, lambda n: n == 1, reason="address_limit")
    opened(over_tcp(broker.front, source="127.0.0.3")).connect("three")


def test_x_forwarded_for_of_haproxy(proxied, opened):
    broker = proxied("", "off", "ws", "http")
    client = opened(WebSocket(tcp(broker.front, "127.0.0.2")))
    client.upgraded()
    client.connect("page")
    assert "127.0.0.2" in poll(lambda: re.findall(" connected.*", broker.log.read_text()))[0]
    # A client's own claim comes before what the proxy says, and is not believed.
    other = opened(WebSocket(tcp(broker.front, "127.0.0.3")))
    other.upgraded(X_Forwarded_For="198.51.100.1")
    other.connect("liar")
    log_has(broker, "connected.*client_id=\"?liar.*remote=127.0.0.3")
