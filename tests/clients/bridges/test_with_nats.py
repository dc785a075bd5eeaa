"""A remote broker that speaks MQTT 3.1.1 only, at QoS 1 at most, and does not know the bit of
bridges: the NATS server.

At QoS 1 messages may repeat, and NATS sends again what it has no PUBACK for among newer messages: of
what it sends, only completeness is looked at.
"""

import sqlite3

import pytest

import raw
from natsproc import Nats, needs_nats
from reach import log_has
from settings import rule
from streams import Receiver, Sender, expected

pytestmark = needs_nats
COUNT = 600
OUT, IN = {"forward": [rule("s/#", qos=1)]}, {"subscribe": [rule("s/#", qos=1)]}
CRASHES = pytest.mark.parametrize("crash", [True, False], ids=["kill -9", "clean stop"])


@pytest.fixture
def nats(tmp_path, closing):
    return closing(Nats(tmp_path / "nats")).start()


def at_rest(broker):
    """Nothing waits for the link, and nothing was put aside."""
    broker.await_metric("ferrymq_bridge_queued_messages", lambda queued: queued == 0, 20)
    assert broker.terminate() == 0, broker.logged()
    with sqlite3.connect(f"file:{broker.database}?mode=ro", uri=True) as db:
        assert db.execute("SELECT count(*) FROM dead_letter").fetchone() == (0,)


def complete(receiver, count=COUNT):
    receiver.await_distinct(count)
    assert {topic: sorted(set(seen)) for topic, seen in receiver.numbers.items()} == expected("s", count)


def test_version_auto_ends_at_3_1_1_without_the_bit_of_bridges(nats, bridged, at, await_state):
    local = bridged(nats, forward=[rule("out/#", qos=1)], subscribe=[rule("in/#", qos=1)])
    await_state(local)
    log_has(local, r"a bridge is connected.*version=\"?3\.1\.1")
    here, there = at(local, "here"), at(nats, "there", raw.V311)
    here.subscribe("in/#")
    there.subscribe("out/#", qos=1)
    here.publish("out/a", b"out", qos=2)
    assert there.message(timeout=20, topic="out/a").payload == b"out"
    there.publish("in/a", b"in", qos=1)
    assert here.message(timeout=20, topic="in/a").payload == b"in"
    at_rest(local)


def test_what_is_retained_here_is_retained_there(nats, bridged, at, await_state):
    local = bridged(nats, **OUT)
    await_state(local)
    at(local, "here").publish("s/kept", b"kept", qos=1, retain=True)
    local.await_metric("ferrymq_bridge_forwarded_messages_total", lambda count: count == 1)
    there = at(nats, "there", raw.V311)
    there.subscribe("s/kept", qos=1)
    assert there.message(timeout=20, retain=True).payload == b"kept"


@CRASHES
def test_nothing_is_lost_when_nats_restarts_in_the_middle(crash, nats, bridged, closing):
    there = closing(Receiver(nats.port, "s/#", 1, version=raw.V311))
    local = bridged(nats, **OUT)
    source = closing(Sender(local.port, "s", COUNT, 2))
    for part in (5, 2):
        there.await_distinct(COUNT // part)
        nats.restart(crash)
    source.done()
    if crash:
        complete(there)
    else:
        # NATS 2.9 does not send again all that it was sending when it was stopped in order, so
        # that only its acknowledgements tell what it has.
        local.await_metric("ferrymq_bridge_forwarded_messages_total", lambda count: count >= COUNT, 40)
    at_rest(local)


def test_nothing_is_lost_when_the_local_broker_dies_in_the_middle(nats, bridged, closing):
    there = closing(Receiver(nats.port, "s/#", 1, version=raw.V311))
    local = bridged(nats, **OUT)
    source = closing(Sender(local.port, "s", COUNT, 2))
    for part in (5, 2):
        there.await_distinct(COUNT // part)
        local.restart()
    source.done()
    complete(there)
    at_rest(local)


@CRASHES
def test_from_nats_nothing_is_lost_when_either_end_restarts(crash, nats, bridged, closing, await_state):
    local = bridged(nats, **IN)
    await_state(local)
    local.await_metric("ferrymq_packets_received_total", lambda seen: seen, 20, type="suback")
    here = closing(Receiver(local.port, "s/#"))
    source = closing(Sender(nats.port, "s", COUNT, 1, version=raw.V311))
    here.await_distinct(COUNT // 5)
    local.restart()
    here.await_distinct(COUNT // 3)
    nats.restart(crash)
    source.done()
    complete(here)
    at_rest(local)


def test_a_topic_that_nats_cannot_take_becomes_a_dead_letter(nats, bridged, at):
    """It closes the connection for a space in a topic."""
    there = at(nats, "there", raw.V311)
    there.subscribe("s/#", qos=1)
    local = bridged(nats, **OUT)
    here = at(local, "here")
    for topic, payload in (("s/0", b"0"), ("s/not this", b"bad"), ("s/0", b"1")):
        here.publish(topic, payload, qos=1)
    seen = []
    while b"1" not in seen:
        seen.append(there.message(timeout=40).payload)
    assert list(dict.fromkeys(seen)) == [b"0", b"1"]
    local.await_metric("ferrymq_bridge_dead_letters_total", lambda count: count == 1)
