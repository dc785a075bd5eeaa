"""Bridges of the chart in a running broker: what restarts no pod needs no restart, and
credentials of Secrets reach the remote broker."""

import pytest

import chart
from brokerproc import Broker
from place import Place, PlacedBroker
from test_bridges import FORWARD, RELOADED
from test_listeners import HASH
from test_running_changes import reload_with_either

TOKEN = {"http": {"token": "0123456789abcdef"}}


@pytest.fixture
def placed(tmp_path):
    brokers = []

    def make(bridges, files=(), variables=()):
        place = Place(tmp_path / f"place{len(brokers)}", chart.made(bridges=bridges, **TOKEN))
        place.variables = dict(variables)
        place.mount(dict(files))
        brokers.append(PlacedBroker(place))
        return place, brokers[-1].start()

    yield make
    for broker in brokers:
        broker.close()


@pytest.fixture
def remote(tmp_path):
    """It lets in alice, and a user whose name is a number, with one password."""
    passwords = tmp_path / "passwords"
    passwords.write_text(HASH + HASH.replace("alice", "12345"))
    passwords.chmod(0o600)
    broker = Broker(tmp_path / "remote", {"AUTH__PASSWORD_FILE": passwords, "AUTH__ALLOW_ANONYMOUS": "false"}).start()
    yield broker
    broker.close()


def to(remote, **keys):
    return {"up": {"addresses": [f"mqtt://127.0.0.1:{remote.port}"], "max_backoff": "1s", "forward": FORWARD, **keys}}


def await_connected(broker):
    broker.await_metric("ferrymq_bridge_connected", lambda connected: connected == 1, bridge="up")


@pytest.mark.parametrize(("before", "after"), RELOADED, ids=range(len(RELOADED)))
def test_the_broker_needs_no_restart_for_a_bridge(placed, before, after):
    place, broker = placed(before)
    place.upgrade(chart.made(bridges=after, **TOKEN))
    status, answer = reload_with_either(broker, TOKEN)
    assert status == 200, answer
    assert answer["needs_restart"] == []
    wanted = {name for name, values in after.items() if values}
    shown = {line.split('"')[1] for line in broker.get("/metrics")[1].splitlines() if line.startswith("ferrymq_bridge_connected{")}
    assert shown == wanted


def test_a_bridge_of_an_upgrade_connects_without_a_new_pod(placed, remote):
    secret = {"bridge-up.password": "fair winds"}
    # The Secret is mounted from the start; a first one would restart the pod.
    paused = to(remote, username="alice", credentials={"secretName": "up"}, paused=True)
    place, broker = placed(paused, secret)
    assert broker.metric("ferrymq_bridge_connected", bridge="up") == 0
    resumed = to(remote, username="alice", credentials={"secretName": "up"})
    assert chart.pod_of(bridges=paused, **TOKEN) == chart.pod_of(bridges=resumed, **TOKEN)
    place.upgrade(chart.made(bridges=resumed, **TOKEN))
    await_connected(broker)


def test_a_password_that_was_replaced_is_used_at_the_next_dial(placed, remote):
    bridge = to(remote, username="alice", credentials={"secretName": "up"})
    place, broker = placed(bridge, {"bridge-up.password": "foul winds"})
    broker.await_metric("ferrymq_bridge_reconnects_total", lambda count: count > 0, bridge="up", reason="refused")
    place.mount({"bridge-up.password": "fair winds"})
    await_connected(broker)


def test_a_user_name_of_a_secret_may_be_a_number(placed, remote):
    bridge = to(remote, credentials={"secretName": "up", "usernameKey": "username"})
    _, broker = placed(bridge, {"bridge-up.password": "fair winds"}, {"BRIDGE_UP_USERNAME": "12345"})
    await_connected(broker)
