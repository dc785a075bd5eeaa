"""MQTT 3.1.1, 3.1 and 3.2: CONNECT and CONNACK. Tests carry the number of the statement they show."""

import time

import pytest

import raw
from rawclient import Raw

also = pytest.mark.also


def refuses(open_raw, packet):
    """The connection is closed without a CONNACK [3.1.4-1], and the broker goes on."""
    c = open_raw().send(packet)
    assert c.closed() == []
    open_raw().connect("after")


def test_3_1_0_1_first_packet_must_be_connect(open_raw):
    for packet in (raw.pingreq(), raw.publish("t"), raw.subscribe(1, [("t", 0)]), raw.disconnect()):
        assert open_raw().send(packet).closed() == []


def test_3_1_0_2_second_connect_closes(client):
    c = client("twice")
    assert c.send(raw.connect("twice")).closed() == []


@also("3.2.2-6")
def test_3_1_2_1_wrong_protocol_name_closes(open_raw):
    for name in ("MQTX", "mqtt", "MQTTX", "hj", ""):
        c = open_raw().send(raw.connect("x", name=name or b"\0"))
        assert all(p.reason for p in c.closed()), name


@also("3.2.2-4", "3.2.2-5")
@pytest.mark.parametrize("level", [0, 1, 2])
def test_3_1_2_2_unknown_level_is_answered_with_1_and_closed(open_raw, level):
    answers = open_raw().send(raw.connect("x", level=level)).closed()
    assert [(p.kind, p.reason, p.session_present) for p in answers] == [(raw.CONNACK, 1, False)]


@pytest.mark.parametrize("level", [6, 0x7F])
def test_3_1_2_2_a_level_beyond_5_is_answered_as_5_0_asks(open_raw, level):
    c = open_raw(version=5).send(raw.connect("x", level=level))
    assert [(p.kind, p.reason, p.session_present) for p in c.closed()] == [(raw.CONNACK, 0x84, False)]


def test_3_1_2_3_reserved_connect_flag_closes(open_raw):
    refuses(open_raw, raw.connect("x", flags=0x03))


@also("3.1.2-5", "3.2.2-2", "3.1.3-2", "4.1.0-1")
def test_3_1_2_4_session_is_resumed_with_its_subscriptions_and_queue(client):
    c = client("keeps", clean=False)
    assert not c.connack.session_present
    c.subscribe("q/#")
    c.disconnect()
    p = client("pub")
    p.publish("q/1", b"one", qos=1)
    p.publish("q/2", b"two", qos=2)
    c = client("keeps", clean=False)
    assert c.connack.session_present
    assert [(m.payload, m.qos) for m in (c.message(), c.message())] == [(b"one", 1), (b"two", 2)]


@also("3.2.2-1", "3.2.2-3", "3.1.4-3")
def test_3_1_2_6_clean_session_discards_what_was_kept(client):
    c = client("clean", clean=False)
    c.subscribe("q")
    c.disconnect()
    client("pub").publish("q", b"old", qos=1)
    c = client("clean", clean=True)
    assert not c.connack.session_present
    assert c.until_quiet(client("pub2")) == []
    c.disconnect()
    assert not client("clean", clean=False).connack.session_present


def test_3_1_2_6_clean_session_ends_with_its_connection(client):
    c = client("ends", clean=True)
    c.subscribe("q", qos=1)
    c.disconnect()
    assert not client("ends", clean=False).connack.session_present


def test_3_1_2_7_retained_messages_outlive_the_session(client):
    p = client("pub", clean=True)
    p.publish("kept", b"r", qos=1, retain=True)
    p.disconnect()
    s = client("sub")
    s.subscribe("kept")
    assert s.message().payload == b"r"


def will_watcher(client):
    watcher = client("watcher")
    watcher.subscribe("will/#")
    return watcher


@pytest.mark.parametrize("qos", [0, 1, 2])
@also("3.1.2-9", "3.1.2-14")
def test_3_1_2_8_will_is_published_when_the_connection_breaks(client, qos):
    watcher = will_watcher(client)
    client("dies", will=raw.Will("will/a", b"gone", qos)).drop()
    m = watcher.message()
    assert (m.topic, m.payload, m.qos, m.retain) == ("will/a", b"gone", qos, False)


def test_3_1_2_8_will_is_published_after_a_protocol_error(client):
    watcher = will_watcher(client)
    client("errs", will=raw.Will("will/a")).send(b"\x00\x00")
    assert watcher.message().topic == "will/a"


def test_3_1_2_8_will_is_published_when_taken_over(client):
    watcher = will_watcher(client)
    client("same", will=raw.Will("will/a"))
    client("same")
    assert watcher.message().topic == "will/a"


