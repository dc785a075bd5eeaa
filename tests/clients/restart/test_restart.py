"""What is back after kill -9, and after a clean stop."""

import time

import pytest

import raw
from rawclient import Raw

V4, V5 = raw.V311, raw.V5
BOTH = pytest.mark.parametrize("version", [V4, V5])
HOW = pytest.mark.parametrize("crash", [True, False], ids=["kill", "stop"])


def durable(broker, ident, version, clean=False, **more):
    c = Raw(broker.port, version)
    if version == V5:
        more.setdefault("properties", {"session_expiry": 1000})
    c.connack = c.connect(ident, clean=clean, **more)
    return c


def publisher(broker, version=V4, ident="pub"):
    c = Raw(broker.port, version)
    c.connect(ident)
    return c


@HOW
@BOTH
def test_sessions_with_subscriptions_and_queues_are_back_in_order(broker, version, crash):
    s = durable(broker, "sub", version)
    s.subscribe(("a/#", 1), ("b", 2), ("gone", 2), ("c", 0))
    s.unsubscribe("gone")
    s.disconnect()
    p = publisher(broker, version)
    for n in range(100):
        p.publish(f"a/{n}" if n % 2 else "b", bytes([n]), qos=1 + n % 2)
    broker.restart(crash)
    s = durable(broker, "sub", version)
    assert s.connack.session_present
    p = publisher(broker, version)
    p.publish("gone", b"no", qos=1)
    p.publish("c", b"yes", qos=1)
    seen = s.until_quiet(p)
    queued = [m for m in seen if m.topic != "c"]
    assert [m.payload[0] for m in queued] == list(range(100))
    assert all(m.qos == 1 for m in queued)
    assert [(m.payload, m.qos) for m in seen if m.topic == "c"] == [(b"yes", 0)]


@HOW
@BOTH
def test_acknowledged_messages_do_not_come_back_after_a_clean_stop(broker, version, crash):
    s = durable(broker, "sub", version)
    s.subscribe("t")
    p = publisher(broker)
    for n in range(20):
        p.publish("t", bytes([n]), qos=2)
    assert len(s.until_quiet(p)) == 20
    s.disconnect()
    if crash:
        # Deletions may be lazy, but not for ever.
        broker.await_metric("ferrymq_persistence_queued_messages", lambda v: v == 0)
        broker.await_metric("ferrymq_persistence_pending_writes", lambda v: v == 0)
    broker.restart(crash)
    s = durable(broker, "sub", version)
    assert [m.payload for m in s.until_quiet(publisher(broker))] == []


@HOW
@BOTH
@pytest.mark.parametrize("qos", [1, 2])
def test_in_flight_messages_keep_their_packet_ids(broker, version, qos, crash):
    s = durable(broker, "sub", version)
    s.subscribe("t")
    p = publisher(broker)
    for n in range(5):
        p.publish("t", bytes([n]), qos=qos)
    first = [s.message(answer=False) for _ in range(5)]
    broker.restart(crash)
    s = durable(broker, "sub", version)
    again = [s.message(answer=False) for _ in range(5)]
    assert [(m.pid, m.payload) for m in again] == [(m.pid, m.payload) for m in first]
    if qos == 2:
        assert all(m.dup for m in again)
    for m in again:
        s.acknowledge(m)
    p = publisher(broker)
    p.publish("t", b"new", qos=qos)
    assert [m.payload for m in s.until_quiet(p)] == [b"new"]


@HOW
@BOTH
def test_qos_2_receiver_that_sent_pubrec_gets_pubrel_and_no_publish(broker, version, crash):
    s = durable(broker, "sub", version)
    s.subscribe("t")
    publisher(broker).publish("t", b"x", qos=2)
    pid = s.message(answer=False).pid
    s.send(raw.ack(raw.PUBREC, pid)).answer(raw.PUBREL, pid)
    broker.restart(crash)
    s = durable(broker, "sub", version)
    s.expect(raw.PUBREL, pid=pid)
    s.send(raw.ack(raw.PUBCOMP, pid))
    assert s.until_quiet(publisher(broker)) == []


@HOW
@BOTH
def test_qos_2_publisher_that_repeats_is_not_taken_for_new(broker, version, crash):
    s = durable(broker, "sub", version)
    s.subscribe("t")
    s.disconnect()
    p = durable(broker, "pub", version)
    p.send(raw.publish("t", b"once", qos=2, pid=9, version=version)).answer(raw.PUBREC, 9)
    broker.restart(crash)
    p = durable(broker, "pub", version)
    assert p.connack.session_present
    p.send(raw.publish("t", b"once", qos=2, pid=9, dup=True, version=version)).answer(raw.PUBREC, 9)
    p.send(raw.ack(raw.PUBREL, 9)).answer(raw.PUBCOMP, 9)
    s = durable(broker, "sub", version)
    assert [m.payload for m in s.until_quiet(publisher(broker, ident="other"))] == [b"once"]


@HOW
@BOTH
def test_qos_2_packet_id_is_free_after_pubcomp(broker, version, crash):
    s = durable(broker, "sub", version)
    s.subscribe("t")
    s.disconnect()
    p = durable(broker, "pub", version)
    p.publish("t", b"first", qos=2, pid=9)
    broker.restart(crash)
    p = durable(broker, "pub", version)
    p.publish("t", b"second", qos=2, pid=9)
    s = durable(broker, "sub", version)
    assert [m.payload for m in s.until_quiet(publisher(broker, ident="o"))] == [b"first", b"second"]


