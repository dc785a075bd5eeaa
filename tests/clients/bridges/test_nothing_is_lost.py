"""Nothing that was acknowledged is lost while the link, or a broker at either end, fails.

At QoS 2 everything arrives once. At QoS 1 it may repeat, and the order of what is new is kept.

What Mosquitto 2.0 loses by itself is kept out of the picture: its sessions are on disk only after
a clean stop, and to subscribers at QoS 1 and 2 it changes the order while their window is full,
and repeats after a restart what they have completed. So they subscribe at QoS 0, for which it
writes a message before it answers the bridge, and are back after its restarts before the bridge.
"""

import signal

import pytest

import raw
from mosquittoproc import needs_mosquitto
from proxy import Proxy
from reach import poll
from settings import rule
from streams import TOPICS, expected

MOSQUITTO = pytest.param("mosquitto", marks=needs_mosquitto)
KINDS = pytest.mark.parametrize("kind", [MOSQUITTO, "ferrymq"])
QOS = pytest.mark.parametrize("qos", [1, 2])
VERSIONS = pytest.mark.parametrize("version", ["5.0", "3.1.1"])
COUNT = 1200
OUT, IN = {"forward": [rule("s/#")]}, {"subscribe": [rule("s/#")]}


@pytest.fixture
def arrivals(receiver):
    """What arrives at a remote broker."""
    return lambda remote: receiver(remote.port, "s/#", qos=0 if remote.kind == "mosquitto" else 2)


def restart(remote, there, local, crash):
    """While the bridge stands still: it connects again after the subscriber."""
    local.process.send_signal(signal.SIGSTOP)
    there.subscribed = False
    remote.restart(crash=crash)
    there.until(lambda: there.subscribed)
    local.process.send_signal(signal.SIGCONT)


def all_arrived(receiver, qos, count=COUNT):
    receiver.await_distinct(count)
    assert receiver.first_sightings() == expected("s", count)
    if qos == 2:
        assert receiver.repeated() == {}, "each once"


@KINDS
@VERSIONS
def test_what_is_published_while_the_remote_broker_is_down_arrives_in_order(
        kind, version, make_remote, bridged, at, arrivals):
    count = 500
    remote = make_remote(kind, start=False)
    local = bridged(remote, version=version, **OUT)
    here = at(local, "here")
    for number in range(count):
        # Acknowledged at once: here, not there. Each topic has a QoS of its own.
        topic = number % TOPICS
        here.publish(f"s/{topic}", str(number), qos=1 + topic % 2)
    # Before the bridge comes back: a subscriber is there first.
    local.terminate()
    remote.start()
    there = arrivals(remote)
    local.start()
    # At QoS 1 nothing repeats either: the link did not break.
    all_arrived(there, 2, count)
    # The link goes on.
    at(local, "here").publish("s/0", str(count), qos=2)
    there.await_distinct(count + 1)


@KINDS
def test_the_queue_of_a_bridge_is_full_and_publishers_are_told(kind, make_remote, bridged, at):
    remote = make_remote(kind)
    there = at(remote, "there", durable=True)
    there.subscribe("s/#")
    remote.restart(crash=False).kill()
    local = bridged(remote, max_queued_messages=5, **OUT)
    here = at(local, "here")
    assert [here.publish("s/0", str(n), qos=1).reason for n in range(6)] == [0] * 5 + [0x97]
    remote.start()
    there = at(remote, "there", durable=True)

    def goes_on():
        return here.publish("s/1", b"6", qos=1).reason == 0

    poll(goes_on, what="the queue stays full")
    seen = [there.message(timeout=20).payload]
    while seen[-1] != b"6":
        seen.append(there.message().payload)
    assert seen == [b"0", b"1", b"2", b"3", b"4", b"6"]


