"""MQTT 5.0, 3.2: what CONNACK says, and that it is meant."""

import pytest

import raw

also = pytest.mark.also


def test_3_2_0_1_connack_is_the_first_packet(client, durable, open_raw):
    c = durable("first")
    c.subscribe("q")
    c.drop()
    client("pub").publish("q", b"m", qos=1)
    c = open_raw().send(raw.connect("first", version=5, clean=False))
    c.expect(raw.CONNACK)
    c.message()


@also("3.2.2-1", "3.2.2-3", "3.2.2-8")
def test_3_2_0_2_one_connack_with_reserved_flags_0(client):
    c = client("one")
    assert c.connack.body[0] == 0 and c.connack.reason == 0
    assert c.until_quiet(c) == [], "raw.decode checks the reserved bits; a second one would fail here"


def test_3_2_2_6_a_refusal_has_session_present_0_and_closes(open_raw, durable):
    durable("refused").disconnect()
    c = open_raw().send(raw.connect("refused", version=5, clean=False,
                                    properties={"auth_method": "none such"}))
    c.expect(raw.CONNACK, reason=0x8C, session_present=False)
    assert c.closed() == []


@also("3.2.2-10", "3.2.2-11", "3.2.2-12")
def test_3_2_2_9_all_qos_are_supported_and_so_not_mentioned(client):
    c = client("c")
    assert "maximum_qos" not in c.connack.properties
    assert c.subscribe(("a", 0), ("b", 1), ("c", 2)).codes == (0, 1, 2)


def test_3_2_2_13_retain_not_available_is_said_and_refused(make_broker, client):
    broker = make_broker(MQTT__RETAIN_AVAILABLE="false")
    c = client("c", to=broker)
    assert c.connack.properties["retain_available"] == 0
    c.send(raw.publish("t", b"x", retain=True, version=5)).refused(0x9A)
    late = client("late", to=broker)
    late.subscribe("t")
    assert late.until_quiet(late) == []


def test_3_2_2_13_will_retain_is_refused_too(make_broker, open_raw):
    broker = make_broker(MQTT__RETAIN_AVAILABLE="false")
    c = open_raw(to=broker).send(raw.connect("x", version=5, will=raw.Will(retain=True)))
    c.expect(raw.CONNACK, reason=0x9A)
    assert c.closed() == []


def test_3_2_2_14_retain_is_available_by_default(client):
    assert client("c").connack.properties.get("retain_available", 1) == 1


def test_3_2_2_15_packets_over_the_servers_maximum_close_with_0x95(make_broker, client):
    broker = make_broker(MQTT__MAX_PACKET_SIZE=1000)
    c = client("c", to=broker)
    assert c.connack.properties["maximum_packet_size"] == 1000
    fits = 1000 - len(raw.publish("t", b"", qos=1, pid=1, version=5)) - 1
    c.publish("t", b"z" * fits, qos=1)
    c.send(raw.publish("t", b"z" * (fits + 1), qos=1, pid=2, version=5)).refused(0x95)


def test_3_2_2_15_a_huge_length_is_refused_before_its_body_comes(client):
    client("c").send(b"\x30\xff\xff\xff\x7f").refused(0x95)


def test_3_2_2_15_connect_over_the_maximum_is_refused(make_broker, open_raw):
    broker = make_broker(MQTT__MAX_PACKET_SIZE=200)
    c = open_raw(to=broker).send(raw.connect("x" * 300, version=5))
    assert all(p.reason == 0x95 for p in c.closed())


@also("3.2.2-18", "3.3.2-9")
def test_3_2_2_17_alias_over_the_servers_maximum_is_refused(make_broker, client):
    broker = make_broker(MQTT__TOPIC_ALIAS_MAXIMUM=3)
    c = client("c", to=broker)
    assert c.connack.properties["topic_alias_maximum"] == 3
    c.publish("t", qos=1, properties={"topic_alias": 3})
    c.send(raw.publish("t", version=5, properties={"topic_alias": 4})).refused(0x94)


def test_3_2_2_18_no_aliases_when_the_maximum_is_0(make_broker, client):
    broker = make_broker(MQTT__TOPIC_ALIAS_MAXIMUM=0)
    c = client("c", to=broker)
    assert c.connack.properties.get("topic_alias_maximum", 0) == 0
    c.send(raw.publish("t", version=5, properties={"topic_alias": 1})).refused(0x94)


@also("3.2.2-20")
def test_3_2_2_19_connack_fits_the_clients_maximum(open_raw):
    c = open_raw().send(raw.connect("", version=5, properties={"maximum_packet_size": 5}))
    # The assigned identifier doesn't fit in 5 bytes: all that is left is to close.
    assert all(p.size <= 5 for p in c.closed())


@also("3.1.2-21", "3.2.2-22")
def test_3_2_2_21_server_keep_alive_is_said_when_it_differs(make_broker, client):
    broker = make_broker(MQTT__MAX_KEEP_ALIVE="60s")
    assert client("a", to=broker, keepalive=120).connack.properties["server_keep_alive"] == 60
    assert client("b", to=broker, keepalive=0).connack.properties["server_keep_alive"] == 60
    assert "server_keep_alive" not in client("c", to=broker, keepalive=30).connack.properties


@pytest.mark.slow
def test_3_2_2_21_server_keep_alive_is_what_counts(make_broker, client):
    broker = make_broker(MQTT__MAX_KEEP_ALIVE="1s")
    c = client("a", to=broker, keepalive=100)
    assert c.connack.properties["server_keep_alive"] == 1
    c.refused(0x8D, timeout=5)


def test_session_expiry_is_said_when_the_server_shortens_it(make_broker, client):
    broker = make_broker(SESSION__MAX_EXPIRY="60s")
    long = client("a", to=broker, properties={"session_expiry": 0xFFFFFFFF})
    assert long.connack.properties["session_expiry"] == 60
    short = client("b", to=broker, properties={"session_expiry": 30})
    assert short.connack.properties.get("session_expiry", 30) == 30


def test_receive_maximum_of_the_server_is_said(make_broker, client):
    broker = make_broker(MQTT__RECEIVE_MAXIMUM=7)
    assert client("a", to=broker).connack.properties["receive_maximum"] == 7


def test_features_are_available(client):
    found = client("a").connack.properties
    for name in ("wildcard_available", "subscription_id_available", "shared_available"):
        assert found.get(name, 1) == 1
