"""A QoS 2 message goes on to its receivers after its commit. Whoever connects between the two is
rung as those are that were there before."""

import time

import pytest

import raw
from turns import KeptAwake, long_turn, make_receivers

VERSIONS = pytest.mark.parametrize("version", [raw.V311, raw.V5])


@VERSIONS
def test_a_receiver_that_connects_before_the_commit_is_rung(broker, durable, client, version):
    make_receivers(broker.port)
    receiver = durable("receiver", version)
    receiver.subscribe("gated", qos=2)
    receiver.disconnect()
    publisher = durable("publisher", version)
    with KeptAwake(broker.port):
        for n in range(5):
            publisher.send(raw.publish("gated", bytes([n]), 2, 1, version=version),
                           long_turn(version))
            time.sleep(0.05)
            receiver = durable("receiver", version)
            publisher.answer(raw.PUBREC, 1, timeout=30)
            receiver.message(timeout=10, payload=bytes([n]))
            publisher.send(raw.ack(raw.PUBREL, 1))
            publisher.answer(raw.PUBCOMP, 1, timeout=30)
            receiver.disconnect()


@pytest.mark.parametrize("qos", [1, 2])
def test_a_receiver_that_connects_while_a_message_waits_for_room_is_rung(
        make_broker, durable, client, qos):
    broker = make_broker(MQTT__ON_FULL="stall", PERSISTENCE__MAX_SIZE="4MiB")
    for name, topic in (("hog", "hog"), ("receiver", "t")):
        one = durable(name, to=broker)
        one.subscribe(topic, qos=qos)
        one.disconnect()
    publisher = durable("publisher", to=broker)
    filler = durable("filler", raw.V5, to=broker)
    pid = 0
    while filler.publish("hog", bytes(20_000), qos=1).reason == 0:
        pid += 1
        assert pid < 1000, "the file has no bound"
    publisher.send(raw.publish("t", bytes(30_000), qos, 1))
    # Parked: what comes behind it is answered, and it is not.
    publisher.ping()
    broker.await_metric("ferrymq_stalled_connections", lambda count: count == 1)
    receiver = durable("receiver", to=broker)
    receiver.ping()
    hog = durable("hog", to=broker)
    for _ in range(pid):
        hog.message()
    publisher.answer(raw.PUBACK if qos == 1 else raw.PUBREC, 1, timeout=20)
    receiver.message(timeout=10, topic="t")
