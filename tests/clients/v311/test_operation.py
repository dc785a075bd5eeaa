"""MQTT 3.1.1, chapter 4: state, QoS flows, order, topics."""

import pytest

import raw

also = pytest.mark.also


def pair(client, *filters):
    s, p = client("sub"), client("pub")
    s.subscribe(*filters)
    return s, p


def test_4_1_0_1_state_is_kept_while_connected_and_after(client):
    c = client("c", clean=False)
    c.subscribe("t")
    for _ in range(3):
        c.drop()
        c = client("c", clean=False)
        assert c.connack.session_present
    client("pub").publish("t", b"x", qos=1)
    assert c.message().payload == b"x"


def test_4_2_0_1_packets_in_pieces_and_in_bunches(client):
    c = client("c")
    for byte in raw.subscribe(9, [("t", 0)]):
        c.send(bytes([byte]))
    c.expect(raw.SUBACK, pid=9)
    c.send(*(raw.publish("t", bytes([n]), qos=1, pid=n + 1) for n in range(50)))
    packets = [c.recv() for _ in range(100)]
    assert [p.pid for p in packets if p.kind == raw.PUBACK] == list(range(1, 51))
    assert [p.payload[0] for p in packets if p.kind == raw.PUBLISH] == list(range(50))


def test_4_3_1_1_qos_0_is_delivered_once_and_not_answered(client):
    s, p = pair(client, "t")
    p.publish("t", b"x", qos=0)
    assert [(m.payload, m.dup) for m in s.until_quiet(p)] == [(b"x", False)]


def test_4_3_2_1_after_puback_the_packet_id_is_free_again(client):
    s, p = pair(client, "t")
    p.publish("t", b"1", qos=1, pid=7)
    p.publish("t", b"2", qos=1, pid=7)
    assert [m.payload for m in s.until_quiet(p)] == [b"1", b"2"]


@also("4.3.3-2")
def test_4_3_3_1_qos_2_repeated_before_pubrel_is_delivered_once(client):
    s, p = pair(client, "t")
    for dup in (False, True, True):
        p.send(raw.publish("t", b"x", qos=2, pid=5, dup=dup))
        p.answer(raw.PUBREC, 5)
    p.send(raw.ack(raw.PUBREL, 5))
    p.answer(raw.PUBCOMP, 5)
    assert [m.payload for m in s.until_quiet(p)] == [b"x"]


def test_4_3_3_2_after_pubcomp_the_packet_id_is_a_new_message(client):
    s, p = pair(client, "t")
    p.publish("t", b"1", qos=2, pid=5)
    p.publish("t", b"2", qos=2, pid=5)
    assert [m.payload for m in s.until_quiet(p)] == [b"1", b"2"]


def test_4_3_3_2_pubrel_may_be_repeated(client):
    p = client("pub")
    p.publish("t", qos=2, pid=5)
    p.send(raw.ack(raw.PUBREL, 5)).expect(raw.PUBCOMP, pid=5)
    p.send(raw.ack(raw.PUBREL, 99)).expect(raw.PUBCOMP, pid=99)


def test_4_3_3_2_publisher_resumes_its_handshake_after_reconnecting(client):
    s = client("sub")
    s.subscribe("t")
    p = client("pub", clean=False)
    p.send(raw.publish("t", b"x", qos=2, pid=5)).expect(raw.PUBREC, pid=5)
    p.drop()
    p = client("pub", clean=False)
    p.send(raw.publish("t", b"x", qos=2, pid=5, dup=True)).expect(raw.PUBREC, pid=5)
    p.send(raw.ack(raw.PUBREL, 5)).expect(raw.PUBCOMP, pid=5)
    assert [m.payload for m in s.until_quiet(p)] == [b"x"]


@pytest.mark.parametrize("qos", [1, 2])
def test_4_4_0_1_unacknowledged_packets_are_sent_again_in_order(client, qos):
    s = client("sub", clean=False)
    s.subscribe("t")
    p = client("pub")
    for n in range(5):
        p.publish("t", bytes([n]), qos=qos)
    first = [s.message(answer=False) for _ in range(5)]
    s.drop()
    s = client("sub", clean=False)
    again = [s.message(answer=False) for _ in range(5)]
    assert [(m.pid, m.payload) for m in again] == [(m.pid, m.payload) for m in first]
    assert all(m.dup for m in again)


def test_4_4_0_1_pubrel_is_sent_again_after_pubrec(client):
    s = client("sub", clean=False)
    s.subscribe("t")
    client("pub").publish("t", b"x", qos=2)
    m = s.message(answer=False)
    s.send(raw.ack(raw.PUBREC, m.pid)).expect(raw.PUBREL, pid=m.pid)
    s.drop()
    s = client("sub", clean=False)
    s.expect(raw.PUBREL, pid=m.pid)
    s.send(raw.ack(raw.PUBCOMP, m.pid))
    assert s.until_quiet(client("pub2")) == []


