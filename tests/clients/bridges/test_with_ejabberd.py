"""A third remote broker of MQTT 5.0, at QoS 2: the MQTT server of ejabberd.

Its sessions are in memory, so it is not restarted here. The link is cut, and the local broker killed.
"""

import sqlite3

import pytest

from ejabberdproc import Ejabberd, needs_ejabberd
from proxy import Proxy
from reach import log_has, poll
from settings import rule
from streams import Receiver, Sender, expected

pytestmark = needs_ejabberd
COUNT = 600
USER = "edge@localhost"
LOG_IN = {"username": USER, "password": "any"}
OUT, IN = {"forward": [rule("s/#")], **LOG_IN}, {"subscribe": [rule("s/#")], **LOG_IN}
QOS = pytest.mark.parametrize("qos", [1, 2])
VERSIONS = pytest.mark.parametrize("version", ["5.0", "3.1.1"])


@pytest.fixture
def remote(tmp_path, closing):
    return closing(Ejabberd(tmp_path / "ejabberd")).start()


def at_rest(broker):
    """Nothing waits for the link, and nothing was put aside."""
    broker.await_metric("ferrymq_bridge_queued_messages", lambda queued: queued == 0, 20)
    assert broker.terminate() == 0, broker.logged()
    with sqlite3.connect(f"file:{broker.database}?mode=ro", uri=True) as db:
        assert db.execute("SELECT count(*) FROM dead_letter").fetchone() == (0,)


def all_arrived(receiver, qos):
    receiver.await_distinct(COUNT)
    assert receiver.first_sightings() == expected("s", COUNT)
    if qos == 2:
        assert receiver.repeated() == {}, "each once"


def test_version_auto_is_5_0_and_messages_pass_both_ways(remote, bridged, at, await_state):
    local = bridged(remote, forward=[rule("out/#")], subscribe=[rule("in/#")], **LOG_IN)
    await_state(local)
    log_has(local, r"a bridge is connected.*version=\"?5\.0")
    local.await_metric("ferrymq_packets_received_total", lambda seen: seen, 20, type="suback")
    here, there = at(local, "here"), at(remote, "there", username=USER, password="any")
    here.subscribe("in/#")
    there.subscribe("out/#")
    for client, other, topic in ((here, there, "out/a"), (there, here, "in/a")):
        client.publish(topic, b"x" * 50_000, qos=2, properties={"user_property": ("key", "value")})
        seen = other.message(timeout=20, topic=topic)
        assert seen.payload == b"x" * 50_000
        assert seen.properties["user_property"] == [("key", "value")]
    at_rest(local)


@QOS
@VERSIONS
def test_nothing_is_lost_when_the_link_is_cut_in_the_middle(qos, version, remote, bridged, closing):
    there = closing(Receiver(remote.port, "s/#", user=USER))
    link = closing(Proxy(remote))
    local = bridged(link, version=version, **OUT)
    source = closing(Sender(local.port, "s", COUNT, qos))
    for part in (5, 3, 2):
        there.await_distinct(COUNT // part)
        # It has received messages for which no acknowledgement comes back.
        before, link.is_mute = link.thrown, True
        poll(lambda: link.thrown > before or there.distinct() == COUNT, what=there)
        link.is_mute = False
        link.cut()
    source.done()
    all_arrived(there, qos)
    at_rest(local)


@QOS
def test_nothing_is_lost_when_the_local_broker_dies_in_the_middle(qos, remote, bridged, closing):
    there = closing(Receiver(remote.port, "s/#", user=USER))
    local = bridged(remote, **OUT)
    source = closing(Sender(local.port, "s", COUNT, qos))
    for part in (5, 2):
        there.await_distinct(COUNT // part)
        local.restart()
    source.done()
    all_arrived(there, qos)
    at_rest(local)


@QOS
def test_from_ejabberd_nothing_is_lost_when_the_local_broker_dies_in_the_middle(
        qos, remote, bridged, closing, await_state):
    local = bridged(remote, **IN)
    await_state(local)
    local.await_metric("ferrymq_packets_received_total", lambda seen: seen, 20, type="suback")
    here = closing(Receiver(local.port, "s/#"))
    source = closing(Sender(remote.port, "s", COUNT, qos, user=USER))
    for part in (5, 2):
        here.await_distinct(COUNT // part)
        local.restart()
    source.done()
    all_arrived(here, qos)
    at_rest(local)
