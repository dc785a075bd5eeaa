"""MQTT 5.0, 3.1: CONNECT. Tests carry the number of the statement they show."""

import time

import pytest

import raw

also = pytest.mark.also

MALFORMED, PROTOCOL, VERSION, NAME = 0x81, 0x82, 0x84, 0x85


def will_watcher(client):
    watcher = client("watcher")
    watcher.subscribe("will/#")
    return watcher


def test_3_1_0_1_first_packet_must_be_connect(open_raw):
    for packet in (raw.pingreq(), raw.publish("t", version=5), raw.disconnect(), raw.auth(),
                   raw.subscribe(1, [("t", 0)], version=5)):
        assert all(p.kind == raw.CONNACK for p in open_raw().send(packet).closed())


def test_3_1_0_2_second_connect_is_a_protocol_error(refused):
    refused(raw.connect("bad", version=5), PROTOCOL)


def test_3_1_2_1_wrong_protocol_name_closes(open_raw):
    for name in ("MQTX", "mqtt", "MQTTX"):
        answers = open_raw().send(raw.connect("x", version=5, name=name)).closed()
        assert all(p.reason in (VERSION, MALFORMED) for p in answers)


@also("3.2.2-6", "3.2.2-7")
@pytest.mark.parametrize("level", [6, 7, 0x7F])
def test_3_1_2_2_unknown_version_is_answered_with_0x84_and_closed(open_raw, level):
    c = open_raw().send(raw.connect("x", version=5, level=level))
    # The client speaks something newer: which form the answer has is the server's to choose.
    c.version = raw.V5
    try:
        answers = c.closed()
    except AssertionError:
        return
    assert all(p.reason in (VERSION, 1) and not p.session_present for p in answers)


def test_3_1_2_3_reserved_connect_flag_is_malformed(open_raw):
    c = open_raw().send(raw.connect("x", version=5, flags=0x03))
    check_optional_connack(c, MALFORMED, PROTOCOL)


def check_optional_connack(c, *reasons):
    """A CONNECT that is no CONNECT may be closed with or without a CONNACK [3.1.4-1]."""
    answers = c.closed()
    assert len(answers) <= 1
    assert all(p.kind == raw.CONNACK and p.reason in reasons and not p.session_present
               for p in answers), answers


@also("3.2.2-2", "3.1.4-4")
def test_3_1_2_4_clean_start_discards_the_session(client, durable):
    c = durable("clean")
    c.subscribe("q")
    c.disconnect()
    client("pub").publish("q", b"old", qos=1)
    c = durable("clean", clean=True)
    assert not c.connack.session_present
    assert c.until_quiet(client("pub2")) == []


@also("3.1.2-23", "3.1.3-2")
def test_3_1_2_5_session_is_resumed(client, durable):
    c = durable("keeps")
    c.subscribe("q/#")
    c.disconnect()
    p = client("pub")
    p.publish("q/1", b"one", qos=1)
    p.publish("q/2", b"two", qos=2)
    c = durable("keeps")
    assert c.connack.session_present
    assert [m.payload for m in c.until_quiet(p)] == [b"one", b"two"]


def test_3_1_2_6_no_session_makes_a_new_one(durable):
    assert not durable("new").connack.session_present


@pytest.mark.parametrize("qos", [0, 1, 2])
@also("3.1.2-8", "3.1.2-9")
def test_3_1_2_7_will_is_stored_and_published_when_the_connection_breaks(client, qos):
    watcher = will_watcher(client)
    client("dies", will=raw.Will("will/a", b"gone", qos)).drop()
    m = watcher.message()
    assert (m.topic, m.payload, m.qos, m.retain) == ("will/a", b"gone", qos, False)


def test_3_1_2_8_will_is_published_after_a_protocol_error(client):
    watcher = will_watcher(client)
    client("errs", will=raw.Will("will/a")).send(raw.publish("a/+", version=5)).refused()
    assert watcher.message().topic == "will/a"


def test_3_1_2_8_will_is_published_when_taken_over_by_clean_start(client):
    watcher = will_watcher(client)
    client("same", will=raw.Will("will/a"))
    client("same")
    assert watcher.message().topic == "will/a"


