"""Brokers with a bridge, and remote brokers: Mosquitto, a second FerryMQ, and a stand-in."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "access"), str(HERE.parent / "with_paho")]
import raw  # noqa: E402
from mosquittoproc import Mosquitto  # noqa: E402
from rawclient import Raw  # noqa: E402
from reach import poll  # noqa: E402
from settings import bridge  # noqa: E402
from standin import StandIn  # noqa: E402
from streams import Receiver, Sender  # noqa: E402


@pytest.fixture
def closing():
    """Closes at the end what it is given."""
    made = []

    def closing(one):
        made.append(one)
        return one

    yield closing
    for one in reversed(made):
        one.close()


@pytest.fixture
def mosquitto(tmp_path, closing):
    made = []

    def mosquitto(*lines, start=True, **options):
        made.append(closing(Mosquitto(tmp_path / f"mosquitto{len(made)}", *lines, **options)))
        return made[-1].start() if start else made[-1]

    return mosquitto


@pytest.fixture
def make_remote(make_broker, mosquitto):
    """A remote broker by its kind, "mosquitto" or "ferrymq"."""
    def make_remote(kind, start=True):
        made = mosquitto(start=start) if kind == "mosquitto" else make_broker(start=start, name="remote")
        made.kind = kind
        return made

    return make_remote


@pytest.fixture
def stand_in(closing):
    return closing(StandIn())


@pytest.fixture
def bridged(make_broker):
    """A broker with a bridge to `remotes`; see `settings.bridge`."""
    def bridged(remotes, settings=None, start=True, **keys):
        return make_broker(start=start, **bridge(remotes, **keys), **(settings or {}))

    return bridged


@pytest.fixture
def at():
    """A raw client that is connected to something with a port; durable ones keep their session."""
    made = []

    def at(broker, client_id, version=raw.V5, durable=False, **options):
        client = Raw(broker.port, version)
        made.append(client)
        if durable:
            options |= {"clean": False} | (
                {"properties": {"session_expiry": 600}} if version == raw.V5 else {})
        client.connack = client.connect(client_id, **options)
        return client

    yield at
    for client in made:
        client.drop()


@pytest.fixture
def await_state(at):
    """Waits for the state of a bridge, as its broker publishes it: "1" or "0"."""
    def await_state(broker, state="1", name="up"):
        watcher = at(broker, "", raw.V5)
        watcher.subscribe(f"$SYS/broker/connection/{name}/state", qos=0)
        while watcher.message(timeout=20).payload != state.encode():
            pass
        watcher.disconnect()

    return await_state


@pytest.fixture
def await_subscribed():
    """Waits until a remote broker has answered as many SUBSCRIBEs. To be asked before others
    subscribe there."""
    def await_subscribed(remote, count=1):
        if isinstance(remote, Mosquitto):
            poll(lambda: remote.subscriptions() >= count, what=remote.logged)
        else:
            remote.await_metric("ferrymq_packets_received_total", lambda seen: seen >= count, 20, type="subscribe")

    return await_subscribed


@pytest.fixture
def sender(closing):
    return lambda *arguments, **options: closing(Sender(*arguments, **options))


@pytest.fixture
def receiver(closing):
    return lambda *arguments, **options: closing(Receiver(*arguments, **options))
