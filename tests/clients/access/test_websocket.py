"""MQTT over WebSocket: paho, and frames by hand."""

import pytest

import raw
from frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, WebSocket, frame
from person import V4, V5
from rawclient import Closed
from reach import log_has, over_tcp, poll, tcp, tls

BOTH = pytest.mark.parametrize("version", [V4, V5])


@pytest.fixture
def web(make_broker, listener, pki):
    """A broker with listeners `ws` and `wss`."""
    def web(**keys):
        files = {"TLS__CERTIFICATE_FILE": pki.server.file, "TLS__KEY_FILE": pki.server.key}
        of_listeners = {name: value for name, value in keys.items() if not name.startswith(("AUTH__", "MQTT__"))}
        others = {name: value for name, value in keys.items() if name not in of_listeners}
        plain, ws_port = listener("web", "ws", **of_listeners)
        secure, wss_port = listener("secureweb", "wss", **files, **of_listeners)
        broker = make_broker(**plain, **secure, **others)
        broker.ws_port, broker.wss_port = ws_port, wss_port
        return broker

    return web


@pytest.fixture
def sock(opened):
    def sock(broker, version=raw.V5, upgrade=True, **options):
        client = opened(WebSocket(tcp(broker.ws_port), version))
        return client.upgraded(**options) if upgrade else client

    return sock


@BOTH
@pytest.mark.parametrize("protocol", ["ws", "wss"])
def test_paho_publishes_and_subscribes(web, pki, person, version, protocol):
    broker = web()

    def prepare(client):
        if protocol == "wss":
            client.tls_set_context(pki.authority.context())

    port = broker.wss_port if protocol == "wss" else broker.ws_port
    use = {"host": "localhost", "transport": "websockets", "prepare": prepare}
    one, other = person(port, "one", version, **use), person(port, "other", version, **use)
    other.subscribe("t/#", 2)
    for qos in range(3):
        for size in (0, 125, 126, 65535, 65536, 200_000):
            one.publish(f"t/{qos}", b"x" * size, qos)
            assert len(other.message().payload) == size
    plain = person(broker.port, "plain", version)
    plain.publish("t/plain", b"from TCP", 1)
    assert other.message().payload == b"from TCP"


def test_browsers_offer_http_in_alpn(web, pki, opened):
    broker = web()
    client = opened(WebSocket(tls(broker.wss_port, pki.authority.context(alpn=["http/1.1"]))))
    client.upgraded()
    client.connect("page")
    client.ping()


@pytest.mark.parametrize("offered,chosen", [("mqtt", "mqtt"), ("mqttv3.1", "mqttv3.1"), ("chat, mqtt", "mqtt")])
def test_sub_protocols(web, sock, offered, chosen):
    client = sock(web(), upgrade=False)
    status, fields = client.upgrade(protocol=offered)
    assert (status, fields["sec-websocket-protocol"]) == (101, chosen)
    client.connect("c")


@pytest.mark.parametrize("options,status,told", [
    ({"path": "/"}, 404, "the path is"), ({"path": "/mqtt/more"}, 404, "the path is"),
    ({"protocol": "chat"}, 400, "sub-protocols"), ({"protocol": None}, 400, "sub-protocols"),
    ({"origin": "https://evil.example"}, 403, "allowed_origins"),
    ({"Sec_WebSocket_Version": "8"}, 426, "version 13"), ({"Upgrade": None}, 426, "without an upgrade"),
    ({"Padding": "x" * 9000}, 431, "too large"), ({"Sec_WebSocket_Key": "short"}, 400, "malformed")])
def test_requests_that_are_refused(web, sock, options, status, told):
    broker = web(WEBSOCKET__ALLOWED_ORIGINS="https://app.example")
    client = sock(broker, upgrade=False)
    assert client.upgrade(**options)[0] == status
    log_has(broker, f"no WebSocket.*{told}")
    broker.await_metric("ferrymq_connections_rejected_total", lambda n: n == 1, reason="websocket")
    sock(broker, origin="https://app.example").connect("page")
    # No browser: it sends no origin.
    sock(broker).connect("device")


def test_another_path(web, sock, person):
    broker = web(WEBSOCKET__PATH="/else/where")
    person(broker.ws_port, "c", V5, transport="websockets", prepare=lambda c: c.ws_set_options("/else/where"))
    assert sock(broker, upgrade=False).upgrade()[0] == 404


def test_text_is_refused(web, sock):
    broker = web()
    client = sock(broker)
    client.connect("c")
    client.send_frames(frame(TEXT, raw.pingreq()))
    assert client.close_status() == 1003
    early = sock(broker).send_frames(frame(TEXT, raw.connect("early", raw.V5)))
    assert early.close_status() == 1003


@pytest.mark.parametrize("frames,status", [
    ([frame(BINARY, raw.pingreq(), masked=False)], 1002),
    ([frame(CONTINUATION, raw.pingreq())], 1002),
    ([frame(BINARY, b"\xc0", final=False), frame(BINARY, b"\0")], 1002),
    ([frame(PING, b"x" * 126)], 1002), ([frame(PING, b"x", final=False)], 1002),
    ([frame(3, b"x")], 1002), ([frame(CLOSE, b"\x03")], 1002), ([frame(CLOSE, b"\x03\xed")], 1002),
    ([frame(CLOSE, b"\x03\xe8\xff")], 1007)])