@also("3.14.4-3")
def test_3_1_2_10_will_is_gone_after_disconnect_0(client):
    watcher = will_watcher(client)
    client("leaves", will=raw.Will("will/a")).disconnect()
    client("leaves2", will=raw.Will("will/b")).disconnect(0)
    assert watcher.until_quiet(client("pub")) == []


@pytest.mark.parametrize("reason", [0x04, 0x80, 0x81, 0x93])
def test_3_1_2_8_will_is_published_after_disconnect_with_another_reason(client, reason):
    watcher = will_watcher(client)
    client("leaves", will=raw.Will("will/a")).disconnect(reason)
    assert watcher.message().topic == "will/a"


@pytest.mark.parametrize("flags", [0x0A, 0x12, 0x22], ids=hex)
@also("3.1.2-13")
def test_3_1_2_11_will_flag_0_with_will_qos_or_retain_is_malformed(open_raw, flags):
    check_optional_connack(open_raw().send(raw.connect("x", version=5, flags=flags)), MALFORMED, PROTOCOL)


def test_3_1_2_12_will_qos_3_is_malformed(open_raw):
    c = open_raw().send(raw.connect("x", version=5, will=raw.Will(qos=3)))
    check_optional_connack(c, MALFORMED, PROTOCOL)


@pytest.mark.parametrize("retain", [False, True])
@also("3.1.2-15")
def test_3_1_2_14_will_is_retained_as_asked(client, retain):
    watcher = will_watcher(client)
    client("dies", will=raw.Will("will/a", b"gone", 1, retain)).drop()
    watcher.message()
    late = client("late")
    late.subscribe("will/a")
    assert len(late.until_quiet(client("pub"))) == (1 if retain else 0)


def bare(flags, *fields):
    return raw.frame(raw.CONNECT, raw.text("MQTT") + bytes([5, flags, 0, 0, 0])
                     + b"".join(raw.text(f) for f in fields))


@pytest.mark.parametrize("clause,packet", [
    ("3.1.2-16", bare(0x02, "x", "user")), ("3.1.2-17", bare(0x82, "x")),
    ("3.1.2-18", bare(0x82, "x", "user", "pw")), ("3.1.2-19", bare(0x42, "x"))])
@also("3.1.2-17", "3.1.2-18", "3.1.2-19")
def test_3_1_2_16_credentials_match_their_flags(open_raw, clause, packet):
    check_optional_connack(open_raw().send(packet), MALFORMED, PROTOCOL)


def test_3_1_2_18_password_without_user_name_is_allowed_in_v5(client):
    client("tokens", password=b"\x00token").ping()


@pytest.mark.slow
def test_3_1_2_22_silence_of_one_and_a_half_keep_alives_closes_with_0x8d(client):
    watcher = will_watcher(client)
    c = client("quiet", keepalive=1, will=raw.Will("will/late"))
    start = time.monotonic()
    c.refused(0x8D, timeout=6)
    assert 1.4 <= time.monotonic() - start <= 3.5
    assert watcher.message().topic == "will/late"


def test_3_1_2_24_packets_over_the_clients_maximum_are_not_sent(client):
    s = client("small", properties={"maximum_packet_size": 60})
    s.subscribe("t")
    p = client("pub")
    for size in (10, 200, 20, 61, 30):
        p.publish("t", b"z" * size, qos=1)
    assert [len(m.payload) for m in s.until_quiet(p)] == [10, 20, 30]


def test_3_1_2_25_what_is_too_large_counts_as_delivered(durable, client):
    s = durable("small", maximum_packet_size=60, receive_maximum=1)
    s.subscribe("t")
    p = client("pub")
    p.publish("t", b"z" * 100, qos=1)
    p.publish("t", b"after", qos=1)
    assert s.message().payload == b"after"
    s.disconnect()
    s = durable("small")
    assert s.until_quiet(p) == [], "it is gone, not waiting for a larger limit"


def test_3_1_2_24_limit_is_exact(client):
    size = len(raw.publish("t", b"z" * 50, qos=1, pid=1, version=5))
    s = client("exact", properties={"maximum_packet_size": size})
    s.subscribe("t", qos=1)
    p = client("pub")
    p.publish("t", b"z" * 51, qos=1)
    p.publish("t", b"z" * 50, qos=1)
    assert s.message().size == size


