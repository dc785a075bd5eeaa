"""The process is stopped for longer than the keep alive allows: a suspended machine, a frozen
control group. What came meanwhile lies in the sockets; who sent it was not silent."""

import signal
import time

import pytest

import raw
from rawclient import Closed

KEEP_ALIVE = 2  # 3 s of silence are allowed.
STOPPED = 5
CLIENTS = 20


@pytest.mark.slow
@pytest.mark.parametrize("version", [raw.V311, raw.V5])
def test_clients_that_pinged_while_the_broker_was_stopped_stay(broker, client, version):
    watcher = client("watcher")
    watcher.subscribe("will/#", qos=1)
    talkers = [client(f"talker-{n}", version, keepalive=KEEP_ALIVE,
                      will=raw.Will(f"will/talker-{n}", qos=1)) for n in range(CLIENTS)]
    broker.process.send_signal(signal.SIGSTOP)
    try:
        for _ in range(STOPPED * 2):
            for talker in talkers:
                talker.send(raw.pingreq())
            time.sleep(0.5)
    finally:
        broker.process.send_signal(signal.SIGCONT)
    for n, talker in enumerate(talkers):
        for _ in range(STOPPED * 2):
            try:
                talker.expect(raw.PINGRESP, timeout=10)
            except Closed:
                raise AssertionError(f"talker {n} was ended") from None
        talker.ping()
    publisher = client("publisher")
    assert watcher.until_quiet(publisher) == [], "wills of clients that are there"


@pytest.mark.slow
def test_clients_that_were_silent_before_and_after_a_stop_are_ended(broker, client):
    watcher = client("watcher")
    watcher.subscribe("will/#", qos=1)
    silent = client("silent", keepalive=KEEP_ALIVE, will=raw.Will("will/silent", qos=1))
    broker.process.send_signal(signal.SIGSTOP)
    time.sleep(STOPPED)
    broker.process.send_signal(signal.SIGCONT)
    silent.closed(timeout=15)
    assert watcher.message(timeout=10).topic == "will/silent"


@pytest.mark.slow
def test_a_packet_that_was_sent_while_the_broker_was_stopped_counts(broker, client):
    """Also one that is not a PINGREQ, and the connection is of use afterwards."""
    watcher = client("watcher")
    watcher.subscribe("#", qos=1)
    publisher = client("publisher", keepalive=KEEP_ALIVE, will=raw.Will("will", qos=1))
    broker.process.send_signal(signal.SIGSTOP)
    publisher.send(raw.publish("t", b"while it was stopped", 1, 1))
    time.sleep(STOPPED)
    broker.process.send_signal(signal.SIGCONT)
    publisher.answer(raw.PUBACK, 1)
    publisher.publish("t", b"afterwards", qos=1)
    assert [watcher.message().payload for _ in range(2)] == [b"while it was stopped", b"afterwards"]
