"""A poll is bounded: whatever one connection has the broker do, the others are served beside it."""

import threading
import time

import pytest

import raw
from rawclient import Raw
from turns import long_turn, make_receivers

# What one read of 64 KiB brings. If all of it is done at once, that takes 3 s and more.
PUBLISHES, RECEIVERS = 13_000, 4000
WITHIN = 1.5


@pytest.fixture
def broker(make_broker):
    """With one worker there is no other one that happens to be free."""
    return make_broker(RUNTIME__WORKER_THREADS="1")


@pytest.fixture
def busy(broker):
    """Has the broker work for some seconds, again and again; the longest of other answers counts."""
    make_receivers(broker.port, RECEIVERS)
    publisher = Raw(broker.port)
    publisher.connect("busy")

    def busy(other, rounds=2):
        longest = 0
        for _ in range(rounds):
            publisher.send(long_turn(raw.V311, PUBLISHES), raw.pingreq())
            time.sleep(0.05)
            done = threading.Event()
            waiting = threading.Thread(target=lambda: (publisher.answer(raw.PINGRESP, None, 60),
                                                       done.set()))
            waiting.start()
            while not done.is_set():
                begun = time.monotonic()
                other()
                longest = max(longest, time.monotonic() - begun)
                time.sleep(0.02)
            waiting.join()
        return longest

    yield busy
    publisher.drop()


@pytest.mark.slow
def test_pings_of_others_are_answered_beside_a_long_turn(client, busy):
    other = client("other")

    def ping():
        other.send(raw.pingreq())
        other.answer(raw.PINGRESP, None, timeout=30)

    assert busy(ping) < WITHIN


@pytest.mark.slow
def test_the_health_check_is_answered_beside_a_long_turn(broker, busy):
    assert busy(lambda: broker.get("/healthz", timeout=30)) < WITHIN


@pytest.mark.slow
def test_a_take_over_is_answered_beside_a_long_turn(broker, busy):
    def take_over():
        with Raw(broker.port) as newcomer:
            newcomer.send(raw.connect("other", clean=False))
            newcomer.expect(raw.CONNACK, timeout=30)

    assert busy(take_over) < WITHIN


@pytest.mark.slow
def test_the_busy_connection_itself_can_be_taken_over(broker, client):
    make_receivers(broker.port, RECEIVERS)
    for _ in range(2):
        old = client("busy", clean=False)
        old.send(long_turn(raw.V311, PUBLISHES))
        time.sleep(0.05)
        begun = time.monotonic()
        new = Raw(broker.port)
        new.send(raw.connect("busy", clean=False))
        new.expect(raw.CONNACK, timeout=30)
        new.send(raw.pingreq())
        new.answer(raw.PINGRESP, None, timeout=30)
        took = time.monotonic() - begun
        new.drop()
        old.drop()
        assert took < WITHIN


@pytest.mark.parametrize("receivers", [1000, 5000])
def test_a_publisher_that_goes_on_and_on_is_taken_over(make_broker, receivers):
    """What it publishes has so many receivers that a poll always ends within a publish."""
    broker = make_broker(RUNTIME__WORKER_THREADS="4")
    make_receivers(broker.port, receivers)
    old, stopped = Raw(broker.port), threading.Event()
    old.connect("me")
    old.send(raw.publish("nobody", b"x", 1, 7))

    def publish_on():
        try:
            while not stopped.is_set():
                old.socket.sendall(long_turn(raw.V311, 1000))
        except OSError:
            pass

    publishing = threading.Thread(target=publish_on, daemon=True)
    publishing.start()
    try:
        # What stands before the flood is acknowledged beside it.
        old.answer(raw.PUBACK, 7, timeout=5)
        new = Raw(broker.port)
        new.send(raw.connect("me"))
        new.expect(raw.CONNACK, timeout=5)
    finally:
        stopped.set()
        old.drop()
        publishing.join()
