"""Litestream beside a broker with `persistence.checkpoints = "external"`, as docs/litestream.md has
it: the replica follows under load, and what it gives back is a database that the broker serves.

LITESTREAM names another binary than the one that the tests install."""

import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

import pytest

import raw
from rawclient import Raw

BESIDE = pathlib.Path(sys.executable).parent / "litestream"
BINARY = os.environ.get("LITESTREAM") or (str(BESIDE) if BESIDE.exists() else shutil.which("litestream"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BINARY is None, reason="litestream is not installed"),
]


class Litestream:
    def __init__(self, directory, database):
        self.replica, self.log = directory / "replica", directory / "litestream.log"
        self.config = directory / "litestream.yml"
        self.config.write_text(
            f"dbs:\n  - path: {database}\n    replicas:\n      - type: file\n"
            f"        path: {self.replica}\n        sync-interval: 1s\n")
        self.database, self.process = database, None

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [BINARY, "replicate", "-config", str(self.config)], stdout=log, stderr=log)
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def restore(self, to):
        to.parent.mkdir(parents=True)
        subprocess.run(
            [BINARY, "restore", "-config", str(self.config), "-o", str(to), str(self.database)],
            check=True, capture_output=True, text=True, timeout=60)


class Load(threading.Thread):
    """Publishes 200 messages at a time, and notes when each was acknowledged."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.client, self.acknowledged, self.running = Raw(port), [], True
        self.client.connect("load")

    def run(self):
        while self.running:
            first = len(self.acknowledged)
            numbers = range(first, first + 200)
            self.client.send(*(raw.publish("t", n.to_bytes(8, "big") + bytes(240), 1, n - first + 1)
                               for n in numbers))
            for n in numbers:
                self.client.expect(raw.PUBACK, pid=n - first + 1, timeout=30)
                self.acknowledged.append(time.monotonic())

    def stop(self):
        self.running = False
        self.join(60)
        assert not self.is_alive()


def received(broker):
    """All that waits for the subscriber, in the order in which it comes."""
    s = Raw(broker.port)
    s.connect("sub", clean=False)
    seen = []
    while True:
        try:
            packet = s.recv(2)
        except TimeoutError:
            return seen
        seen.append(int.from_bytes(packet.payload[:8], "big"))
        s.send(raw.ack(raw.PUBACK, packet.pid))


@pytest.mark.timeout(180)
def test_a_restored_replica_lacks_no_more_than_the_last_seconds(make_broker, tmp_path):
    broker = make_broker(PERSISTENCE__CHECKPOINTS="external")
    s = Raw(broker.port)
    s.connect("sub", clean=False)
    s.subscribe("t", qos=1)
    s.disconnect()
    litestream = Litestream(tmp_path, broker.database).start()
    load = Load(broker.port)
    load.start()
    time.sleep(8)
    # Litestream may die and come back; the broker does not mind.
    litestream.kill()
    litestream.start()
    time.sleep(8)
    load.stop()
    time.sleep(4)
    broker.kill()
    litestream.kill()
    count = len(load.acknowledged)
    assert count > 1000
    assert broker.logged().count("ERROR") == 0, broker.logged()
    litestream.restore(tmp_path / "restored" / "ferrymq.db")
    other = make_broker(start=False, name="restored", PERSISTENCE__CHECKPOINTS="external")
    other.start()
    seen = received(other)
    assert seen == list(range(count)), (len(seen), count, litestream.log.read_text()[-3000:])


@pytest.mark.timeout(180)
def test_a_loss_under_load_costs_the_last_seconds_and_nothing_before(make_broker, tmp_path):
    broker = make_broker(PERSISTENCE__CHECKPOINTS="external")
    s = Raw(broker.port)
    s.connect("sub", clean=False)
    s.subscribe("t", qos=1)
    s.disconnect()
    litestream = Litestream(tmp_path, broker.database).start()
    load = Load(broker.port)
    load.start()
    time.sleep(10)
    # The machine is gone, in the middle of it.
    litestream.kill()
    lost_at = time.monotonic()
    load.stop()
    broker.kill()
    litestream.restore(tmp_path / "restored" / "ferrymq.db")
    other = make_broker(start=False, name="restored", PERSISTENCE__CHECKPOINTS="external")
    other.start()
    seen = received(other)
    assert seen == list(range(len(seen))), "no gap, no repeat, in order"
    lost = [at for at in load.acknowledged[len(seen):] if at <= lost_at]
    lag = lost_at - lost[0] if lost else 0.0
    print(f"acknowledged {len(load.acknowledged)}, restored {len(seen)}, behind by {lag:.2f} s")
    # Syncs come every second; a busy machine is given some more.
    assert lag < 10, litestream.log.read_text()[-3000:]
