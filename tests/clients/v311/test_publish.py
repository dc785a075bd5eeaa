"""MQTT 3.1.1, 1.5 to 2.3, 3.3 to 3.7: data, fixed header, packet ids, PUBLISH and its acknowledgements."""

import pytest

import raw

also = pytest.mark.also


def pair(client, *filters, qos=2):
    s, p = client("sub"), client("pub")
    s.subscribe(*(filters or ("t",)), qos=qos)
    return s, p


def refused(client, packet):
    c = client("bad")
    assert c.send(packet).closed() == []
    client("after").ping()


@pytest.mark.parametrize("topic", [b"\xff", b"a\xc0\xaf", b"\xed\xa0\x80", b"\xed\xbf\xbf",
                                   b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x80"])
def test_1_5_3_1_ill_formed_utf8_closes(client, topic):
    refused(client, raw.publish(topic))


def test_1_5_3_2_u0000_closes(client):
    refused(client, raw.publish(b"a\0b"))
    refused(client, raw.subscribe(1, [(b"a\0", 0)]))


def test_1_5_3_3_a_byte_order_mark_is_kept(client):
    s, p = pair(client, "\ufefftopic", "topic")
    p.publish("\ufefftopic", b"with")
    p.publish("topic", b"without")
    assert [s.message().topic, s.message().topic] == ["\ufefftopic", "topic"]


@pytest.mark.parametrize("packet", [
    raw.frame(raw.PINGREQ, flags=1), raw.frame(raw.DISCONNECT, flags=2),
    raw.ack(raw.PUBREL, 1, flags=0), raw.subscribe(1, [("t", 0)], flags=0),
    raw.unsubscribe(1, ["t"], flags=3), raw.ack(raw.PUBACK, 1, flags=2),
    raw.ack(raw.PUBREC, 1, flags=8), raw.ack(raw.PUBCOMP, 1, flags=1)], ids=lambda p: p[:2].hex())
@also("2.2.2-2")
def test_2_2_2_1_reserved_flags_close(client, packet):
    refused(client, packet)


def test_2_3_1_1_packet_id_0_closes(client):
    refused(client, raw.publish("t", qos=1, pid=0))
    refused(client, raw.publish("t", qos=2, pid=0))
    refused(client, raw.subscribe(0, [("t", 0)]))
    refused(client, raw.unsubscribe(0, ["t"]))


@also("2.3.1-2", "4.3.2-1")
def test_2_3_1_4_server_gives_unused_packet_ids(client):
    s, p = pair(client)
    for n in range(20):
        p.publish("t", bytes([n]), qos=1 + n % 2)
    seen = [s.message(answer=False) for _ in range(10)]
    assert len({m.pid for m in seen}) == 10
    for m in seen:
        s.acknowledge(m)


def test_2_3_1_5_qos_0_has_no_packet_id(client):
    s, p = pair(client)
    p.publish("t", b"\0\1payload", qos=0)
    m = s.message()
    assert (m.pid, m.payload) == (None, b"\0\1payload")


@pytest.mark.parametrize("pid", [1, 2, 255, 256, 32768, 65535])
@also("3.3.4-1", "4.3.2-2", "4.3.3-2")
def test_2_3_1_6_acknowledgements_carry_the_packet_id(client, pid):
    p = client("pub")
    assert p.publish("t", qos=1, pid=pid).pid == pid
    assert p.publish("t", qos=2, pid=pid).pid == pid


@also("3.8.4-2", "3.10.4-4")
@pytest.mark.parametrize("pid", [1, 256, 65535])
def test_2_3_1_7_suback_and_unsuback_carry_the_packet_id(client, pid):
    c = client("sub")
    c.send(raw.subscribe(pid, [("t", 0)])).expect(raw.SUBACK, pid=pid)
    c.send(raw.unsubscribe(pid, ["t"])).expect(raw.UNSUBACK, pid=pid)


@pytest.mark.parametrize("qos", [1, 2])
def test_3_3_1_1_dup_is_set_on_redelivery_only(client, qos):
    s = client("sub", clean=False)
    s.subscribe("t")
    client("pub").publish("t", b"m", qos=qos)
    first = s.message(answer=False)
    assert not first.dup
    s.drop()
    again = client("sub", clean=False).message(answer=False)
    assert again.dup
    assert (again.pid, again.payload, again.qos) == (first.pid, b"m", qos)


def test_3_3_1_2_dup_with_qos_0_closes(client):
    refused(client, raw.publish("t", dup=True))


@pytest.mark.parametrize("qos", [1, 2])
def test_3_3_1_3_dup_is_not_passed_on(client, qos):
    s, p = pair(client)
    p.publish("t", b"m", qos=qos, dup=True)
    assert not s.message().dup


def test_3_3_1_4_qos_3_closes(client):
    refused(client, raw.publish("t", qos=3, pid=1))


@pytest.mark.parametrize("qos", [0, 1, 2])
@also("3.3.1-6", "3.3.1-8")
def test_3_3_1_5_retained_message_goes_to_new_subscribers_with_its_qos(client, qos):
    client("pub").publish("r", b"kept", qos=qos, retain=True)
    client("flush").ping()
    s = client("sub")
    s.subscribe("r", qos=2)
    m = s.message()
    assert (m.payload, m.qos, m.retain) == (b"kept", qos, True)


def test_3_3_1_6_only_the_last_retained_message(client):
    p = client("pub")
    for n in range(5):
        p.publish("r", bytes([n]), qos=1, retain=True)
    s = client("sub")
    s.subscribe("r")
    assert [m.payload for m in s.until_quiet(p)] == [b"\4"]


def test_3_3_1_7_qos_0_replaces_the_retained_message(client):
    p = client("pub")
    p.publish("r", b"old", qos=1, retain=True)
    p.publish("r", b"new", qos=0, retain=True)
    p.ping()
    s = client("sub")
    s.subscribe("r")
    assert [m.payload for m in s.until_quiet(p)] == [b"new"]


def test_3_3_1_9_retain_is_0_for_established_subscriptions(client):
    s, p = pair(client)
    p.publish("t", b"x", qos=1, retain=True)
    assert not s.message().retain


@also("3.3.1-11")
def test_3_3_1_10_empty_retained_message_clears_and_is_delivered(client):
    s, p = pair(client)
    p.publish("t", b"x", qos=1, retain=True)
    p.publish("t", b"", qos=1, retain=True)
    assert [(m.payload, m.retain) for m in s.until_quiet(p)] == [(b"x", False), (b"", False)]
    late = client("late")
    late.subscribe("t")
    assert late.until_quiet(p) == []


def test_3_3_1_12_without_retain_nothing_is_stored_or_replaced(client):
    p = client("pub")
    p.publish("a", b"kept", qos=1, retain=True)
    p.publish("a", b"passing", qos=1)
    p.publish("a", b"", qos=1)
    p.publish("b", b"passing", qos=1)
    s = client("sub")
    s.subscribe("#")
    assert [(m.topic, m.payload) for m in s.until_quiet(p)] == [("a", b"kept")]


def test_3_3_2_1_topic_name_must_be_utf8(client):
    refused(client, raw.publish(b"t\xfe"))


@also("4.7.1-1")
@pytest.mark.parametrize("topic", ["#", "+", "a/#", "a/+/b", "a#", "a+b"])
def test_3_3_2_2_wildcards_in_a_topic_name_close(client, topic):
    refused(client, raw.publish(topic))


def test_3_3_2_3_topic_of_a_delivery_matches_the_filter(client):
    s, p = pair(client, "a/+/c")
    p.publish("a/b/c", b"x", qos=1)
    p.publish("a/b/d", b"x", qos=1)
    assert [m.topic for m in s.until_quiet(p)] == ["a/b/c"]


def test_3_3_4_1_publish_is_answered_as_its_qos_asks(client):
    p = client("pub")
    p.publish("t", qos=0)
    p.ping()
    p.publish("t", qos=1)
    p.publish("t", qos=2)


def test_3_3_5_1_overlapping_subscriptions_deliver_at_the_highest_qos(client):
    s, p = client("sub"), client("pub")
    s.subscribe(("o/#", 0), ("o/+", 2), ("o/x", 1))
    p.publish("o/x", b"m", qos=2)
    seen = s.until_quiet(p)
    assert [m.qos for m in seen] == [2], "one copy, at the highest granted QoS"


@also("4.3.3-2")
def test_3_6_1_1_pubrel_flags_must_be_0010(client):
    for flags in (0, 1, 3, 6, 10):
        c = client("rel")
        c.send(raw.publish("t", qos=2, pid=1)).expect(raw.PUBREC)
        assert c.send(raw.ack(raw.PUBREL, 1, flags=flags)).closed() == []


@pytest.mark.parametrize("qos,sizes", [(q, s) for q in (0, 1, 2) for s in (
    (0, 1), (127, 128), (16383, 16384), (70000, 200000))])
def test_remaining_lengths_around_each_varint_step(client, qos, sizes):
    s, p = pair(client)
    for size in sizes:
        for total in {size, max(0, size - 3), max(0, size - 5)}:
            p.publish("t", b"z" * total, qos=qos)
            assert len(s.message().payload) == total