@also("3.14.4-3")
def test_3_1_2_10_will_is_gone_after_disconnect(client):
    watcher = will_watcher(client)
    client("leaves", will=raw.Will("will/a")).disconnect()
    assert watcher.until_quiet(client("pub")) == []


def test_3_1_2_10_will_is_published_only_once(client):
    watcher = will_watcher(client)
    client("dies", clean=False, will=raw.Will("will/a")).drop()
    assert watcher.message().topic == "will/a"
    client("dies", clean=False).drop()
    assert watcher.until_quiet(client("pub")) == []


def test_3_1_2_11_will_flag_0_with_will_qos_or_retain_closes(open_raw):
    for flags in (0x02 | 0x08, 0x02 | 0x10, 0x02 | 0x20):
        refuses(open_raw, raw.connect("x", flags=flags))


def test_3_1_2_12_without_will_flag_nothing_is_published(client):
    watcher = client("watcher")
    watcher.subscribe("#")
    client("dies").drop()
    assert watcher.until_quiet(client("pub")) == []


def test_3_1_2_13_will_flag_0_needs_will_qos_0(open_raw):
    refuses(open_raw, raw.connect("x", flags=0x02 | 0x08))


def test_3_1_2_14_will_qos_3_closes(open_raw):
    refuses(open_raw, raw.connect("x", will=raw.Will(qos=3)))


def test_3_1_2_15_will_flag_0_needs_will_retain_0(open_raw):
    refuses(open_raw, raw.connect("x", flags=0x02 | 0x20))


@pytest.mark.parametrize("retain", [False, True])
@also("3.1.2-17")
def test_3_1_2_16_will_is_retained_as_asked(client, retain):
    watcher = will_watcher(client)
    client("dies", will=raw.Will("will/a", b"gone", 1, retain)).drop()
    assert not watcher.message().retain
    late = client("late")
    late.subscribe("will/a")
    assert len(late.until_quiet(client("pub"))) == (1 if retain else 0)


def without_payload_fields(flags, *fields):
    return raw.frame(raw.CONNECT, raw.text("MQTT") + bytes([4, flags, 0, 0])
                     + b"".join(raw.text(f) for f in fields))


def test_3_1_2_18_user_name_without_its_flag_closes(open_raw):
    refuses(open_raw, without_payload_fields(0x02, "x", "user"))


def test_3_1_2_19_user_name_flag_without_user_name_closes(open_raw):
    refuses(open_raw, without_payload_fields(0x82, "x"))


def test_3_1_2_20_password_without_its_flag_closes(open_raw):
    refuses(open_raw, without_payload_fields(0x82, "x", "user", "password"))


def test_3_1_2_21_password_flag_without_password_closes(open_raw):
    refuses(open_raw, without_payload_fields(0xC2, "x", "user"))


def test_3_1_2_22_password_flag_without_user_name_flag_closes(open_raw):
    refuses(open_raw, without_payload_fields(0x42, "x", "password"))


@pytest.mark.slow
def test_3_1_2_24_silence_of_one_and_a_half_keep_alives_closes_and_sends_the_will(client):
    watcher = will_watcher(client)
    c = client("quiet", keepalive=1, will=raw.Will("will/late"))
    start = time.monotonic()
    assert c.closed(timeout=6) == []
    assert 1.4 <= time.monotonic() - start <= 3.5
    assert watcher.message().topic == "will/late"


@pytest.mark.slow
def test_3_1_2_24_any_packet_keeps_the_connection(client):
    c = client("talks", keepalive=1)
    end = time.monotonic() + 3.2
    while time.monotonic() < end:
        c.ping()
        time.sleep(0.7)
    c.ping()


@pytest.mark.slow
def test_3_1_2_24_keep_alive_0_is_never_closed_for_silence(client):
    c = client("never", keepalive=0)
    with pytest.raises(TimeoutError):
        c.recv(timeout=3)
    c.ping()


def test_3_1_3_1_payload_fields_come_in_their_order(client):
    watcher = will_watcher(client)
    client("ordered", will=raw.Will("will/o", b"p"), username="u", password="pw").drop()
    m = watcher.message()
    assert (m.topic, m.payload) == ("will/o", b"p")


def test_3_1_3_3_client_identifier_must_be_there(open_raw):
    refuses(open_raw, without_payload_fields(0x02))


def test_3_1_3_4_client_identifier_must_be_utf8(open_raw):
    refuses(open_raw, raw.connect(b"bad\xff"))


