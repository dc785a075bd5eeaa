"""MQTT 5.0, 3.4 to 3.7, 4.3, 4.4, 4.6, 4.9: QoS flows, reason codes, flow control, order."""

import time

import pytest

import raw

also = pytest.mark.also
QUOTA, NOT_FOUND, RECEIVE_MAXIMUM = 0x97, 0x92, 0x93


@also("3.6.2-1", "3.7.2-1")
def test_3_6_1_1_pubrel_flags_must_be_0010(refused):
    for flags in (0, 1, 3, 6):
        refused(raw.ack(raw.PUBREL, 1, flags=flags), 0x81)


@pytest.mark.parametrize("form", ["short", "reason", "properties"])
@pytest.mark.parametrize("qos", [1, 2])
def test_acknowledgements_are_understood_in_every_length(client, form, qos):
    def made(kind, pid):
        if form == "short":
            return raw.ack(kind, pid)
        if form == "reason":
            return raw.ack(kind, pid, reason=0)
        return raw.ack(kind, pid, 0, {"reason_string": "fine", "user_property": ("a", "b")})
    s, p = client("sub", properties={"receive_maximum": 1}), client("pub")
    s.subscribe("t")
    for n in range(3):
        p.publish("t", bytes([n]), qos=qos)
    for n in range(3):
        m = s.message(answer=False)
        assert m.payload == bytes([n])
        if qos == 1:
            s.send(made(raw.PUBACK, m.pid))
        else:
            s.send(made(raw.PUBREC, m.pid)).answer(raw.PUBREL, m.pid)
            s.send(made(raw.PUBCOMP, m.pid))


def test_3_7_2_1_pubrel_for_an_unknown_id_is_answered_0x92(client):
    c = client("c")
    c.send(raw.ack(raw.PUBREL, 77))
    assert c.answer(raw.PUBCOMP, 77).reason == NOT_FOUND
    c.ping()


def test_3_5_pubrec_for_an_unknown_id_is_answered_0x92(client):
    c = client("c")
    c.send(raw.ack(raw.PUBREC, 77))
    assert c.answer(raw.PUBREL, 77).reason == NOT_FOUND
    c.ping()


def test_puback_and_pubcomp_for_unknown_ids_do_no_harm(client):
    c = client("c")
    c.send(raw.ack(raw.PUBACK, 77), raw.ack(raw.PUBCOMP, 78))
    try:
        c.ping()
    except AssertionError as error:  # a DISCONNECT 0x82 would be allowed as well
        assert "DISCONNECT" in str(error)
    client("after").ping()


@also("4.3.2-2", "4.3.3-2")
def test_4_3_1_1_first_delivery_has_dup_0_and_its_qos(client):
    s, p = client("sub"), client("pub")
    s.subscribe("t")
    for qos in (0, 1, 2):
        p.publish("t", qos=qos)
    assert [(m.qos, m.dup) for m in s.until_quiet(p)] == [(0, False), (1, False), (2, False)]


def test_4_3_2_5_after_puback_the_packet_id_is_a_new_message(client):
    s, p = client("sub"), client("pub")
    s.subscribe("t")
    p.publish("t", b"1", qos=1, pid=7)
    p.publish("t", b"2", qos=1, pid=7)
    assert [m.payload for m in s.until_quiet(p)] == [b"1", b"2"]


@also("4.3.3-5", "4.3.3-6")
def test_4_3_3_3_unacknowledged_until_pubrec_then_pubrel_until_pubcomp(client, durable):
    s = durable("sub")
    s.subscribe("t")
    client("pub").publish("t", b"x", qos=2)
    pid = s.message(answer=False).pid
    s.drop()
    s = durable("sub")
    assert s.message(answer=False).dup
    s.send(raw.ack(raw.PUBREC, pid)).answer(raw.PUBREL, pid)
    for _ in range(2):
        s.drop()
        s = durable("sub")
        s.expect(raw.PUBREL, pid=pid)
    s.send(raw.ack(raw.PUBCOMP, pid)).ping()
    s.drop()
    assert durable("sub").until_quiet(client("pub2")) == []


@pytest.mark.slow
@also("4.3.3-13")
def test_4_3_3_7_a_message_once_sent_does_not_expire(client, durable):
    s = durable("sub")
    s.subscribe("t")
    client("pub").publish("t", b"x", qos=2, properties={"message_expiry": 1})
    pid = s.message(answer=False).pid
    time.sleep(1.5)
    s.drop()
    s = durable("sub")
    again = s.message(answer=False)
    assert again.pid == pid
    s.send(raw.ack(raw.PUBREC, pid))
    s.answer(raw.PUBREL, pid)
    s.send(raw.ack(raw.PUBCOMP, pid)).ping()


def test_4_3_3_9_after_a_failed_pubrec_the_packet_id_is_new(make_broker, client):
    broker = make_broker(SESSION__MAX_QUEUED_MESSAGES=1, SESSION__OVERFLOW="refuse")
    s = client("sub", to=broker, clean=False, properties={"session_expiry": 100})
    s.subscribe("t")
    s.disconnect()
    p = client("pub", to=broker)
    assert p.publish("t", b"fits", qos=2, pid=1).reason == 0
    assert p.publish("t", b"too much", qos=2, pid=2).reason == QUOTA
    s = client("sub", to=broker, clean=False, properties={"session_expiry": 100})
    assert s.message().payload == b"fits"
    broker.await_metric("ferrymq_persistence_queued_messages", lambda v: v == 0)
    assert p.publish("t", b"now", qos=2, pid=2).kind == raw.PUBCOMP
    assert s.message().payload == b"now"


