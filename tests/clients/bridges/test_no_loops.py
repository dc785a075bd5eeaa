"""Bridges that lead back to where a message came from come to rest.

Where there is one way between two brokers each message is there once. Where there are two, it may
take both, but it never returns.
"""

import collections

import pytest

import raw
from mosquittoproc import needs_mosquitto
from settings import BOTH_WAYS, bridge, rule

OUT = {"forward": [rule("#")]}
TURNS = 3
FULL = 0x97


@pytest.fixture
def linked(make_broker):
    """FerryMQs by name, with bridges `(from, to, keys)` between them."""
    def linked(names, *bridges):
        brokers = {name: make_broker(start=False, name=name) for name in names}
        for source, target, keys in bridges:
            brokers[source].settings |= bridge(
                brokers[target], name=f"to-{target}", client_id=f"from-{source}", **keys)
        for broker in brokers.values():
            broker.start()
        return brokers

    return linked


@pytest.fixture
def come_to_rest(at):
    """What has arrived at each broker, as counts of payloads, once nothing moves any more.

    Each broker's messages go first. Then marks follow them around, several times: a message that
    went in a circle would come before a mark of a later turn.
    """
    def come_to_rest(brokers, count=10, most=1):
        clients = {name: at(broker, f"watcher-{name}") for name, broker in brokers.items()}
        for client in clients.values():
            client.subscribe("#")
        for name, client in clients.items():
            for number in range(count):
                client.publish(f"t/{number}", f"{name}{number}", qos=number % 3, retain=number % 2 == 0)
        found = {name: collections.Counter() for name in brokers}
        for turn in range(TURNS):
            for name, client in clients.items():
                client.publish(f"mark/{turn}", f"mark {turn} {name}", qos=2)
            for name, client in clients.items():
                missing = {f"mark {turn} {other}" for other in brokers}
                while missing:
                    payload = client.message(timeout=30).payload.decode()
                    missing.discard(payload)
                    found[name][payload] += 1
        wanted = {f"{name}{number}" for name in brokers for number in range(count)} | {
            f"mark {turn} {name}" for turn in range(TURNS) for name in brokers}
        for name, counted in found.items():
            assert set(counted) == wanted, name
            repeated = {payload: times for payload, times in counted.items() if times > most}
            assert not repeated, f"more than {most} times at {name}"
        return found

    return come_to_rest


def await_links(brokers, *bridges, await_state):
    for source, target in bridges:
        await_state(brokers[source], name=f"to-{target}")


@pytest.mark.parametrize("version", ["5.0", "3.1.1"])
def test_one_bridge_of_everything_both_ways(version, linked, await_state, await_subscribed, come_to_rest):
    brokers = linked("ab", ("a", "b", {**BOTH_WAYS, "version": version}))
    await_subscribed(brokers["b"])
    come_to_rest(brokers)


def test_two_brokers_forward_everything_to_each_other(linked, await_state, come_to_rest):
    brokers = linked("ab", ("a", "b", OUT), ("b", "a", OUT))
    await_links(brokers, "ab", "ba", await_state=await_state)
    come_to_rest(brokers)


def test_two_bridges_of_everything_both_ways(linked, await_subscribed, come_to_rest):
    brokers = linked("ab", ("a", "b", BOTH_WAYS), ("b", "a", BOTH_WAYS))
    for broker in brokers.values():
        await_subscribed(broker)
    found = come_to_rest(brokers, most=2)
    for name, counted in found.items():
        assert {times for payload, times in counted.items() if payload.startswith(name)} == {1}, "none came back"


def test_a_ring_of_three_that_forwards_everything(linked, await_state, come_to_rest):
    brokers = linked("abc", ("a", "b", OUT), ("b", "c", OUT), ("c", "a", OUT))
    await_links(brokers, "ab", "bc", "ca", await_state=await_state)
    come_to_rest(brokers)


def test_a_ring_of_three_both_ways(linked, await_subscribed, come_to_rest):
    brokers = linked("abc", *((source, target, BOTH_WAYS) for source, target in ("ab", "bc", "ca")))
    for broker in brokers.values():
        await_subscribed(broker)
    # Clockwise, and the other way round.
    found = come_to_rest(brokers, most=2)
    for name, counted in found.items():
        assert {times for payload, times in counted.items() if payload.startswith(name)} == {1}, "none came back"


