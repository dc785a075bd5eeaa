"""What a client has sent before it closed counts, whatever was on its way to it: a failed write
ends nothing before everything that was received has been read."""

import fcntl
import shutil
import socket
import struct
import subprocess
import termios
import threading
import time

import pytest

import raw

VERSIONS = pytest.mark.parametrize("version", [raw.V311, raw.V5])
LARGE = 900_000


@VERSIONS
@pytest.mark.parametrize("qos", [1, 2])
def test_an_acknowledgement_and_a_goodbye_count_while_a_lot_is_on_its_way(
        durable, client, version, qos):
    watcher = client("watcher")
    watcher.subscribe("will", qos=1)
    publisher = client("publisher", version)
    for n in range(5):
        leaver = durable("leaver", version, receive_buffer=32 << 10, will=raw.Will("will", qos=1))
        assert leaver.connack.session_present == (n > 0)
        leaver.subscribe(("t", qos), ("flood", 0))
        publisher.publish("t", bytes([n]), qos=qos)
        # Anything that was not acknowledged last time would come before it.
        message = leaver.message(payload=bytes([n]), answer=False)
        if qos == 2:
            leaver.send(raw.ack(raw.PUBREC, message.pid))
            leaver.answer(raw.PUBREL, message.pid)
        for _ in range(8):
            publisher.publish("flood", bytes(LARGE))
        publisher.ping()
        last = raw.ack(raw.PUBACK if qos == 1 else raw.PUBCOMP, message.pid)
        leaver.send(last, raw.disconnect())
        # Bytes lie unread in the socket: the other end sees a reset.
        leaver.drop()
    again = durable("leaver", version)
    assert again.connack.session_present
    assert again.until_quiet(publisher) == []
    assert watcher.until_quiet(publisher) == [], "the will of a client that has said goodbye"


@VERSIONS
@pytest.mark.parametrize("ending", ["closed", "half-closed"])
def test_everything_that_was_sent_before_a_close_is_taken(durable, client, version, ending):
    """Many packets, and more of them than one read brings."""
    watcher = client("watcher")
    watcher.subscribe("t", "will", qos=1)
    publisher = client("publisher", version)
    leaver = durable("leaver", version, receive_buffer=32 << 10, will=raw.Will("will", qos=1))
    leaver.subscribe("flood", qos=0)
    for _ in range(8):
        publisher.publish("flood", bytes(LARGE))
    publisher.ping()
    count = 300
    leaver.send(*(raw.publish("t", n.to_bytes(2, "big") + bytes(1000), 1, n, version=version)
                  for n in range(1, count + 1)), raw.disconnect())
    if ending == "closed":
        # What has not reached the other end by then is thrown away by this one.
        await_arrival(leaver)
        leaver.drop()
    else:
        leaver.socket.shutdown(socket.SHUT_WR)
    seen = [int.from_bytes(watcher.message(timeout=20, topic="t").payload[:2], "big")
            for _ in range(count)]
    assert seen == list(range(1, count + 1))
    assert watcher.until_quiet(publisher) == []


def await_arrival(client):
    deadline = time.monotonic() + 15
    while unread := struct.unpack("i", fcntl.ioctl(client.socket, termios.TIOCOUTQ, bytes(4)))[0]:
        assert time.monotonic() < deadline, f"{unread} bytes are not read by the broker"
        time.sleep(0.005)


@VERSIONS
def test_a_goodbye_counts_however_busy_the_subscription_is(durable, client, version):
    """The reset comes between a read and the write after it, in some rounds."""
    watcher = client("watcher")
    watcher.subscribe("will", qos=1)
    publisher = client("publisher", version)
    stop = threading.Event()

    def publish():
        while not stop.is_set():
            busy.send(raw.publish("busy", bytes(200), version=version))

    busy = client("busy", version)
    thread = threading.Thread(target=publish)
    thread.start()
    try:
        for n in range(ROUNDS):
            leaver = durable("leaver", version, will=raw.Will("will", bytes([n]), qos=1))
            leaver.subscribe(("t", 1), ("busy", 0))
            publisher.publish("t", bytes([n]), qos=1)
            message = leaver.message(answer=False)
            while message.topic == "busy":
                message = leaver.message(answer=False)
            assert message.payload == bytes([n]), "what was acknowledged came again"
            leaver.send(raw.ack(raw.PUBACK, message.pid))
            leaver.send(raw.disconnect())
            leaver.drop()
    finally:
        stop.set()
        thread.join()
    wills = watcher.until_quiet(publisher)
    assert wills == [], f"{len(wills)} of {ROUNDS} wills of clients that have said goodbye"


@VERSIONS
def test_a_client_that_leaves_with_its_suback_on_the_way_has_acknowledged(
        broker, durable, client, version):
    """The end of README's walk-through: the client of a persistent session comes back, subscribes,
    takes two messages and leaves, without a look at what comes after them."""
    publisher = client("publisher", version)
    here = durable("boat", version)
    here.subscribe("harbour/#", qos=1)
    here.disconnect()
    for n in range(ROUNDS):
        for half in range(2):
            publisher.publish("harbour/tide", bytes([n, half]), qos=1)
        boat = durable("boat", version)
        assert boat.connack.session_present
        boat.send(raw.subscribe(1, [("harbour/#", 1)], version))
        for half in range(2):
            message = boat.recv()
            while message.kind == raw.SUBACK:
                message = boat.recv()
            assert message.payload == bytes([n, half]), f"round {n}: {message}"
            boat.send(raw.ack(raw.PUBACK, message.pid))
        boat.send(raw.disconnect())
        boat.drop()
        broker.await_metric("ferrymq_sessions", lambda count: count == 1, state="waiting")
    assert durable("boat", version).until_quiet(publisher) == []


ROUNDS = 100


@pytest.mark.skipif(not shutil.which("mosquitto_sub"), reason="mosquitto-clients is not installed")
def test_nothing_is_left_after_mosquitto_sub_has_taken_all(broker, client):
    def mosquitto_sub(*arguments):
        return subprocess.run(
            # Without Nagle's algorithm: it holds back the last PUBACK, and the reset of a
            # socket that is closed with its SUBACK unread throws that away unsent.
            ["mosquitto_sub", "--nodelay", "-p", str(broker.port), "-i", "boat", "-c", "-q", "1",
             "-t", "harbour/#", *arguments],
            check=True, capture_output=True, timeout=30).stdout.splitlines()

    mosquitto_sub("-E")
    publisher = client("publisher")
    for n in range(40):
        for text in (f"tide {n}", f"wind {n}"):
            publisher.publish("harbour/x", text, qos=1)
        assert mosquitto_sub("-C", "2") == [f"tide {n}".encode(), f"wind {n}".encode()]
    broker.await_metric("ferrymq_persistence_queued_messages", lambda count: count == 0)