def test_frames_that_are_invalid(web, sock, frames, status):
    client = sock(web())
    client.connect("c")
    client.send_frames(*frames)
    assert client.close_status() == status


def test_packets_cut_in_any_way(web, sock):
    """Bytes of packets one by one, several packets in a frame, pings in between."""
    client = sock(web())
    stream = (raw.connect("c", raw.V5) + raw.subscribe(1, [("t", 1)], raw.V5)
              + raw.publish("t", b"x" * 300, 1, 2, version=raw.V5))
    for n, byte in enumerate(stream):
        client.send_frames(frame(BINARY, bytes([byte])), *([frame(PING)] if n % 50 == 0 else []))
    kinds = []
    while not {raw.SUBACK, raw.PUBACK, raw.PUBLISH} <= set(kinds):
        kind, payload = client.frame()
        if kind == PONG:
            continue
        assert kind == BINARY
        client.buffer += payload
        while packet := client._parse():
            kinds.append(packet.kind)
    assert kinds[0] == raw.CONNACK and len(kinds) == 4
    client.send_frames(frame(BINARY, raw.ack(raw.PUBACK, 1)))
    # One message in fragments, empty ones too; then many packets in one frame.
    whole = raw.publish("t", b"fragments", version=raw.V5)
    client.send_frames(frame(BINARY, b"", final=False), frame(CONTINUATION, whole[:5], final=False), frame(PING, b"p"),
                       frame(CONTINUATION, b"", final=False), frame(CONTINUATION, whole[5:]))
    many = b"".join(raw.publish("t", f"{n}", version=raw.V5) for n in range(500))
    client.send_frames(frame(BINARY, many))
    got, pongs = [], []
    while len(got) < 501:
        kind, payload = client.frame()
        if kind == PONG:
            pongs.append(payload)
            continue
        client.buffer += payload
        while packet := client._parse():
            if packet.kind == raw.PUBLISH:
                got.append(packet.payload)
    assert got == [b"fragments", *(f"{n}".encode() for n in range(500))]
    assert pongs == [b"p"]


def test_ping_and_close(web, sock):
    client = sock(web())
    client.connect("c")
    client.send_frames(frame(PING, b"are you there"))
    assert client.frame() == (PONG, b"are you there")
    client.send_frames(frame(PONG, b"unasked"), frame(CLOSE, b"\x03\xe8bye"))
    kind, payload = client.frame()
    assert kind == CLOSE and payload[:2] == b"\x03\xe8"
    with pytest.raises(Closed):
        client.frame()


def test_a_close_frame_is_no_disconnect(web, sock):
    """The will is published, as at the end of any connection without DISCONNECT."""
    broker = web()
    watch = sock(broker)
    watch.connect("watch")
    watch.subscribe("will")
    client = sock(broker)
    client.connect("c", will=raw.Will("will", b"gone"))
    client.send_frames(frame(CLOSE, b"\x03\xe8"))
    assert watch.message().payload == b"gone"


def test_disconnect_ends_with_a_close_frame(web, sock):
    client = sock(web())
    client.connect("c")
    client.send(raw.disconnect())
    assert client.close_status() == 1000


@pytest.mark.parametrize("frames", [
    [frame(BINARY, raw.publish("t", b"x" * 70_000, version=raw.V5))],
    # A header that promises it: nothing of it is waited for.
    [b"\x82\xff" + (1 << 40).to_bytes(8, "big") + b"mask"]])
def test_sizes_are_bounded(web, sock, frames):
    client = sock(web(MQTT__MAX_PACKET_SIZE="64KiB"))
    client.connect("c")
    client.send_frames(*frames)
    # "Message too big", and nothing else.
    assert client.close_status() == 1009


def test_other_protocols(web):
    """Plain MQTT on the WebSocket port: closed, and the log says what it is."""
    broker = web()
    client = over_tcp(broker.ws_port)
    client.send(raw.connect("c", raw.V5))
    assert client.closed() == []
    client.drop()
    log_has(broker, "no WebSocket.*an MQTT client without WebSocket")


def forwarded(broker):
    return poll(lambda: [line for line in broker.log.read_text().splitlines() if " connected" in line])[-1]


@pytest.mark.parametrize("trusted,value,seen", [
    ("127.0.0.0/8", "192.0.2.7", "192.0.2.7"), ("127.0.0.0/8", "203.0.113.1, 192.0.2.7", "192.0.2.7"),
    ("127.0.0.0/8", "192.0.2.7, 127.0.0.9", "192.0.2.7"), ("10.0.0.0/8", "192.0.2.7", "127.0.0.1"),
    ("127.0.0.0/8", "2001:db8::7", "2001:db8::7")])
def test_x_forwarded_for_is_believed_of_trusted_proxies(web, sock, trusted, value, seen):
    broker = web(TRUSTED_PROXIES=trusted, AUTH__ALLOW_ANONYMOUS="true")
    sock(broker, X_Forwarded_For=value).connect("c")
    assert seen in forwarded(broker)