@KINDS
@QOS
def test_the_local_broker_dies_in_the_middle(kind, qos, make_remote, bridged, sender, arrivals):
    remote = make_remote(kind)
    there = arrivals(remote)
    local = bridged(remote, **OUT)
    source = sender(local.port, "s", COUNT, qos)
    for part in (5, 3):
        there.await_distinct(COUNT // part)
        local.restart()
    source.done()
    all_arrived(there, qos)


@QOS
@VERSIONS
def test_the_remote_broker_dies_in_the_middle(qos, version, make_remote, bridged, sender, receiver):
    remote = make_remote("ferrymq")
    there = receiver(remote.port, "s/#")
    local = bridged(remote, version=version, **OUT)
    source = sender(local.port, "s", COUNT, qos)
    for part in (5, 3):
        there.await_distinct(COUNT // part)
        remote.restart()
    source.done()
    all_arrived(there, qos)


@needs_mosquitto
@QOS
@VERSIONS
def test_mosquitto_restarts_in_the_middle_and_resumes_its_sessions(
        qos, version, make_remote, bridged, sender, arrivals):
    remote = make_remote("mosquitto")
    there = arrivals(remote)
    local = bridged(remote, version=version, **OUT)
    source = sender(local.port, "s", COUNT, qos)
    for part in (5, 3):
        there.await_distinct(COUNT // part)
        restart(remote, there, local, crash=False)
    source.done()
    all_arrived(there, qos)


@needs_mosquitto
@VERSIONS
def test_mosquitto_dies_and_forgets_its_sessions(version, make_remote, bridged, sender, arrivals):
    """What it has not acknowledged is sent again."""
    remote = make_remote("mosquitto")
    there = arrivals(remote)
    local = bridged(remote, version=version, **OUT)
    source = sender(local.port, "s", COUNT, 1)
    for part in (5, 3):
        there.await_distinct(COUNT // part)
        restart(remote, there, local, crash=True)
    source.done()
    all_arrived(there, 1)


@QOS
@VERSIONS
def test_from_a_remote_broker_nothing_is_lost_when_either_end_dies(
        qos, version, make_remote, bridged, sender, receiver, await_subscribed):
    remote = make_remote("ferrymq")
    local = bridged(remote, version=version, **IN)
    await_subscribed(remote)
    here = receiver(local.port, "s/#")
    source = sender(remote.port, "s", COUNT, qos)
    for part, broker in ((6, local), (4, remote), (3, local)):
        here.await_distinct(COUNT // part)
        broker.restart()
    source.done()
    all_arrived(here, qos)


@needs_mosquitto
@QOS
@VERSIONS
def test_from_mosquitto_nothing_is_lost_when_the_local_broker_dies(
        qos, version, make_remote, bridged, sender, receiver, await_subscribed):
    remote = make_remote("mosquitto")
    local = bridged(remote, version=version, **IN)
    await_subscribed(remote)
    here = receiver(local.port, "s/#")
    source = sender(remote.port, "s", COUNT, qos)
    for part, broker in ((5, local), (3, local)):
        here.await_distinct(COUNT // part)
        broker.restart()
    source.done()
    all_arrived(here, qos)


@KINDS
def test_messages_wait_at_the_remote_broker_while_the_local_one_is_down(
        kind, make_remote, bridged, at, receiver, await_subscribed):
    remote = make_remote(kind)
    local = bridged(remote, **IN)
    await_subscribed(remote)
    here = receiver(local.port, "s/#")
    local.kill()
    there = at(remote, "there")
    for number in range(200):
        there.publish(f"s/{number % TOPICS}", str(number), qos=1 + number % TOPICS % 2)
    local.start()
    all_arrived(here, 2, 200)


def test_while_the_link_is_down_qos_0_is_queued_only_if_it_is_asked_for(make_remote, bridged, at):
    remote = make_remote("ferrymq")
    there = at(remote, "there", durable=True)
    there.subscribe("s/#", "t/#")
    remote.kill()
    asks = bridged(remote, queue_qos0=True, **OUT)
    does_not = bridged(remote, client_id="other", forward=[rule("t/#")])
    for broker, topic in ((asks, "s/0"), (does_not, "t/0")):
        here = at(broker, "here")
        here.publish(topic, b"zero", qos=0)
        here.publish(topic, b"one", qos=1)
    remote.start()
    there = at(remote, "there", durable=True)
    seen = [(m.topic, m.payload) for m in (there.message(timeout=20) for _ in range(3))]
    assert sorted(seen) == [("s/0", b"one"), ("s/0", b"zero"), ("t/0", b"one")]
    assert there.until_quiet(there) == []


@KINDS
@VERSIONS
def test_a_link_that_breaks_under_a_full_window_of_qos_2_goes_on(
        kind, version, make_remote, bridged, at, arrivals, closing, await_state):
    """The remote broker has received all of the window; of its PUBRECs none has come back."""
    remote = make_remote(kind)
    there = arrivals(remote)
    link = closing(Proxy(remote))
    local = bridged(link, version=version, **OUT)
    await_state(local)
    here = at(local, "here")
    link.is_mute = True
    for number in range(100):
        here.publish(f"s/{number % TOPICS}", str(number), qos=2)

    def received():
        if kind == "mosquitto":
            return remote.logged().count("Received PUBLISH from ferrymq-up")
        return remote.metric("ferrymq_packets_received_total", type="publish")

    poll(lambda: received() >= 20, what=received)
    link.is_mute = False
    link.cut()
    all_arrived(there, 2, 100)


def test_a_proxy_before_a_broker_that_is_down_does_not_make_a_bridge_speak_3_1_1(
        make_remote, bridged, at, closing, await_state):
    """It closes connections, as brokers do that do not know 5.0. Properties would be lost."""
    remote = make_remote("ferrymq")
    there = at(remote, "there", durable=True)
    there.subscribe("s/#")
    local = bridged(closing(Proxy(remote)), **OUT)
    await_state(local)
    remote.kill()
    local.await_metric("ferrymq_bridge_reconnects_total", lambda count: count >= 3, 20, reason="refused")
    own = [("user_property", ("a", "1"))]
    at(local, "here").publish("s/0", b"x", qos=1, properties=own)
    remote.start()
    there = at(remote, "there", durable=True)
    assert there.message(timeout=20).properties == {"user_property": [("a", "1")]}