@HOW
def test_retained_messages_are_back_with_their_properties(broker, crash):
    p = publisher(broker, V5)
    props = [("user_property", ("a", "b")), ("user_property", ("a", "c")), ("content_type", "x")]
    p.publish("r/1", b"one", qos=1, retain=True, properties=props)
    p.publish("r/2", b"old", qos=2, retain=True)
    p.publish("r/2", b"two", qos=2, retain=True)
    p.publish("r/3", b"three", qos=1, retain=True)
    p.publish("r/3", b"", qos=1, retain=True)
    broker.restart(crash)
    s = publisher(broker, V5, "sub")
    s.subscribe("r/#")
    seen = {m.topic: m for m in s.until_quiet(publisher(broker, V5))}
    assert {t: (m.payload, m.qos, m.retain) for t, m in seen.items()} == {
        "r/1": (b"one", 1, True), "r/2": (b"two", 2, True)}
    assert seen["r/1"].properties == {"user_property": [("a", "b"), ("a", "c")], "content_type": "x"}


def test_message_properties_survive(broker):
    s = durable(broker, "sub", V5)
    s.subscribe("t", properties={"subscription_id": 77})
    s.disconnect()
    publisher(broker, V5).publish("t", b"x", qos=1, properties=[
        ("user_property", ("a", "b")), ("response_topic", "r"), ("correlation_data", b"\0"),
        ("payload_format", 1), ("message_expiry", 500)])
    broker.restart()
    m = durable(broker, "sub", V5).message()
    assert 490 <= m.properties.pop("message_expiry") <= 500
    assert m.properties == {"user_property": [("a", "b")], "response_topic": "r", "payload_format": 1,
                            "correlation_data": b"\0", "subscription_id": [77]}


def test_subscription_options_survive(broker):
    s = durable(broker, "sub", V5)
    s.subscribe(("own", 2 | 0x04), ("asis", 2 | 0x08))
    broker.restart()
    s = durable(broker, "sub", V5)
    s.publish("own", b"mine", qos=1)
    publisher(broker).publish("asis", b"r", qos=1, retain=True)
    assert [(m.topic, m.retain) for m in s.until_quiet(publisher(broker))] == [("asis", True)]


def test_shared_subscriptions_survive(broker):
    s = durable(broker, "sub", V5)
    s.subscribe("$share/g/t")
    s.disconnect()
    publisher(broker).publish("t", b"1", qos=1)
    broker.restart()
    publisher(broker).publish("t", b"2", qos=1)
    s = durable(broker, "sub", V5)
    assert [m.payload for m in s.until_quiet(publisher(broker))] == [b"1", b"2"]


@BOTH
def test_a_session_that_is_not_durable_is_gone(broker, version):
    c = Raw(broker.port, version)
    c.connect("short", clean=True)
    c.subscribe("t")
    broker.restart()
    assert not durable(broker, "short", version).connack.session_present


def test_clean_start_stays_clean_after_a_crash(broker):
    durable(broker, "sub", V5).subscribe("t")
    durable(broker, "sub", V5, clean=True).disconnect()
    broker.restart()
    s = durable(broker, "sub", V5)
    assert s.connack.session_present
    p = publisher(broker)
    p.publish("t", b"x", qos=1)
    assert s.until_quiet(p) == []


@pytest.mark.slow
def test_will_is_published_after_a_crash_when_its_delay_has_passed(broker):
    w = durable(broker, "watcher", V5)
    w.subscribe("will/#")
    for ident, delay in (("soon", 1), ("later", 600)):
        durable(broker, ident, V5, will=raw.Will(f"will/{ident}", b"gone", 1,
                                                 properties={"will_delay": delay}))
    broker.restart()
    w = durable(broker, "watcher", V5)
    assert w.message(timeout=8).topic == "will/soon"
    assert w.until_quiet(publisher(broker)) == []


def test_will_is_not_published_if_its_client_is_back_after_the_crash(broker):
    w = durable(broker, "watcher", V5)
    w.subscribe("will/#")
    will = raw.Will("will/x", b"gone", 1, properties={"will_delay": 2})
    durable(broker, "back", V5, will=will)
    broker.restart()
    back = durable(broker, "back", V5)
    assert back.connack.session_present
    back.disconnect()
    w = durable(broker, "watcher", V5)
    assert w.until_quiet(publisher(broker)) == []


@pytest.mark.slow
def test_expiry_counts_while_the_broker_is_down(broker):
    s = durable(broker, "short", V5, properties={"session_expiry": 1})
    s.subscribe("t")
    s.drop()
    s = durable(broker, "long", V5)
    s.subscribe("t", "r")
    s.disconnect()
    p = publisher(broker, V5)
    p.publish("t", b"brief", qos=1, properties={"message_expiry": 1})
    p.publish("t", b"stays", qos=1, properties={"message_expiry": 500})
    p.publish("r", b"brief", qos=1, retain=True, properties={"message_expiry": 1})
    broker.kill()
    time.sleep(2.1)
    broker.start()
    assert not durable(broker, "short", V5, properties={"session_expiry": 1}).connack.session_present
    s = durable(broker, "long", V5)
    seen = s.until_quiet(publisher(broker))
    assert [m.payload for m in seen] == [b"stays"]
    assert seen[0].properties["message_expiry"] <= 498
    late = publisher(broker, V5, "late")
    late.subscribe("r")
    assert late.until_quiet(publisher(broker)) == []


def test_many_restarts_in_a_row(broker):
    s = durable(broker, "sub", V4)
    s.subscribe("t")
    s.disconnect()
    for n in range(8):
        publisher(broker).publish("t", bytes([n]), qos=1 + n % 2)
        broker.restart(crash=bool(n % 2))
    seen = durable(broker, "sub", V4).until_quiet(publisher(broker))
    assert [m.payload[0] for m in seen] == list(range(8))
