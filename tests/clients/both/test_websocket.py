"""MQTT 3.1.1 and 5.0, 6: WebSocket as the transport, of which both say the same."""

import pytest

import raw
from brokerproc import Port
from frames import BINARY, TEXT, WebSocket, frame
from rawclient import Closed
from reach import tcp


@pytest.fixture
def sock(make_broker, version):
    port, opened = Port(), []
    make_broker(LISTENERS__WEB__PROTOCOL="ws", LISTENERS__WEB__BIND=f"127.0.0.1:{port.number}")

    def sock():
        opened.append(WebSocket(tcp(port.number), version))
        return opened[-1]

    yield sock
    for one in opened:
        one.drop()
    port.lease.close()


def test_6_0_0_1_packets_are_in_binary_frames_and_others_end_the_connection(sock, version):
    c = sock().upgraded()
    c.send_frames(frame(BINARY, raw.connect("c", version)))
    kind, payload = c.frame()
    assert (kind, payload[0] >> 4) == (BINARY, raw.CONNACK)
    c.send_frames(frame(TEXT, raw.pingreq()))
    assert c.close_status() == 1003
    early = sock().upgraded().send_frames(frame(TEXT, raw.connect("early", version)))
    with pytest.raises(Closed):
        while True:
            assert early.frame()[0] != BINARY


def test_6_0_0_2_packets_are_not_aligned_with_frames(sock, version):
    c = sock().upgraded()
    stream = raw.connect("c", version) + raw.subscribe(1, [("t", 0)], version)
    for byte in stream:
        c.send_frames(frame(BINARY, bytes([byte])))
    c.expect(raw.CONNACK, reason=0)
    c.expect(raw.SUBACK)
    whole = b"".join(raw.publish("t", f"{n}", version=version) for n in range(100))
    c.send_frames(frame(BINARY, whole[:500]), frame(BINARY, whole[500:]))
    assert [c.message().payload for _ in range(100)] == [f"{n}".encode() for n in range(100)]


@pytest.mark.parametrize("offered", [None, "chat", "mqtt5"])
def test_6_0_0_3_who_does_not_offer_mqtt_is_refused(sock, offered):
    assert sock().upgrade(protocol=offered)[0] == 400


@pytest.mark.parametrize("offered", ["mqtt", "chat, mqtt", "mqtt, chat"])
def test_6_0_0_4_the_broker_selects_mqtt(sock, offered):
    status, fields = sock().upgrade(protocol=offered)
    assert (status, fields["sec-websocket-protocol"]) == (101, "mqtt")