@also("4.3.3-12")
def test_4_3_3_10_a_repeat_before_pubrel_is_not_delivered_again(client):
    s, p = client("sub"), client("pub")
    s.subscribe("t")
    for dup in (False, True, True):
        p.send(raw.publish("t", b"x", qos=2, pid=5, dup=dup, version=5)).answer(raw.PUBREC, 5)
    p.send(raw.ack(raw.PUBREL, 5)).answer(raw.PUBCOMP, 5)
    p.publish("t", b"y", qos=2, pid=5)
    assert [m.payload for m in s.until_quiet(p)] == [b"x", b"y"]


def test_4_3_3_11_pubrel_is_answered_every_time(client):
    p = client("pub")
    p.publish("t", qos=2, pid=5)
    for _ in range(2):
        p.send(raw.ack(raw.PUBREL, 5)).answer(raw.PUBCOMP, 5)


@pytest.mark.parametrize("qos", [1, 2])
@also("4.6.0-1")
def test_4_4_0_1_unacknowledged_packets_are_sent_again_in_order(client, durable, qos):
    s = durable("sub")
    s.subscribe("t")
    p = client("pub")
    for n in range(5):
        p.publish("t", bytes([n]), qos=qos)
    first = [s.message(answer=False) for _ in range(5)]
    assert s.until_quiet(p) == [], "not within the connection"
    s.drop()
    s = durable("sub")
    again = [s.message(answer=False) for _ in range(5)]
    assert [(m.pid, m.payload, m.dup) for m in again] == [(m.pid, m.payload, True) for m in first]


@pytest.mark.parametrize("qos", [1, 2])
@also("4.8.2-6")
def test_4_4_0_2_a_message_refused_by_its_receiver_is_not_sent_again(client, durable, qos):
    s = durable("sub", receive_maximum=1)
    s.subscribe("t")
    p = client("pub")
    p.publish("t", b"refused", qos=qos)
    p.publish("t", b"next", qos=qos)
    m = s.message(answer=False)
    s.send(raw.ack(raw.PUBACK if qos == 1 else raw.PUBREC, m.pid, reason=0x83))
    assert s.message().payload == b"next", "no PUBREL, and the quota is free again"
    s.ping()
    s.drop()
    assert durable("sub").until_quiet(p) == []


@also("4.6.0-6")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_4_6_0_5_order_per_publisher_and_topic(client, qos):
    s, p = client("sub", properties={"receive_maximum": 3}), client("pub")
    s.subscribe("t")
    for n in range(200):
        p.publish("t", n.to_bytes(2, "big"), qos=qos)
    assert [int.from_bytes(m.payload, "big") for m in s.until_quiet(p)] == list(range(200))


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("maximum", [1, 3])
@also("4.9.0-1", "4.9.0-2")
def test_3_3_4_9_no_more_than_the_clients_receive_maximum_is_under_way(client, qos, maximum):
    s, p = client("sub", properties={"receive_maximum": maximum}), client("pub")
    s.subscribe("t")
    for n in range(maximum + 4):
        p.publish("t", bytes([n]), qos=qos)
    under_way = [s.message(answer=False) for _ in range(maximum)]
    s.ping()
    assert not s.kept, "the window is full"
    for n in range(4):
        s.acknowledge(under_way.pop(0))
        under_way.append(s.message(answer=False))
        assert under_way[-1].payload == bytes([maximum + n])
        s.ping()
        assert not s.kept


@also("4.9.0-3", "3.3.4-8")
def test_3_3_4_10_a_full_window_holds_up_nothing_else(client):
    """QoS 0 may be suspended too [4.9]; everything that is no PUBLISH may not."""
    s, p = client("sub", properties={"receive_maximum": 1}), client("pub")
    s.subscribe("t")
    p.publish("t", b"1", qos=1)
    p.publish("t", b"2", qos=1)
    assert s.message(answer=False).payload == b"1"
    s.ping()
    s.subscribe("other")
    assert s.publish("elsewhere", qos=1).reason in (0, 0x10)
    assert s.publish("elsewhere", qos=2).reason in (0, 0x10)
    s.unsubscribe("other")


def test_pubrec_does_not_free_the_window(client):
    s, p = client("sub", properties={"receive_maximum": 1}), client("pub")
    s.subscribe("t")
    p.publish("t", b"1", qos=2)
    p.publish("t", b"2", qos=2)
    m = s.message(answer=False)
    s.send(raw.ack(raw.PUBREC, m.pid)).answer(raw.PUBREL, m.pid)
    s.ping()
    assert not s.kept, "a QoS 2 message is under way until PUBCOMP"
    s.send(raw.ack(raw.PUBCOMP, m.pid))
    assert s.message().payload == b"2"


def test_3_3_4_7_more_than_the_servers_receive_maximum_closes_with_0x93(make_broker, client):
    broker = make_broker(MQTT__RECEIVE_MAXIMUM=5)
    p = client("pub", to=broker)
    for pid in range(1, 6):
        p.send(raw.publish("t", qos=2, pid=pid, version=5)).answer(raw.PUBREC, pid)
    p.send(raw.publish("t", qos=2, pid=6, version=5)).refused(RECEIVE_MAXIMUM)


def test_receive_maximum_0_is_a_protocol_error(open_raw):
    c = open_raw().send(raw.connect("x", version=5, properties={"receive_maximum": 0}))
    assert all(p.reason == 0x82 for p in c.closed())