@needs_mosquitto
@pytest.mark.parametrize("version", ["5.0", "3.1.1"])
def test_everything_both_ways_with_mosquitto(version, mosquitto, bridged, await_subscribed, come_to_rest):
    remote = mosquitto()
    local = bridged(remote, version=version, **BOTH_WAYS)
    await_subscribed(remote)
    come_to_rest({"ferrymq": local, "mosquitto": remote})


def lines(local, *topics, version="mqttv311"):
    """Mosquitto's own bridge."""
    return ["connection north", f"address 127.0.0.1:{local.port}", *(f"topic {topic}" for topic in topics),
            f"bridge_protocol_version {version}", "cleansession false", "restart_timeout 1", "notifications true"]


@needs_mosquitto
@pytest.mark.parametrize("version", ["mqttv311", "mqttv50"])
def test_everything_both_ways_over_a_bridge_of_mosquitto(version, make_broker, mosquitto, await_subscribed,
                                                         come_to_rest):
    """In 3.1.1 its CONNECT says that it is a bridge; in 5.0 it subscribes with No Local."""
    local = make_broker()
    remote = mosquitto(*lines(local, "# both 2", version=version))
    await_subscribed(local)
    come_to_rest({"ferrymq": local, "mosquitto": remote})


@needs_mosquitto
@pytest.mark.parametrize("version", ["5.0", "3.1.1"])
def test_bridges_of_both_brokers_to_each_other(version, make_broker, mosquitto, at, await_subscribed):
    """Each for topics of its own: for the same ones Mosquitto would send in circles what comes
    over the other connection, also with a second Mosquitto."""
    local = make_broker(start=False)
    remote = mosquitto(*lines(local, "m/# both 2"), start=False)
    local.settings |= bridge(remote, version=version, forward=[rule("f/#")], subscribe=[rule("f/#")])
    local.start()
    remote.start()
    await_subscribed(local)
    await_subscribed(remote)
    clients = at(local, "watcher"), at(remote, "watcher")
    for client in clients:
        client.subscribe("f/#", "m/#")
    for turn in range(TURNS):
        for topic in ("f/a", "m/a"):
            for client in clients:
                client.publish(topic, f"{turn}", qos=2)
        for client in clients:
            got = collections.Counter((m.topic, m.payload) for m in (client.message(timeout=20) for _ in range(4)))
            assert got == {("f/a", b"%d" % turn): 2, ("m/a", b"%d" % turn): 2}


def test_full_queues_in_both_directions_drain(linked, at):
    """What comes from the other broker would not go back there, so that it needs no room in the
    queue for it."""
    limit = 20
    keys = {**OUT, "max_queued_messages": str(limit)}
    brokers = linked("ab", ("a", "b", keys), ("b", "a", keys))
    for broker in brokers.values():
        broker.terminate()
    # One alone, then the other one alone.
    for name, broker in brokers.items():
        broker.start()
        at(broker, "durable", durable=True).subscribe("#")
        here = at(broker, "here")
        answers = [here.publish("t", f"{name}{number}", qos=1).reason for number in range(limit + 1)]
        assert answers == [0] * limit + [FULL]
        broker.terminate()
    for broker in brokers.values():
        broker.start()
    for broker in brokers.values():
        durable = at(broker, "durable", durable=True)
        payloads = {durable.message(timeout=30).payload.decode() for _ in range(2 * limit)}
        assert payloads == {f"{name}{number}" for name in brokers for number in range(limit)}
        assert not broker.metric("ferrymq_bridge_dead_letters_total")


def test_a_client_sees_no_hops_and_cannot_make_them_up(linked, await_subscribed, at):
    brokers = linked("ab", ("a", "b", BOTH_WAYS))
    await_subscribed(brokers["b"])
    here, there = at(brokers["a"], "here"), at(brokers["b"], "there")
    there.subscribe("t")
    own = [("user_property", ("a", "1"))]
    here.publish("t", b"1", qos=1, properties=own)
    assert there.message(timeout=20).properties == {"user_property": [("a", "1")]}
    # Sixteen brokers would be too far.
    forged = ",".join(f"{number:016x}" for number in range(16))
    here.publish("t", b"2", qos=1, properties=[("user_property", ("ferrymq-hops", forged)), *own])
    message = there.message(timeout=20, payload=b"2")
    assert ("ferrymq-hops", forged) not in message.properties.get("user_property", [])
    # Nor in a will.
    will = raw.Will("t", b"will", 1, properties=[("user_property", ("ferrymq-hops", forged))])
    at(brokers["a"], "short", will=will).drop()
    there.message(timeout=20, payload=b"will")
    late = at(brokers["b"], "late", raw.V5)
    late.subscribe("t")
    assert late.until_quiet(late) == []
