"""Turns that take long: thousands of publishes in one write, each with many receivers."""

import threading

import raw
from rawclient import Closed, Raw

# Sessions that are made at once, so that one commit serves many.
BATCH = 200


def make_receivers(port, count=1000):
    """Sessions that are away and subscribe at QoS 0: nothing comes of it but work."""
    for first in range(0, count, BATCH):
        receivers = [Raw(port) for _ in range(min(BATCH, count - first))]
        for n, receiver in enumerate(receivers, first):
            receiver.send(raw.connect(f"away-{n}", clean=False), raw.subscribe(1, [("m", 0)]))
        for receiver in receivers:
            receiver.expect(raw.CONNACK, timeout=30)
            receiver.expect(raw.SUBACK, timeout=30)
            receiver.drop()


def long_turn(version, publishes=5000):
    return raw.publish("m", version=version) * publishes


class KeptAwake:
    """Commits that go on. Each wakes a worker of the broker from outside: one that only waits for
    sockets may be the one that is busy, and then nobody looks at them."""

    def __init__(self, port):
        self.port, self.stopped = port, threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(2)]

    def run(self, n):
        with Raw(self.port) as pulse:
            pulse.connect(f"pulse-{n}")
            while not self.stopped.is_set():
                pulse.send(raw.publish(f"pulse/{n}", b"awake", 1, 1, retain=True))
                try:
                    pulse.answer(raw.PUBACK, 1, timeout=30)
                except Closed:
                    return

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()