def test_3_1_3_5_identifiers_of_1_to_23_letters_and_digits(client):
    letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for ident in ("0", "Z", letters[:23], letters[20:43], letters[39:62]):
        client(ident).disconnect()


@pytest.mark.parametrize("ident", ["a" * 24, "a" * 300, "with space", "ünï/cödé#+", "a" * 65535])
def test_3_1_3_5_longer_and_other_identifiers_are_welcome_too(client, ident):
    client(ident).ping()


def test_3_1_3_6_empty_identifiers_are_unique(client):
    first, second = client(""), client("")
    first.ping()
    second.ping()


@also("3.1.3-8", "3.1.3-9", "3.2.2-4", "3.2.2-5")
def test_3_1_3_7_empty_identifier_needs_a_clean_session(open_raw):
    c = open_raw()
    c.send(raw.connect("", clean=False))
    c.expect(raw.CONNACK, reason=2, session_present=False)
    assert c.closed() == []


def test_3_1_3_10_will_topic_must_be_utf8(open_raw):
    refuses(open_raw, raw.connect("x", will=raw.Will(b"bad\xc0\x80")))


def test_3_1_3_11_user_name_must_be_utf8(open_raw):
    refuses(open_raw, raw.connect("x", username=b"\xed\xa0\x80"))


def test_3_1_3_12_password_may_be_any_bytes(client):
    client("binary", username="u", password=b"\x00\xff\xfe").ping()


def test_3_1_4_1_invalid_connect_is_closed_without_connack(open_raw):
    refuses(open_raw, raw.frame(raw.CONNECT, b"", 0))
    refuses(open_raw, raw.frame(raw.CONNECT, raw.text("MQTT") + bytes([4, 2, 0])))
    refuses(open_raw, raw.connect("x")[:2] + b"\x00\x05" + raw.connect("x")[4:])


def test_3_1_4_2_second_connection_with_the_identifier_takes_over(client):
    first = client("one")
    second = client("one")
    assert first.closed() == []
    second.ping()


def test_3_1_4_2_takes_over_a_session_with_its_queue(client):
    first = client("one", clean=False)
    first.subscribe("q")
    client("pub").publish("q", b"m", qos=1)
    assert first.message(answer=False).payload == b"m"
    second = client("one", clean=False)
    assert second.connack.session_present
    assert first.closed() == []
    again = second.message()
    assert (again.payload, again.dup) == (b"m", True)


def test_3_1_4_4_connect_is_acknowledged_with_0(client):
    assert client("ok").connack.reason == 0


def test_3_1_4_5_after_a_refused_connect_nothing_is_processed(client, open_raw):
    watcher = client("watcher")
    watcher.subscribe("#")
    open_raw().send(raw.connect("", clean=False), raw.publish("sneaked", b"x")).closed()
    assert watcher.until_quiet(client("pub")) == []


def test_3_1_4_packets_may_follow_connect_without_waiting(open_raw):
    c = open_raw().send(raw.connect("eager"), raw.subscribe(1, [("e", 0)]), raw.publish("e", b"x"))
    c.expect(raw.CONNACK)
    c.expect(raw.SUBACK)
    assert c.message().payload == b"x"


def test_3_2_0_1_connack_is_the_first_packet(client, open_raw):
    c = client("first", clean=False)
    c.subscribe("q")
    c.drop()
    client("pub").publish("q", b"m", qos=1)
    c = open_raw().send(raw.connect("first", clean=False))
    c.expect(raw.CONNACK)
    c.message()


def test_mqtt_3_1_speaks_mqisdp(broker):
    with Raw(broker.port, raw.V31) as c:
        assert not c.connect("old", clean=True).session_present
        c.subscribe("t")
        c.publish("t", b"x", qos=2)
        assert c.message().payload == b"x"


def test_mqtt_3_1_keeps_sessions(broker):
    with Raw(broker.port, raw.V31) as c:
        c.connect("old", clean=False)
        c.subscribe("t", qos=1)
    with Raw(broker.port, raw.V31) as p:
        p.connect("p")
        p.publish("t", b"x", qos=1)
    with Raw(broker.port, raw.V31) as c:
        # The flag does not exist in 3.1: its byte is reserved, and zero is what clients expect.
        c.connect("old", clean=False)
        assert c.message().payload == b"x"


@pytest.mark.parametrize("name,level", [("MQIsdp", 4), ("MQIsdp", 5), ("MQTT", 3)])
def test_mqtt_3_1_name_and_level_must_fit(open_raw, name, level):
    answers = open_raw().send(raw.connect("x", name=name, level=level)).closed()
    assert all(p.reason for p in answers)