@also("3.1.2-27", "3.3.2-11")
def test_3_1_2_26_topic_aliases_stay_within_the_clients_maximum(client):
    for maximum in (None, 0, 2):
        s = client("aliases", properties={} if maximum is None else {"topic_alias_maximum": maximum})
        s.subscribe("t/#", qos=0)
        p = client("pub")
        for n in range(6):
            for _ in range(2):
                p.publish(f"t/{n}", bytes([n]))
        known = {}
        for m in s.until_quiet(p):
            alias = m.properties.get("topic_alias")
            assert alias is None or 1 <= alias <= (maximum or 0)
            if m.topic:
                known[alias] = m.topic
            assert (m.topic or known[alias]) == f"t/{m.payload[0]}"
        s.disconnect()


def test_3_1_2_26_aliases_are_used_where_they_are_allowed(client):
    s, p = client("aliases", properties={"topic_alias_maximum": 1}), client("pub")
    s.subscribe("a/long/topic/name", qos=0)
    for _ in range(3):
        p.publish("a/long/topic/name")
    seen = s.until_quiet(p)
    assert [m.topic for m in seen] == ["a/long/topic/name", "", ""]
    assert {m.properties["topic_alias"] for m in seen} == {1}


def test_3_1_2_28_response_information_is_not_volunteered(client):
    assert "response_info" not in client("a").connack.properties
    assert "response_info" not in client("b", properties={"request_response_info": 0}).connack.properties


def test_3_1_2_29_without_problem_information_no_reason_strings(client):
    c = client("quiet", properties={"request_problem_info": 0})
    c.send(raw.subscribe(1, [("$share//x", 0), ("$share/g/a/#", 1)], version=5))
    packets = []
    try:
        packets.append(c.recv())
        packets.append(c.publish("nobody/listens", qos=1))
        packets.append(c.unsubscribe("not/there"))
    except Exception:  # the broker may call a bad share name malformed and close
        pass
    for p in packets:
        if p.kind not in (raw.PUBLISH, raw.CONNACK, raw.DISCONNECT):
            assert not {"reason_string", "user_property"} & set(p.properties)


@pytest.mark.parametrize("value", [2, 255])
@pytest.mark.parametrize("name", ["request_problem_info", "request_response_info"])
def test_3_1_2_28_information_flags_are_0_or_1(open_raw, name, value):
    c = open_raw().send(raw.connect("x", version=5, properties={name: value}))
    check_optional_connack(c, PROTOCOL, MALFORMED)


def test_3_1_3_1_payload_fields_come_in_their_order(client):
    watcher = will_watcher(client)
    client("ordered", will=raw.Will("will/o", b"p"), username="u", password="pw").drop()
    assert watcher.message().payload == b"p"


def test_3_1_3_3_client_identifier_must_be_there(open_raw):
    check_optional_connack(open_raw().send(bare(0x02)), MALFORMED, PROTOCOL)


def test_3_1_3_4_client_identifier_must_be_utf8(open_raw):
    c = open_raw().send(raw.connect(b"\xff", version=5))
    check_optional_connack(c, MALFORMED, PROTOCOL, NAME)


def test_3_1_3_5_identifiers_of_1_to_23_letters_and_digits(client):
    letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for ident in ("0", letters[:23], letters[20:43], letters[39:62], "x" * 200):
        assert "assigned_client_id" not in client(ident).connack.properties


@also("3.1.3-7", "3.2.2-16")
def test_3_1_3_6_empty_identifier_is_assigned_a_unique_one(client):
    idents = [client("").connack.properties["assigned_client_id"] for _ in range(5)]
    assert len(set(idents)) == 5 and all(idents)


def test_3_1_3_6_assigned_identifier_can_be_used_again(client, durable):
    c = durable("")
    ident = c.connack.properties["assigned_client_id"]
    c.disconnect()
    assert durable(ident).connack.session_present


@pytest.mark.slow
def test_3_1_3_9_no_will_if_the_client_is_back_before_its_delay(client, durable):
    watcher = will_watcher(client)
    will = raw.Will("will/a", properties={"will_delay": 1})
    client("back", clean=False, properties={"session_expiry": 60}, will=will).drop()
    c = durable("back")
    assert c.connack.session_present
    time.sleep(1.5)
    assert watcher.until_quiet(client("pub")) == []


