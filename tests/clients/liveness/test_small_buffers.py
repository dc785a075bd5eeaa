"""A connection goes on being heard, however much had to wait on the way to it."""

import queue
import threading

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

import raw
from slow import SlowReader

LARGE = 900_000
VERSIONS = pytest.mark.parametrize("version", [raw.V311, raw.V5])


@VERSIONS
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_ping_is_answered_after_a_large_transfer_to_a_small_receive_buffer(
        durable, client, version, qos):
    reader = durable("reader", version, receive_buffer=32 << 10)
    reader.subscribe("t", qos=qos)
    publisher = client("publisher", version)
    slow = SlowReader(reader, rate=1 << 30)
    for round in range(1, 4):
        for n in range(8):
            publisher.publish("t", bytes([n]) * LARGE, qos=1)
        # All of it is on its way, and most of it waits in the broker.
        reader.send(raw.pingreq())
        slow.until(lambda: len(slow.messages) == 8 * round, within=30)
        slow.until(lambda: len(slow.answers(raw.PINGRESP)) == round, within=10)
        # And so is everything after it.
        reader.send(raw.subscribe(round, [("other", 1)], version))
        slow.until(lambda: len(slow.answers(raw.SUBACK)) == round, within=10)
        reader.send(raw.publish("nobody", b"x", 1, round, version=version))
        slow.until(lambda: len(slow.answers(raw.PUBACK)) == round, within=10)
    assert [m.payload[0] for m in slow.messages] == list(range(8)) * 3


def test_paho_is_acknowledged_after_it_has_drained_a_queue(broker, durable, client):
    """With default options. Each round by itself fails on a broker that has lost its read
    interest in about two of three."""
    publisher = client("publisher")
    for n in range(8):
        name = f"drains-{n}"
        one = durable(name)
        one.subscribe(f"to/{name}", qos=1)
        one.disconnect()
        for _ in range(50):
            publisher.publish(f"to/{name}", bytes(90_000), qos=1)
        drain_and_publish(broker.port, name)


def drain_and_publish(port, name):
    received, connected = queue.Queue(), threading.Event()
    person = mqtt.Client(CallbackAPIVersion.VERSION2, name, clean_session=False)
    person.on_message = lambda c, u, m: received.put(m)
    person.on_connect = lambda *_: connected.set()
    person.connect("127.0.0.1", port)
    person.loop_start()
    try:
        for n in range(50):
            try:
                received.get(timeout=20)
            except queue.Empty:
                raise AssertionError(f"{name} got {n} of 50 messages") from None
        info = person.publish("nobody", b"x", qos=1)
        info.wait_for_publish(10)
        assert info.is_published(), f"{name}: no PUBACK within 10 s"
    finally:
        person.disconnect()
        person.loop_stop()
