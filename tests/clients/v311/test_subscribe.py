"""MQTT 3.1.1, 3.8 to 3.14: SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT."""

import pytest

import raw

also = pytest.mark.also


def refused(client, packet):
    c = client("bad")
    assert c.send(packet).closed() == []
    client("after").ping()


@pytest.mark.parametrize("flags", [0, 1, 3, 6, 10, 15])
def test_3_8_1_1_subscribe_flags_must_be_0010(client, flags):
    refused(client, raw.subscribe(1, [("t", 0)], flags=flags))


def test_3_8_3_1_topic_filters_must_be_utf8(client):
    refused(client, raw.subscribe(1, [(b"\xff", 0)]))


def test_3_8_3_2_wildcard_filters_are_supported(client):
    c = client("wild")
    assert c.subscribe("#", "+", "a/+/#", "/+").codes == (2, 2, 2, 2)


def test_3_8_3_3_subscribe_without_a_filter_closes(client):
    refused(client, raw.subscribe(1, []))


@pytest.mark.parametrize("options", [3, 4, 8, 0x10, 0x40, 0x80, 0xFF])
def test_3_8_3_4_reserved_bits_and_qos_3_close(client, options):
    refused(client, raw.subscribe(1, [("t", options)]))


@also("3.8.4-2")
def test_3_8_4_1_subscribe_is_answered(client):
    client("c").subscribe("t")


def test_3_8_4_3_same_filter_replaces_and_repeats_retained(client):
    s, p = client("sub"), client("pub")
    p.publish("r", b"kept", qos=1, retain=True)
    s.subscribe("r", qos=2)
    assert s.message().qos == 1
    s.subscribe("r", qos=0)
    assert (s.message().qos) == 0
    p.publish("r", b"new", qos=2)
    assert [(m.payload, m.qos) for m in s.until_quiet(p)] == [(b"new", 0)]


@also("3.8.4-5", "3.9.3-1", "3.9.3-2")
def test_3_8_4_4_many_filters_in_one_packet_in_order(client):
    s, p = client("sub"), client("pub")
    assert s.subscribe(("a", 0), ("b", 1), ("c", 2), ("a", 1)).codes == (0, 1, 2, 1)
    for topic in "abc":
        p.publish(topic, qos=2)
    assert [(m.topic, m.qos) for m in s.until_quiet(p)] == [("a", 1), ("b", 1), ("c", 2)]


@pytest.mark.parametrize("published", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
@also("4.3.1-1")
def test_3_8_4_6_delivered_qos_is_the_lower_one(client, published, granted):
    s, p = client("sub"), client("pub")
    s.subscribe("t", qos=granted)
    p.publish("t", b"m", qos=published)
    assert [m.qos for m in s.until_quiet(p)] == [min(published, granted)]


@pytest.mark.parametrize("flags", [0, 1, 3, 6, 10])
def test_3_10_1_1_unsubscribe_flags_must_be_0010(client, flags):
    refused(client, raw.unsubscribe(1, ["t"], flags=flags))


def test_3_10_3_1_topic_filters_must_be_utf8(client):
    refused(client, raw.unsubscribe(1, [b"\xc1\x81"]))


def test_3_10_3_2_unsubscribe_without_a_filter_closes(client):
    refused(client, raw.unsubscribe(1, []))


@also("3.10.4-2")
def test_3_10_4_1_filters_are_compared_character_by_character(client):
    s, p = client("sub"), client("pub")
    s.subscribe("a/+")
    s.unsubscribe("a/b", "A/+", "a/+/", "a/#")
    p.publish("a/b", b"still", qos=1)
    assert s.message().payload == b"still"
    s.unsubscribe("a/+")
    p.publish("a/b", b"no more", qos=1)
    assert s.until_quiet(p) == []


@pytest.mark.parametrize("qos", [1, 2])
def test_3_10_4_3_what_was_being_delivered_is_completed(client, qos):
    s = client("sub", clean=False)
    s.subscribe("t")
    client("pub").publish("t", b"m", qos=qos)
    m = s.message(answer=False)
    s.unsubscribe("t")
    s.drop()
    s = client("sub", clean=False)
    again = s.message()
    assert (again.pid, again.dup, again.payload) == (m.pid, True, b"m")


def test_3_10_4_5_unknown_filters_are_answered_too(client):
    client("c").unsubscribe("never/subscribed")


def test_3_10_4_6_many_filters_in_one_packet(client):
    s, p = client("sub"), client("pub")
    s.subscribe("a", "b", "c")
    s.unsubscribe("a", "x", "c")
    for topic in "abc":
        p.publish(topic, qos=1)
    assert [m.topic for m in s.until_quiet(p)] == ["b"]


def test_3_12_4_1_pingreq_is_answered(client):
    c = client("c")
    for _ in range(3):
        c.ping()


def test_3_14_1_1_disconnect_with_flags_closes_and_is_an_error(client):
    watcher = client("watcher")
    watcher.subscribe("will")
    client("c", will=raw.Will("will")).send(raw.frame(raw.DISCONNECT, flags=1))
    assert watcher.message().topic == "will"


@also("3.14.4-1")
def test_3_14_4_2_server_closes_after_disconnect_if_the_client_does_not(client):
    watcher = client("watcher")
    watcher.subscribe("#")
    c = client("c")
    assert c.send(raw.disconnect(), raw.publish("late", b"x")).closed() == []
    assert watcher.until_quiet(client("pub")) == []
