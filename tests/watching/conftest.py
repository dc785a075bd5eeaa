"""Fixtures: a broker with traffic of every kind and a bridge to a second one, and a Prometheus
that has watched it."""

import threading

import pytest

import raw
from bridges.settings import bridge, rule
from brokerproc import Broker
from certificates import Certificates
from prometheusproc import Prometheus, hurried
from rawclient import Raw
from watched import RULES


class Traffic(threading.Thread):
    """Keeps every figure of a broker moving: durable and other messages, a queue that grows, one
    that drains, messages that are dropped and refused, connections that come, go and fail, and
    messages over a bridge in both directions."""

    def __init__(self, broker, remote):
        super().__init__(daemon=True)
        self.broker, self.remote = broker, remote
        self.done = threading.Event()
        self.failure = None

    def run(self):
        try:
            with Raw(self.broker.port, raw.V5) as publisher, Raw(self.broker.port) as receiver, \
                    Raw(self.remote.port) as afar:
                publisher.connect("publisher")
                afar.connect("afar")
                receiver.connect("receiver", clean=False)
                receiver.subscribe("taken", qos=2)
                while not self.done.wait(0.05):
                    self.turn(publisher, receiver)
                    afar.publish("received", b"from the remote broker", qos=1)
        except Exception as error:  # Whatever it is, the test has to end and say so.
            self.failure = error

    def turn(self, publisher, receiver):
        publisher.publish("left", bytes(2000), qos=1)
        publisher.publish("full", b"dropped", qos=0)
        publisher.publish("full", b"refused", qos=1)
        publisher.publish("nobody", b"unrouted", qos=0)
        for qos in (0, 1, 2):
            publisher.publish("taken", b"x" * 100, qos=qos)
            receiver.message()
        publisher.publish("forwarded", b"to the remote broker", qos=1)
        with Raw(self.broker.port) as visitor:
            visitor.connect("visitor", clean=False)
            visitor.disconnect()
        with Raw(self.broker.port) as stranger:
            stranger.send(b"GET / HTTP/1.1\r\n\r\n")
            stranger.closed()

    def stop(self):
        self.done.set()
        self.join(20)
        assert self.failure is None, f"{self.failure!r}\n{self.broker.logged()[-4000:]}"


QUEUE_LIMIT = 2000


def leave_queues(broker):
    """Two receivers that are away: one with room for more, one whose queue is full."""
    for client_id, topic in ("away", "left"), ("narrow", "full"):
        with Raw(broker.port) as away:
            away.connect(client_id, clean=False)
            away.subscribe(topic, qos=1)
            away.disconnect()
    with Raw(broker.port) as filler:
        filler.connect("filler")
        packets = [raw.publish("full", b"x", 1, pid) for pid in range(1, QUEUE_LIMIT + 1)]
        filler.send(*packets)
        for _ in packets:
            filler.expect(raw.PUBACK)


@pytest.fixture(scope="session")
def remote_broker(tmp_path_factory):
    """The other end of the busy broker's bridge; no Prometheus watches it."""
    broker = Broker(tmp_path_factory.mktemp("remote")).start()
    yield broker
    broker.close()


@pytest.fixture(scope="session")
def busy_broker(tmp_path_factory, remote_broker):
    directory = tmp_path_factory.mktemp("busy")
    over = {"forward": [rule("forwarded")], "subscribe": [rule("received")]}
    broker = Broker(directory, Certificates(directory / "certificates").settings() |
                    bridge(remote_broker, **over) | {
        "SESSION__MAX_QUEUED_MESSAGES": QUEUE_LIMIT,
        "SESSION__QUEUE_QOS0": "true",
        # A checkpoint every few seconds, also without a pause.
        "PERSISTENCE__WAL_CHECKPOINT_PAGES": 100,
    }).start()
    leave_queues(broker)
    broker.await_metric("ferrymq_bridge_connected", lambda connected: connected == 1, bridge="up")
    traffic = Traffic(broker, remote_broker)
    traffic.start()
    yield broker
    traffic.stop()
    broker.close()


@pytest.fixture(scope="session")
def prometheus(busy_broker, tmp_path_factory):
    watching = Prometheus(tmp_path_factory.mktemp("prometheus"),
                          [f"127.0.0.1:{busy_broker.http_port}"], RULES).start()
    yield watching
    watching.close()


@pytest.fixture
def watch(tmp_path):
    """Starts a Prometheus with the shipped rules, in a hurry, on brokers of the test."""
    started = []

    def watch(*brokers):
        targets = [f"127.0.0.1:{broker.http_port}" for broker in brokers]
        watching = Prometheus(tmp_path / f"prometheus{len(started)}", targets, hurried(RULES))
        started.append(watching)
        watching.start()
        assert watching.await_query("up == 1"), watching.logged()
        return watching

    yield watch
    for watching in started:
        watching.close()


@pytest.fixture
def make_broker(tmp_path):
    """Starts brokers with settings of the test's own."""
    made = []

    def make(**settings):
        broker = Broker(tmp_path / f"broker{len(made)}", settings)
        made.append(broker)
        return broker.start()

    yield make
    for broker in made:
        broker.close()