@pytest.mark.slow
def test_3_1_3_9_will_comes_after_its_delay(client):
    watcher = will_watcher(client)
    will = raw.Will("will/a", properties={"will_delay": 1})
    start = time.monotonic()
    client("gone", clean=False, properties={"session_expiry": 60}, will=will).drop()
    assert watcher.message().topic == "will/a"
    assert 0.9 <= time.monotonic() - start <= 3


@pytest.mark.slow
def test_3_1_3_9_will_comes_when_the_session_ends_before_the_delay(client):
    watcher = will_watcher(client)
    will = raw.Will("will/a", properties={"will_delay": 60})
    start = time.monotonic()
    client("gone", clean=False, properties={"session_expiry": 1}, will=will).drop()
    assert watcher.message().topic == "will/a"
    assert time.monotonic() - start <= 4


def test_3_1_3_9_will_delay_counts_for_nothing_if_the_session_ends_at_once(client):
    watcher = will_watcher(client)
    client("gone", will=raw.Will("will/a", properties={"will_delay": 60})).drop()
    assert watcher.message(timeout=3).topic == "will/a"


def test_3_1_3_9_will_is_sent_when_a_clean_start_ends_the_delayed_session(client):
    watcher = will_watcher(client)
    will = raw.Will("will/a", properties={"will_delay": 60})
    client("gone", clean=False, properties={"session_expiry": 60}, will=will).drop()
    client("gone", clean=True)
    assert watcher.message(timeout=3).topic == "will/a"


@pytest.mark.parametrize("clean,delay,sent", [(False, 0, 1), (False, 50, 0), (True, 0, 1), (True, 50, 1)])
def test_3_1_3_9_will_of_a_connection_that_is_taken_over(client, clean, delay, sent):
    watcher = will_watcher(client)
    old = client("one", clean=False, properties={"session_expiry": 60},
                 will=raw.Will("will/a", properties={"will_delay": delay}))
    client("one", clean=clean, properties={"session_expiry": 60})
    old.refused(0x8E)
    assert len(watcher.until_quiet(client("pub"))) == sent


def test_3_1_3_10_will_properties_arrive_in_order(client):
    watcher = will_watcher(client)
    items = [("user_property", ("b", "1")), ("user_property", ("a", "2")), ("content_type", "c"),
             ("user_property", ("b", "1")), ("response_topic", "r"), ("correlation_data", b"\0\xff"),
             ("payload_format", 1), ("message_expiry", 100)]
    client("dies", will=raw.Will("will/p", b"text", properties=items)).drop()
    got = watcher.message().properties
    assert got.pop("message_expiry") in (99, 100)
    assert got == {"user_property": [("b", "1"), ("a", "2"), ("b", "1")], "content_type": "c",
                   "response_topic": "r", "correlation_data": b"\0\xff", "payload_format": 1}


def test_3_1_3_11_will_topic_must_be_utf8(open_raw):
    c = open_raw().send(raw.connect("x", version=5, will=raw.Will(b"\xc0\x80")))
    check_optional_connack(c, MALFORMED, PROTOCOL, 0x90)


def test_3_1_3_12_user_name_must_be_utf8(open_raw):
    c = open_raw().send(raw.connect("x", version=5, username=b"\xed\xa0\x80"))
    check_optional_connack(c, MALFORMED, PROTOCOL)


@also("3.1.4-2")
def test_3_1_4_1_invalid_connect_is_closed(open_raw):
    for packet in (raw.frame(raw.CONNECT), raw.frame(raw.CONNECT, raw.text("MQTT") + b"\5\2\0"),
                   raw.frame(raw.CONNECT, raw.text("MQTT") + b"\5\2\0\0")):
        check_optional_connack(open_raw().send(packet), MALFORMED, PROTOCOL)


def test_3_1_4_3_older_connection_is_told_0x8e_and_closed(client):
    first = client("one")
    second = client("one")
    first.refused(0x8E)
    second.ping()


def test_3_1_4_5_connect_is_acknowledged_with_0(client):
    assert client("ok").connack.reason == 0


def test_3_1_4_6_after_a_refused_connect_nothing_is_processed(client, open_raw):
    watcher = client("watcher")
    watcher.subscribe("#")
    bad = raw.connect("x", version=5, properties={"auth_method": "none such"})
    open_raw().send(bad, raw.publish("sneaked", b"x", version=5)).closed()
    assert watcher.until_quiet(client("pub")) == []
