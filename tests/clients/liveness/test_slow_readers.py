"""Output never stops reading: a client that takes long to read is heard meanwhile."""

import threading
import time

import pytest

import raw
from slow import SlowReader

KEEP_ALIVE = 2  # 3 s of silence are allowed.
VERSIONS = pytest.mark.parametrize("version", [raw.V311, raw.V5])


@pytest.mark.slow
@VERSIONS
def test_a_slow_reader_that_pings_is_not_taken_for_silent(broker, client, version):
    watcher = client("watcher")
    watcher.subscribe("will", qos=1)
    reader = client("reader", version, to=None, keepalive=KEEP_ALIVE, will=raw.Will("will"))
    reader.subscribe("t", qos=0)
    publisher = client("publisher", version)
    count, size = 20, 500_000
    for n in range(count):
        publisher.publish("t", bytes([n]) * size)
    publisher.ping()
    slow = SlowReader(reader, rate=1_200_000, ping=0.5)
    slow.until(lambda: len(slow.messages) == count, within=40)
    # The pings were answered, and not only at the end.
    slow.until(lambda: len(slow.answers(raw.PINGRESP)) >= 10, within=10)
    assert watcher.until_quiet(publisher) == [], "the will of a client that is there"


@pytest.mark.slow
@VERSIONS
@pytest.mark.parametrize("qos", [1, 2])
def test_a_queue_of_large_messages_drains_within_one_connection(durable, client, version, qos):
    reader = durable("reader", version)
    reader.subscribe("t", qos=qos)
    reader.disconnect()
    publisher = client("publisher", version)
    count, size = 240, 100_000
    for n in range(count):
        publisher.publish("t", bytes([n]) * size, qos=1)
    reader = durable("reader", version, receive_buffer=64 << 10, keepalive=KEEP_ALIVE)
    slow = SlowReader(reader, rate=3_000_000, ping=0.5)
    slow.until(lambda: len(slow.messages) == count, within=60)
    assert [m.payload[0] for m in slow.messages] == list(range(count))
    assert not any(m.dup for m in slow.messages)


@VERSIONS
def test_unsubscribe_from_a_busy_wildcard_is_answered_at_once(
        make_broker, durable, client, version):
    """More than ten seconds of reading wait before it; its answer does not stand behind them."""
    broker = make_broker(LIMITS__MAX_MEMORY="512MiB")
    reader = durable("reader", version, to=broker, receive_buffer=64 << 10)
    reader.subscribe("#", qos=0)
    publisher = client("publisher", version, to=broker)
    for _ in range(300):
        publisher.publish("t", bytes(400_000))
    publisher.ping()
    slow = SlowReader(reader, rate=8_000_000)
    # It is under way.
    slow.until(lambda: len(slow.messages) >= 3, within=10)
    reader.send(raw.unsubscribe(9, ["#"], version))
    # Two seconds are promised; what else runs on a test machine may take as long again.
    took = slow.until(lambda: slow.answers(raw.UNSUBACK), within=4)
    print(f"UNSUBACK after {took:.2f} s, {len(slow.messages)} messages")


@pytest.mark.slow
def test_dripped_bytes_of_an_unfinished_packet_do_not_live_for_ever(client):
    """Each byte is a sign of life; the packet has a deadline of its own."""
    drips = client("drips", keepalive=KEEP_ALIVE)
    packet = raw.publish("t", bytes(10_000), 1, 1)
    started = time.monotonic()
    for n in range(len(packet)):
        if ended(drips, 0.25):
            break
        try:
            drips.socket.sendall(packet[n:n + 1])
        except ConnectionError:
            break
        took = time.monotonic() - started
        assert took < UNFINISHED_WITHIN, f"{n + 1} bytes in {took:.0f} s and still connected"
    print(f"closed after {time.monotonic() - started:.1f} s")


UNFINISHED_WITHIN = 40


def ended(client, wait):
    try:
        client.recv(wait)
    except TimeoutError:
        return False
    except Exception:
        return True
    raise AssertionError("an answer to an unfinished packet")


@pytest.mark.slow
@VERSIONS
def test_a_large_packet_that_arrives_steadily_is_taken(client, version):
    """For three times the keep alive's allowance, and nothing else comes meanwhile."""
    steady = client("steady", version, keepalive=KEEP_ALIVE)
    packet = raw.publish("t", bytes(900_000), 1, 1, version=version)
    pieces = 90
    step = len(packet) // pieces + 1
    for n in range(pieces):
        steady.send(packet[n * step:(n + 1) * step])
        time.sleep(0.1)
    assert steady.answer(raw.PUBACK, 1).reason in (0, 0x10)


@pytest.mark.slow
def test_a_client_that_reads_and_says_nothing_is_still_ended(client):
    """Output is no sign of life."""
    watcher = client("watcher")
    watcher.subscribe("will", qos=1)
    silent = client("silent", keepalive=1, will=raw.Will("will", qos=1))
    silent.subscribe("t", qos=0)
    publisher = client("publisher")
    stop = threading.Event()

    def publish():
        while not stop.wait(0.05):
            publisher.send(raw.publish("t", bytes(1000)))

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        silent.closed(timeout=15)
    finally:
        stop.set()
        thread.join()
    assert watcher.message(timeout=10).topic == "will"
