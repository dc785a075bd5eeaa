"""MQTT 5.0, 3.8 to 3.12: SUBSCRIBE, UNSUBSCRIBE, PINGREQ."""

import pytest

import raw

also = pytest.mark.also
MALFORMED, PROTOCOL, FILTER = 0x81, 0x82, 0x8F


@pytest.mark.parametrize("flags", [0, 1, 3, 6, 10, 15])
@also("3.10.1-1")
def test_3_8_1_1_flags_must_be_0010(refused, flags):
    refused(raw.subscribe(1, [("t", 0)], version=5, flags=flags), MALFORMED)
    refused(raw.unsubscribe(1, ["t"], version=5, flags=flags), MALFORMED)


@also("3.10.3-1")
def test_3_8_3_1_topic_filters_must_be_utf8(refused):
    refused(raw.subscribe(1, [(b"\xff", 0)], version=5), MALFORMED)
    refused(raw.unsubscribe(1, [b"\xff"], version=5), MALFORMED)


@also("3.10.3-2")
def test_3_8_3_2_there_must_be_a_filter(refused):
    refused(raw.subscribe(1, [], version=5), PROTOCOL, MALFORMED)
    refused(raw.unsubscribe(1, [], version=5), PROTOCOL, MALFORMED)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_3_8_3_3_no_local_keeps_own_messages_away(client, qos):
    a, b = client("a"), client("b")
    a.subscribe("t", options=0x04)
    b.subscribe("t", options=0x04)
    a.publish("t", b"mine", qos=qos)
    assert [m.payload for m in b.until_quiet(a)] == [b"mine"]
    assert a.until_quiet(a) == []


def test_3_8_3_3_no_local_holds_for_retained_and_after_reconnecting(client, durable):
    a = durable("a")
    a.subscribe("t", options=0x04)
    a.publish("t", b"x", qos=1)
    a.drop()
    a = durable("a")
    a.publish("t", b"y", qos=1)
    client("b").publish("t", b"other", qos=1)
    assert [m.payload for m in a.until_quiet(client("c"))] == [b"other"]


def test_3_8_3_3_overlapping_subscription_without_no_local_still_delivers(client):
    a = client("a")
    a.subscribe(("t", 2 | 0x04), ("#", 1))
    a.publish("t", b"x", qos=1)
    assert [m.payload for m in a.until_quiet(a)] == [b"x"]


def test_3_8_3_4_no_local_on_a_shared_subscription_is_a_protocol_error(refused):
    refused(raw.subscribe(1, [("$share/g/t", 0x04)], version=5), PROTOCOL)


@pytest.mark.parametrize("options", [0x03, 0x40, 0x80, 0xC1, 0x30], ids=hex)
def test_3_8_3_5_reserved_bits_qos_3_and_retain_handling_3_are_errors(refused, options):
    refused(raw.subscribe(1, [("t", options)], version=5), PROTOCOL, MALFORMED)


def test_3_8_2_subscription_identifier_0_is_a_protocol_error(refused):
    refused(raw.subscribe(1, [("t", 0)], version=5, properties={"subscription_id": 0}), PROTOCOL)


@also("3.8.4-2", "3.8.4-6", "3.9.3-2")
def test_3_8_4_1_subscribe_is_answered(client):
    assert client("c").subscribe("t", qos=1).codes == (1,)


def test_3_8_4_3_same_filter_replaces(client):
    s, p = client("sub"), client("pub")
    s.subscribe("t", qos=2)
    s.subscribe("t", qos=0)
    p.publish("t", b"x", qos=2)
    assert [m.qos for m in s.until_quiet(p)] == [0]


def test_3_8_4_4_retain_handling_0_repeats_retained(client):
    s, p = client("sub"), client("pub")
    p.publish("r", b"x", qos=1, retain=True)
    for _ in range(3):
        s.subscribe("r")
        assert [m.payload for m in s.until_quiet(p)] == [b"x"]


@also("3.8.4-7", "3.9.3-1")
def test_3_8_4_5_many_filters_in_one_packet_in_order(client):
    s, p = client("sub"), client("pub")
    assert s.subscribe(("a", 0), ("b", 1), ("c", 2), ("a", 1)).codes == (0, 1, 2, 1)
    p.publish("a", qos=2)
    assert [m.qos for m in s.until_quiet(p)] == [1]


@pytest.mark.parametrize("published", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_3_8_4_8_delivered_qos_is_the_lower_one(client, published, granted):
    s, p = client("sub"), client("pub")
    s.subscribe("t", qos=granted)
    p.publish("t", b"m", qos=published)
    assert [m.qos for m in s.until_quiet(p)] == [min(published, granted)]


@pytest.mark.parametrize("name", ["a#", "a/#/b", "+a", "a/b+/c", "##", "$share/", "$share/g",
                                  "$share//t", "$share/g/", "$share/g+/t", "$share/g#/t", ""])
@also("4.7.1-1", "4.7.1-2", "4.8.2-1", "4.8.2-2", "4.7.3-1")
def test_invalid_filters_are_refused_in_suback_or_by_closing(client, name):
    c = client("c")
    c.send(raw.subscribe(1, [("good", 0), (name, 0)], version=5))
    answer = c.recv()
    if answer.kind == raw.SUBACK:
        assert answer.codes[0] == 0 and answer.codes[1] in (FILTER, 0x80)
    else:
        assert answer.kind == raw.DISCONNECT and answer.reason in (FILTER, MALFORMED, PROTOCOL)
        assert c.closed() == []
    client("after").ping()


@also("3.10.4-4", "3.11.3-2", "3.10.4-2")
def test_3_10_4_1_unsubscribe_deletes_exactly_the_filter(client):
    s, p = client("sub"), client("pub")
    s.subscribe("a/+", "$share/g/a/b")
    assert s.unsubscribe("a/b").codes == (0x11,)
    assert s.unsubscribe("a/+").codes == (0,)
    p.publish("a/b", b"shared only", qos=1)
    assert len(s.until_quiet(p)) == 1
    assert s.unsubscribe("$share/g/a/b").codes == (0,)
    p.publish("a/b", qos=1)
    assert s.until_quiet(p) == []


@pytest.mark.parametrize("qos", [1, 2])
def test_3_10_4_3_what_was_being_delivered_is_completed(client, durable, qos):
    s = durable("sub")
    s.subscribe("t")
    client("pub").publish("t", b"m", qos=qos)
    m = s.message(answer=False)
    s.unsubscribe("t")
    s.drop()
    again = durable("sub").message()
    assert (again.pid, again.dup, again.payload) == (m.pid, True, b"m")


@also("3.10.4-6", "3.11.3-1")
def test_3_10_4_5_every_filter_is_answered_in_order(client):
    s = client("sub")
    s.subscribe("a", "c")
    assert s.unsubscribe("x", "a", "y", "c", "a").codes == (0x11, 0, 0x11, 0, 0x11)


def test_3_12_4_1_pingreq_is_answered(client):
    c = client("c")
    for _ in range(3):
        c.ping()