def test_4_4_0_1_nothing_is_repeated_within_a_connection(client):
    s, p = pair(client, "t")
    p.publish("t", b"x", qos=1)
    s.message(answer=False)
    assert s.until_quiet(p) == []


def test_4_5_0_1_messages_go_to_every_matching_session(client):
    clients = [client(f"s{n}") for n in range(5)]
    for c in clients:
        c.subscribe("t/#")
    client("pub").publish("t/x", b"m", qos=1)
    assert [c.message().payload for c in clients] == [b"m"] * 5


@also("4.6.0-6")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_4_6_0_5_order_per_publisher_and_topic(client, qos):
    s, p = pair(client, "t")
    for n in range(200):
        p.publish("t", n.to_bytes(2, "big"), qos=qos)
    assert [int.from_bytes(m.payload, "big") for m in s.until_quiet(p)] == list(range(200))


def test_4_6_0_6_order_holds_over_mixed_qos_into_an_offline_queue(client):
    s = client("sub", clean=False)
    s.subscribe("t")
    s.disconnect()
    p = client("pub")
    for n in range(50):
        p.publish("t", bytes([n]), qos=1 + n % 2)
    s = client("sub", clean=False)
    assert [m.payload[0] for m in s.until_quiet(p)] == list(range(50))


MATCHES = [
    ("sport/tennis/player1/#", "sport/tennis/player1", True),
    ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
    ("sport/#", "sport", True), ("sport/#", "sports", False),
    ("#", "a", True), ("#", "/", True), ("#", "a/b/c", True), ("#", "$x/y", False),
    ("sport/tennis/+", "sport/tennis/player1", True),
    ("sport/tennis/+", "sport/tennis/player1/ranking", False),
    ("sport/+", "sport", False), ("sport/+", "sport/", True),
    ("+/+", "/finance", True), ("/+", "/finance", True), ("+", "/finance", False),
    ("+/tennis/#", "a/tennis", True), ("+/tennis/#", "a/tennis/b/c", True),
    ("+", "$x", False), ("+/monitor/Clients", "$x/monitor/Clients", False),
    ("$x/#", "$x/y", True), ("$x/monitor/+", "$x/monitor/Clients", True),
    ("+/+/+", "a//b", True), ("a//b", "a/b", False), ("/a", "a", False), ("a/", "a", False),
    ("A", "a", False), ("a b", "a b", True), ("é/+", "é/x", True), ("é/#", "é", True),
    ("é/a", "e\u0301/a", False), ("+/a", "/a", True), ("//#", "//", True), ("a/+/#", "a", False),
    ("a/+/#", "a/b", True), ("+/b/+/d", "a/b/c/d", True), ("+/b/+/d", "a/b/c/e", False),
]


@pytest.mark.parametrize("pattern,topic,matches", MATCHES)
@also("4.7.1-2", "4.7.1-3", "4.7.2-1", "4.7.3-4", "4.7.3-1")
def test_4_7_topic_matching(client, pattern, topic, matches):
    s, p = pair(client, pattern)
    p.publish(topic, b"x", qos=1)
    assert len(s.until_quiet(p)) == (1 if matches else 0)


@pytest.mark.parametrize("pattern", ["a#", "a/#/b", "#/a", "##", "a/b#", "/#/"])
def test_4_7_1_2_hash_stands_alone_and_last(client, pattern):
    assert client("c").send(raw.subscribe(1, [(pattern, 0)])).closed() == []


@pytest.mark.parametrize("pattern", ["a+", "+a", "a/b+/c", "++", "a/+b"])
def test_4_7_1_3_plus_fills_its_level(client, pattern):
    assert client("c").send(raw.subscribe(1, [(pattern, 0)])).closed() == []


def test_4_7_3_1_topics_and_filters_have_a_character(client):
    for packet in (raw.publish(""), raw.subscribe(1, [("", 0)]), raw.unsubscribe(1, [""])):
        assert client("c").send(packet).closed() == []


def test_4_7_3_2_topics_have_no_null(client):
    for packet in (raw.publish("a\0"), raw.subscribe(1, [("\0", 0)]), raw.unsubscribe(1, ["\0"])):
        assert client("c").send(packet).closed() == []


def test_4_7_3_3_topics_reach_65535_bytes(make_broker, client):
    broker = make_broker(MQTT__MAX_PACKET_SIZE=300000)
    topic = "t" * 65535
    s, p = client("s", to=broker), client("p", to=broker)
    s.subscribe(topic)
    p.publish(topic, b"x", qos=1)
    assert s.message().topic == topic


@also("4.8.0-2")
def test_4_8_0_1_a_protocol_violation_closes(client):
    watcher = client("watcher")
    watcher.subscribe("will")
    for packet in (b"\xf0\x00", raw.frame(raw.CONNACK, b"\0\0"), raw.frame(raw.PINGRESP),
                   raw.frame(raw.SUBACK, b"\0\1\0"), raw.frame(raw.UNSUBACK, b"\0\1")):
        c = client("c", will=raw.Will("will"))
        assert c.send(packet).closed() == []
        assert watcher.message().topic == "will"
