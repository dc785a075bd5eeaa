"""Every queue that may move moves: behind a message that is too large, and behind one that is
never acknowledged."""

import pytest

import raw
from slow import SlowReader

BATCH = 1000


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("window", [1, 2, None])
def test_a_message_behind_one_that_is_too_large_arrives_at_once(durable, client, qos, window):
    properties = {"maximum_packet_size": 1000} | ({"receive_maximum": window} if window else {})
    reader = durable("reader", raw.V5, properties=properties)
    reader.subscribe("t", qos=qos)
    publisher = client("publisher", raw.V5)
    for n in range(20):
        publisher.send(raw.publish("t", bytes(5000), 1, 1, version=raw.V5),
                       raw.publish("t", bytes([n]), 1, 2, version=raw.V5))
        assert reader.message(payload=bytes([n])).qos == min(qos, 1)
        publisher.answer(raw.PUBACK, 1)
        publisher.answer(raw.PUBACK, 2)


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("online", [False, True])
def test_messages_behind_many_that_are_too_large_arrive_at_once(durable, client, qos, online):
    properties = {"maximum_packet_size": 1000, "receive_maximum": 2}
    reader = durable("reader", raw.V5, properties=properties)
    reader.subscribe("t", qos=qos)
    if not online:
        reader.disconnect()
    publisher = client("publisher", raw.V5)
    publisher.send(*(raw.publish("t", bytes(5000), 2, n, version=raw.V5) for n in range(1, 101)))
    for n in range(1, 101):
        publisher.answer(raw.PUBREC, n)
    publisher.publish("t", b"small", qos=1)
    if not online:
        reader = durable("reader", raw.V5, properties=properties)
    reader.message(payload=b"small")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("online", [False, True])
@pytest.mark.parametrize("qos", [1, 2])
def test_one_packet_id_that_is_never_acknowledged_stops_nothing(durable, client, qos, online):
    """Identifiers come around after 65,535 messages, and one of them is in use."""
    count = 65_535 + 100
    reader = durable("reader")
    reader.subscribe("t", qos=qos)
    publisher = client("publisher")
    publisher.publish("t", b"never acknowledged", qos=qos)
    stuck = reader.message(answer=False)
    if not online:
        reader.disconnect()
        publish_many(publisher, count, qos)
        reader = durable("reader")
        assert reader.recv().pid == stuck.pid
    account = Account(reader, stuck.pid)
    for first in range(0, count, BATCH) if online else [0]:
        if online:
            publish_many(publisher, min(BATCH, count - first), qos, first)
        up_to = min(first + BATCH, count) if online else count
        account.until(lambda: len(account.numbers) >= up_to)
    assert account.numbers == list(range(count))
    # It can still be acknowledged.
    reader.acknowledge(stuck)


def publish_many(publisher, count, qos, start=0):
    for first in range(start, start + count, BATCH):
        numbers = range(first, min(first + BATCH, start + count))
        publisher.send(*(raw.publish("t", n.to_bytes(4, "big"), qos, n - first + 1)
                         for n in numbers))
        if qos == 2:
            for n in numbers:
                publisher.answer(raw.PUBREC, n - first + 1)
            publisher.send(*(raw.ack(raw.PUBREL, n - first + 1) for n in numbers))
        for n in numbers:
            publisher.answer(raw.PUBACK if qos == 1 else raw.PUBCOMP, n - first + 1)


class Account(SlowReader):
    """Takes everything to its end, but for one packet id."""

    def __init__(self, client, stuck):
        super().__init__(client, rate=1 << 30)
        self.stuck, self.numbers = stuck, []

    def until(self, done):
        """As long as there is progress."""
        while not done():
            before = len(self.numbers)
            super().until(lambda: done() or len(self.numbers) >= before + BATCH, within=15)

    def __repr__(self):
        return f"{len(self.numbers)} messages"

    def _take(self):
        client, answers = self.client, []
        while packet := client._parse():
            assert packet.pid != self.stuck, f"{packet} under an identifier that is in use"
            if packet.kind == raw.PUBLISH:
                self.numbers.append(int.from_bytes(packet.payload, "big"))
                kind = raw.PUBACK if packet.qos == 1 else raw.PUBREC
                answers.append(raw.ack(kind, packet.pid))
            elif packet.kind == raw.PUBREL:
                answers.append(raw.ack(raw.PUBCOMP, packet.pid))
        client.send(*answers)
