"""MQTT 5.0, 1.5 to 2.2 and 3.3: data, fixed header, packet ids, PUBLISH."""

import time

import pytest

import raw

also = pytest.mark.also
MALFORMED, PROTOCOL, TOPIC, ALIAS = 0x81, 0x82, 0x90, 0x94


@pytest.fixture
def pair(client):
    def pair(*filters, qos=2, options=0, **properties):
        s, p = client("sub", properties=properties), client("pub")
        s.subscribe(*(filters or ("t",)), qos=qos, options=options)
        return s, p
    return pair


@pytest.mark.parametrize("topic", [b"\xff", b"a\xc0\xaf", b"\xed\xa0\x80", b"\xed\xbf\xbf",
                                   b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x80"])
def test_1_5_4_1_ill_formed_utf8_is_malformed(refused, topic):
    refused(raw.publish(topic, version=5), MALFORMED)


def test_1_5_4_2_u0000_is_malformed(refused):
    refused(raw.publish("a\0b", version=5), MALFORMED, TOPIC)
    refused(raw.subscribe(1, [("a\0", 0)], version=5), MALFORMED, 0x8F)


def test_1_5_4_3_a_byte_order_mark_is_kept(pair):
    s, p = pair("\ufefft")
    p.publish("\ufefft", b"x", properties={"content_type": "\ufeffc"})
    m = s.message()
    assert (m.topic, m.properties["content_type"]) == ("\ufefft", "\ufeffc")


@pytest.mark.parametrize("packet", [
    b"\xc0\x80\x00", b"\x30\x84\x00" + raw.text("t") + b"\0", b"\x30\x84\x80\x00" + raw.text("t") + b"\0",
    raw.frame(raw.PUBLISH, raw.text("t") + b"\x80\x00"),
    raw.frame(raw.PUBLISH, raw.text("t") + b"\x82\x00\x01\x01x")], ids=lambda p: p.hex())
def test_1_5_5_1_a_length_takes_no_more_bytes_than_it_needs(refused, packet):
    """As Remaining Length, and as Property Length."""
    refused(packet, MALFORMED)


def test_1_5_5_1_five_bytes_of_length_are_malformed(refused):
    refused(b"\x30\x80\x80\x80\x80\x01", MALFORMED, 0x95)


def test_1_5_7_1_both_strings_of_a_pair_must_be_utf8(refused):
    for pair in ((b"\xff", b"v"), (b"k", b"\xff"), (b"k\0", b"v")):
        refused(raw.publish("t", version=5, properties={"user_property": pair}), MALFORMED)


@pytest.mark.parametrize("packet", [
    raw.frame(raw.PINGREQ, flags=1), raw.frame(raw.DISCONNECT, flags=2),
    raw.frame(raw.AUTH, b"\x18\x00", flags=1), raw.ack(raw.PUBREL, 1, flags=0),
    raw.subscribe(1, [("t", 0)], version=5, flags=0), raw.unsubscribe(1, ["t"], version=5, flags=3),
    raw.ack(raw.PUBACK, 1, flags=2), raw.ack(raw.PUBREC, 1, flags=8),
    raw.ack(raw.PUBCOMP, 1, flags=1)], ids=lambda p: p[:2].hex())
def test_2_1_3_1_reserved_flags_are_malformed(refused, packet):
    refused(packet, MALFORMED)


def test_2_2_1_2_qos_0_has_no_packet_id(pair):
    s, p = pair()
    p.publish("t", b"\0\1payload")
    assert s.message().payload == b"\0\1payload"


def test_2_2_1_3_packet_id_0_is_an_error(refused):
    for packet in (raw.publish("t", qos=1, pid=0, version=5), raw.publish("t", qos=2, pid=0, version=5),
                   raw.subscribe(0, [("t", 0)], version=5), raw.unsubscribe(0, ["t"], version=5)):
        refused(packet, MALFORMED, PROTOCOL)


@also("4.3.2-1", "4.3.3-1")
def test_2_2_1_4_server_gives_unused_packet_ids(pair):
    s, p = pair()
    for n in range(20):
        p.publish("t", bytes([n]), qos=1 + n % 2)
    seen = [s.message(answer=False) for _ in range(20)]
    assert len({m.pid for m in seen}) == 20


@pytest.mark.parametrize("pid", [1, 2, 256, 65535])
@also("2.2.1-6", "3.8.4-2", "4.3.3-4")
def test_2_2_1_5_answers_carry_the_packet_id(client, pid):
    p = client("pub")
    p.publish("t", qos=1, pid=pid)
    p.publish("t", qos=2, pid=pid)
    p.send(raw.subscribe(pid, [("t", 0)], version=5)).expect(raw.SUBACK, pid=pid)
    p.send(raw.unsubscribe(pid, ["t"], version=5)).expect(raw.UNSUBACK, pid=pid)


def test_2_2_2_1_no_properties_are_a_zero_length(pair):
    s, p = pair()
    p.publish("t", b"x")
    assert s.message().body == raw.text("t") + b"\0x"


@pytest.mark.parametrize("qos", [1, 2])
def test_3_3_1_1_dup_is_set_on_redelivery_only(client, durable, qos):
    s = durable("sub")
    s.subscribe("t")
    client("pub").publish("t", b"m", qos=qos)
    first = s.message(answer=False)
    s.drop()
    again = durable("sub").message(answer=False)
    assert (first.dup, again.dup) == (False, True)
    assert (again.pid, again.payload, again.qos) == (first.pid, b"m", qos)


def test_3_3_1_2_dup_with_qos_0_is_malformed(refused):
    refused(raw.publish("t", dup=True, version=5), MALFORMED, PROTOCOL)


def test_3_3_1_3_dup_is_not_passed_on(pair):
    s, p = pair()
    for qos in (1, 2):
        p.publish("t", b"m", qos=qos, dup=True)
        assert not s.message().dup


def test_3_3_1_4_qos_3_is_malformed(refused):
    refused(raw.publish("t", qos=3, pid=1, version=5), MALFORMED)


@pytest.mark.parametrize("qos", [0, 1, 2])
@also("3.3.1-9")
def test_3_3_1_5_retained_message_is_replaced_and_sent_with_its_qos(client, qos):
    p = client("pub")
    p.publish("r", b"old", qos=1, retain=True)
    p.publish("r", b"kept", qos=qos, retain=True)
    p.ping()
    s = client("sub")
    s.subscribe("r")
    assert [(m.payload, m.qos, m.retain) for m in s.until_quiet(p)] == [(b"kept", qos, True)]


@also("3.3.1-7")
def test_3_3_1_6_empty_payload_clears(client):
    p = client("pub")
    p.publish("r", b"x", qos=1, retain=True)
    p.publish("r", b"", qos=1, retain=True)
    s = client("sub")
    s.subscribe("r")
    assert s.until_quiet(p) == []


def test_3_3_1_8_without_retain_nothing_is_stored_or_replaced(client):
    p = client("pub")
    p.publish("a", b"kept", qos=1, retain=True)
    p.publish("a", b"passing", qos=1)
    p.publish("a", b"", qos=1)
    s = client("sub")
    s.subscribe("#")
    assert [(m.topic, m.payload) for m in s.until_quiet(p)] == [("a", b"kept")]


def test_retained_message_brings_its_properties(client):
    sent = [("user_property", ("a", "2")), ("user_property", ("c", "3")), ("content_type", "x"),
            ("payload_format", 1), ("response_topic", "r/t"), ("correlation_data", b"\1\2")]
    p = client("pub")
    for qos in (0, 1, 2):
        p.publish(f"r/{qos}", b"text", qos=qos, retain=True, properties=sent)
    p.ping()
    s = client("sub")
    s.subscribe("r/+")
    for m in s.until_quiet(p):
        assert m.properties == {"user_property": [("a", "2"), ("c", "3")], "content_type": "x",
                                "payload_format": 1, "response_topic": "r/t",
                                "correlation_data": b"\1\2"}


def test_3_3_1_10_retain_handling_1_sends_for_new_subscriptions_only(client):
    s, p = client("sub"), client("pub")
    p.publish("r", b"x", qos=1, retain=True)
    s.subscribe("r", options=0x10)
    assert len(s.until_quiet(p)) == 1
    s.subscribe("r", options=0x10)
    assert s.until_quiet(p) == []
    s.unsubscribe("r")
    s.subscribe("r", options=0x10)
    assert len(s.until_quiet(p)) == 1


def test_3_3_1_11_retain_handling_2_sends_nothing(client):
    s, p = client("sub"), client("pub")
    p.publish("r", b"x", qos=1, retain=True)
    s.subscribe("r", options=0x20)
    assert s.until_quiet(p) == []


@pytest.mark.parametrize("retain", [False, True])
@also("3.3.1-13")
def test_3_3_1_12_retain_as_published(client, retain):
    plain, asis, p = client("plain"), client("asis"), client("pub")
    plain.subscribe("t")
    asis.subscribe("t", options=0x08)
    p.publish("t", b"x", qos=1, retain=retain)
    assert plain.message().retain is False
    assert asis.message().retain is retain


def test_3_3_1_12_retained_messages_of_a_new_subscription_keep_the_flag(client):
    p = client("pub")
    p.publish("r", b"x", qos=1, retain=True)
    for options in (0, 0x08):
        s = client("sub")
        s.subscribe("r", options=options)
        assert s.message().retain


def test_3_3_2_1_topic_name_must_be_utf8(refused):
    refused(raw.publish(b"t\xfe", version=5), MALFORMED)


@also("4.7.0-1")
@pytest.mark.parametrize("topic", ["#", "+", "a/#", "a/+/b", "a#", "a+b"])
def test_3_3_2_2_wildcards_in_a_topic_name_are_refused(refused, topic):
    refused(raw.publish(topic, version=5), TOPIC, MALFORMED, PROTOCOL)


def test_3_3_2_3_topic_of_a_delivery_matches_the_filter(pair):
    s, p = pair("a/+/c")
    p.publish("a/b/c", b"x", qos=1)
    p.publish("a/b/d", b"x", qos=1)
    assert [m.topic for m in s.until_quiet(p)] == ["a/b/c"]


@pytest.mark.parametrize("qos", [0, 1, 2])
@also("3.3.2-15", "3.3.2-16", "3.3.2-17", "3.3.2-18", "3.3.2-20")
def test_3_3_2_4_properties_are_passed_on_unaltered_and_in_order(pair, qos):
    s, p = pair()
    sent = [("payload_format", 1), ("content_type", "text/ü"), ("response_topic", "re/ply"),
            ("correlation_data", bytes(range(256))), ("user_property", ("k", "1")),
            ("user_property", ("j", "")), ("user_property", ("k", "0"))]
    p.publish("t", "grüße", qos=qos, properties=sent)
    m = s.message()
    assert m.payload.decode() == "grüße"
    assert m.properties == {
        "payload_format": 1, "content_type": "text/ü", "response_topic": "re/ply",
        "correlation_data": bytes(range(256)), "user_property": [("k", "1"), ("j", ""), ("k", "0")]}


@pytest.mark.slow
@also("3.3.2-6")
def test_3_3_2_5_message_expiry_is_counted_down_and_ends_messages(client, durable):
    s = durable("sub")
    s.subscribe("t")
    s.disconnect()
    p = client("pub")
    for qos in (1, 2):
        p.publish("t", b"short", qos=qos, properties={"message_expiry": 1})
        p.publish("t", b"long", qos=qos, properties={"message_expiry": 100})
        p.publish("t", b"for ever", qos=qos)
    time.sleep(2.1)
    seen = durable("sub").until_quiet(p)
    assert [m.payload for m in seen] == [b"long", b"for ever"] * 2
    assert all(96 <= m.properties["message_expiry"] <= 98 for m in seen if m.payload == b"long")


def test_3_3_2_6_message_expiry_is_passed_on(pair):
    s, p = pair()
    p.publish("t", qos=1, properties={"message_expiry": 100})
    assert s.message().properties["message_expiry"] in (99, 100)


@pytest.mark.slow
def test_3_3_2_5_retained_messages_expire(client):
    p = client("pub")
    p.publish("r/short", b"x", qos=1, retain=True, properties={"message_expiry": 1})
    p.publish("r/long", b"x", qos=1, retain=True, properties={"message_expiry": 50})
    time.sleep(1.6)
    s = client("sub")
    s.subscribe("r/#")
    seen = s.until_quiet(p)
    assert [m.topic for m in seen] == ["r/long"]
    assert seen[0].properties["message_expiry"] in (48, 49)


def test_3_3_2_7_topic_aliases_do_not_outlive_the_connection(durable):
    p = durable("pub")
    p.publish("t", qos=1, properties={"topic_alias": 1})
    p.drop()
    p = durable("pub")
    p.send(raw.publish("", version=5, properties={"topic_alias": 1})).refused(ALIAS, PROTOCOL)


def test_3_3_2_8_topic_alias_0_is_refused(refused):
    refused(raw.publish("t", version=5, properties={"topic_alias": 0}), ALIAS)


def test_3_3_2_8_unknown_alias_is_refused(refused):
    refused(raw.publish("", version=5, properties={"topic_alias": 1}), ALIAS, PROTOCOL)


def test_3_3_2_8_no_topic_and_no_alias_is_an_error(refused):
    refused(raw.publish("", version=5), PROTOCOL, TOPIC, MALFORMED)


@also("3.3.2-10")
def test_3_3_2_12_aliases_are_understood_and_can_be_changed(pair):
    s, p = pair("t/#")
    top = p.connack.properties["topic_alias_maximum"]
    for alias, topic in ((1, "t/a"), (top, "t/b"), (1, ""), (top, ""), (1, "t/c"), (1, ""), (top, "")):
        p.publish(topic, qos=1, properties={"topic_alias": alias})
    assert [m.topic for m in s.until_quiet(p)] == ["t/a", "t/b", "t/a", "t/b", "t/c", "t/c", "t/b"]


def test_3_3_2_12_aliases_are_each_connections_own(client):
    s = client("sub")
    s.subscribe("t/#")
    a, b = client("a"), client("b")
    a.publish("t/a", qos=1, properties={"topic_alias": 1})
    b.publish("t/b", qos=1, properties={"topic_alias": 1})
    a.publish("", qos=1, properties={"topic_alias": 1})
    assert [s.message().topic for _ in range(3)] == ["t/a", "t/b", "t/a"]


def test_3_3_2_13_response_topic_must_be_utf8(refused):
    refused(raw.publish("t", version=5, properties={"response_topic": b"\xff"}), MALFORMED)


@pytest.mark.parametrize("topic", ["#", "a/+", "a#"])
def test_3_3_2_14_response_topic_has_no_wildcards(refused, topic):
    refused(raw.publish("t", version=5, properties={"response_topic": topic}), PROTOCOL, TOPIC, MALFORMED)


def test_3_3_2_19_content_type_must_be_utf8(refused):
    refused(raw.publish("t", version=5, properties={"content_type": b"\xff"}), MALFORMED)


@also("4.3.2-4", "4.3.3-8", "3.4.2-1", "3.5.2-1")
def test_3_3_4_1_publish_is_answered_as_its_qos_asks(pair):
    s, p = pair()
    p.publish("t", qos=0)
    assert p.publish("t", qos=1).reason == 0
    assert p.publish("t", qos=2).reason == 0
    assert [m.qos for m in s.until_quiet(p)] == [0, 1, 2]


def test_3_4_2_1_nobody_listens_is_a_success(client):
    assert client("p").publish("nobody", qos=1).reason in (0, 0x10)


def test_3_3_4_2_overlapping_subscriptions_deliver_at_the_highest_qos(client):
    s, p = client("sub"), client("pub")
    s.subscribe(("o/#", 0), ("o/+", 2), ("o/x", 1))
    p.publish("o/x", qos=2)
    assert [m.qos for m in s.until_quiet(p)] == [2]


@also("3.3.4-4", "3.3.4-5")
def test_3_3_4_3_subscription_identifiers_come_with_the_message(client):
    s, p = client("sub"), client("pub")
    s.subscribe("a/#", properties={"subscription_id": 1})
    s.subscribe("a/+", properties={"subscription_id": 268435455})
    s.subscribe("a/b")
    s.subscribe("c", properties={"subscription_id": 128})
    p.publish("a/b", qos=1)
    p.publish("a/b/c", qos=1)
    p.publish("c", qos=1)
    found = [(m.topic, sorted(m.properties["subscription_id"])) for m in s.until_quiet(p)]
    assert found == [("a/b", [1, 268435455]), ("a/b/c", [1]), ("c", [128])]


def test_3_3_4_3_replacing_a_subscription_replaces_its_identifier(client):
    s, p = client("sub"), client("pub")
    s.subscribe("a", properties={"subscription_id": 1})
    s.subscribe("a", properties={"subscription_id": 2})
    p.publish("a", qos=1)
    assert s.message().properties["subscription_id"] == [2]
    s.subscribe("a")
    p.publish("a", qos=1)
    assert "subscription_id" not in s.message().properties


def test_3_3_4_3_retained_messages_bring_the_identifier_too(client):
    p = client("pub")
    p.publish("r", b"x", qos=1, retain=True)
    s = client("sub")
    s.subscribe("r", properties={"subscription_id": 5})
    assert s.message().properties["subscription_id"] == [5]


def test_3_3_4_6_a_publish_from_a_client_has_no_subscription_identifier(refused):
    refused(raw.publish("t", version=5, properties={"subscription_id": 1}), PROTOCOL, MALFORMED)
