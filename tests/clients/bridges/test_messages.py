"""What passes a bridge, and as what: topics, QoS, RETAIN, expiry and properties."""

import time

import pytest

import raw
from mosquittoproc import needs_mosquitto
from settings import bridge, rule

REMOTES = pytest.mark.parametrize("kind,version", [
    pytest.param("mosquitto", "5.0", marks=needs_mosquitto),
    pytest.param("mosquitto", "3.1.1", marks=needs_mosquitto),
    ("ferrymq", "5.0"), ("ferrymq", "3.1.1")])
KINDS = pytest.mark.parametrize("kind", [pytest.param("mosquitto", marks=needs_mosquitto), "ferrymq"])
PROPERTIES = [("payload_format", 1), ("content_type", "text/plain"), ("response_topic", "answers/here"),
              ("correlation_data", b"\0\1\2"), ("user_property", ("b", "2")), ("user_property", ("a", "1")),
              ("user_property", ("b", "2"))]


def seen(client, mark):
    """Topic, payload and QoS of what comes before the message with this payload."""
    found = []
    while True:
        message = client.message(timeout=20)
        if message.payload == mark:
            return found
        found.append((message.topic, message.payload, message.qos))


@REMOTES
def test_messages_pass_both_ways_with_prefixes_at_each_qos(
        kind, version, make_remote, bridged, at, await_subscribed):
    remote = make_remote(kind)
    local = bridged(remote, version=version, forward=[rule("site/#", remote_prefix="edge7/")],
                    subscribe=[rule("commands/#", local_prefix="up/", remote_prefix="edge7/")])
    await_subscribed(remote)
    there, here = at(remote, "there"), at(local, "here")
    there.subscribe("#")
    here.subscribe("#")
    here.publish("other/x", b"stays here", qos=1)
    there.publish("edge7/other/x", b"stays there", qos=1)
    for qos in (0, 1, 2):
        here.publish(f"site/{qos}", b"out", qos=qos)
        there.publish(f"edge7/commands/{qos}", b"in", qos=qos)
    here.publish("site/end", b"last out", qos=2)
    there.publish("edge7/commands/end", b"last in", qos=2)
    for client, mark, topic, stays in ((there, b"last out", "edge7/site/{}", b"stays here"),
                                       (here, b"last in", "up/commands/{}", b"stays there")):
        way = mark.split()[1]
        messages = seen(client, mark)
        assert sorted(m for m in messages if m[1] == way) == [(topic.format(qos), way, qos) for qos in (0, 1, 2)]
        assert stays not in [payload for _, payload, _ in messages]


@KINDS
def test_the_qos_of_a_rule_is_a_limit_in_both_directions(kind, make_remote, bridged, at, await_subscribed):
    remote = make_remote(kind)
    local = bridged(remote, forward=[rule("out/#", qos=1), rule("light/#", qos=0)],
                    subscribe=[rule("in/#", qos=1)])
    await_subscribed(remote)
    there, here = at(remote, "there"), at(local, "here")
    there.subscribe("out/#", "light/#")
    here.subscribe("in/#")
    for topic in ("out/a", "light/a"):
        for qos in (0, 1, 2):
            here.publish(topic, str(qos), qos=qos)
    got = sorted((m.topic, m.payload, m.qos) for m in (there.message(timeout=20) for _ in range(6)))
    assert got == [("light/a", b"0", 0), ("light/a", b"1", 0), ("light/a", b"2", 0),
                   ("out/a", b"0", 0), ("out/a", b"1", 1), ("out/a", b"2", 1)]
    for qos in (0, 1, 2):
        there.publish("in/a", str(qos), qos=qos)
    got = sorted((m.payload, m.qos) for m in (here.message(timeout=20) for _ in range(3)))
    assert got == [(b"0", 0), (b"1", 1), (b"2", 1)]


@KINDS
def test_the_first_rule_that_matches_decides_and_an_empty_filter_maps_one_topic(
        kind, make_remote, bridged, at, await_state):
    remote = make_remote(kind)
    there = at(remote, "there")
    there.subscribe("#")
    local = bridged(remote, forward=[rule("", local_prefix="site/door", remote_prefix="doors/7"),
                                     rule("site/#", remote_prefix="x/"), rule("#", local_prefix="cut/")])
    await_state(local)
    here = at(local, "here")
    for topic in ("site/door", "site/other", "cut/away"):
        here.publish(topic, b"m", qos=1)
    assert {there.message().topic for _ in range(3)} == {"doors/7", "x/site/other", "away"}


@REMOTES
def test_messages_that_are_retained_arrive_as_retained(
        kind, version, make_remote, bridged, at, await_subscribed):
    """Those that were there before the bridge, and those that are published later."""
    remote = make_remote(kind)
    at(remote, "before").publish("in/before", b"there", qos=1, retain=True)
    local = bridged(remote, version=version, forward=[rule("out/#")], subscribe=[rule("in/#")])
    await_subscribed(remote)
    here, there = at(local, "here"), at(remote, "there")
    here.publish("out/later", b"here", qos=1, retain=True)
    there.publish("in/later", b"there", qos=1, retain=True)
    here.publish("out/plain", b"here", qos=1)
    there.publish("in/plain", b"there", qos=1)
    for client, topics in ((at(remote, "w1"), ["out/later"]), (at(local, "w2"), ["in/before", "in/later"])):
        for topic in topics:
            await_retained(client, topic)
    for client, topic in ((at(remote, "late"), "out/#"), (at(local, "late"), "in/#")):
        client.subscribe(topic)
        retained = client.until_quiet(client)
        assert all(message.retain for message in retained)
        wanted = {"out/#": {"out/later"}, "in/#": {"in/before", "in/later"}}[topic]
        assert {message.topic for message in retained} == wanted


def await_retained(client, topic, within=20):
    """Asks for it until it is there."""
    deadline = time.monotonic() + within
    while True:
        client.subscribe(topic)
        if client.until_quiet(client):
            return
        assert time.monotonic() < deadline, f"nothing is retained at {topic}"
        client.unsubscribe(topic)


@KINDS
def test_what_is_retained_here_before_a_bridge_exists_is_forwarded(
        kind, make_remote, make_broker, at):
    remote = make_remote(kind)
    local = make_broker(name="local")
    at(local, "before").publish("out/before", b"old", qos=1, retain=True)
    there = at(remote, "there")
    there.subscribe("out/#", options=8)
    local.restart(crash=False, env=bridge(remote, forward=[rule("out/#")]))
    assert there.message(timeout=20, topic="out/before", payload=b"old").retain
    # And only once: a restart sends it no more.
    local.await_metric("ferrymq_inflight_messages", lambda count: count == 0)
    local.restart(crash=False)
    at(local, "here").publish("out/mark", b"mark", qos=1)
    assert there.message(timeout=20).topic == "out/mark"


@KINDS
def test_a_rule_with_retain_false_removes_the_flag(kind, make_remote, bridged, at, await_subscribed):
    remote = make_remote(kind)
    local = bridged(remote, forward=[rule("out/#", retain=False)], subscribe=[rule("in/#", retain=False)])
    await_subscribed(remote)
    here, there = at(local, "here"), at(remote, "there")
    here.subscribe("in/#", options=8)
    there.subscribe("out/#", options=8)
    here.publish("out/a", b"m", qos=1, retain=True)
    there.publish("in/a", b"m", qos=1, retain=True)
    for client, topic in ((there, "out/a"), (here, "in/a")):
        assert not client.message(timeout=20, topic=topic).retain
    for broker, topic in ((remote, "out/a"), (local, "in/a")):
        late = at(broker, "late")
        late.subscribe(topic)
        assert late.until_quiet(late) == []


@KINDS
def test_expiry_is_counted_down_while_the_link_is_down(kind, make_remote, bridged, at):
    remote = make_remote(kind)
    there = at(remote, "there", durable=True)
    there.subscribe("t")
    there.disconnect()
    remote.kill() if kind == "ferrymq" else remote.restart(crash=False).kill()
    local = bridged(remote, forward=[rule("t")])
    here = at(local, "here")
    here.publish("t", b"short", qos=1, properties={"message_expiry": 1})
    here.publish("t", b"long", qos=1, properties={"message_expiry": 100})
    here.publish("t", b"ever", qos=1)
    # What expires does so by the clock.
    time.sleep(2.1)
    remote.start()
    there = at(remote, "there", durable=True)
    message = there.message(timeout=20, payload=b"long")
    assert 60 < message.properties["message_expiry"] <= 98
    assert there.message(timeout=20, payload=b"ever").properties == {}


@KINDS
def test_properties_of_5_0_pass_unchanged_and_nobody_sees_others(
        kind, make_remote, bridged, at, await_subscribed):
    remote = make_remote(kind)
    local = bridged(remote, version="5.0", forward=[rule("out/#")], subscribe=[rule("in/#")])
    await_subscribed(remote)
    here, there = at(local, "here"), at(remote, "there")
    here.subscribe("in/#")
    there.subscribe("out/#")
    wanted = raw._Reader(raw.props(PROPERTIES)).properties()
    for publisher, receiver, topic in ((here, there, "out/a"), (there, here, "in/a")):
        for qos in (0, 1, 2):
            publisher.publish(topic, "text", qos=qos, properties=PROPERTIES)
        got = [receiver.message(timeout=20, topic=topic) for _ in range(3)]
        assert [message.properties for message in got] == [wanted] * 3


def test_without_5_0_properties_are_left_out_and_messages_pass(make_remote, bridged, at, await_state):
    remote = make_remote("ferrymq")
    there = at(remote, "there")
    there.subscribe("#")
    local = bridged(remote, version="3.1.1", forward=[rule("#")])
    await_state(local)
    at(local, "here").publish("t", "text", qos=2, properties=PROPERTIES)
    assert there.message(timeout=20, topic="t", payload=b"text", qos=2).properties == {}


@needs_mosquitto
def test_the_remote_brokers_own_topics_are_brought_under_a_prefix(mosquitto, bridged, at):
    local = bridged(mosquitto(), subscribe=[
        rule("clients/connected", local_prefix="status/", remote_prefix="$SYS/broker/")])
    here = at(local, "here")
    here.subscribe("status/#")
    assert here.message(timeout=20).topic == "status/clients/connected"


def test_a_shared_subscription_shares_messages_between_bridge_and_client(make_remote, bridged, at, await_state):
    remote = make_remote("ferrymq")
    there = at(remote, "there")
    there.subscribe("#")
    local = bridged(remote, forward=[rule("$share/up/jobs/#", remote_prefix="edge7/")])
    await_state(local)
    member, publisher = at(local, "member"), at(local, "publisher")
    member.subscribe("$share/up/jobs/#", qos=1)
    for number in range(20):
        publisher.publish("jobs/a", str(number), qos=1)
    publisher.publish("jobs/a", b"", qos=1)
    member_got = member.until_quiet(publisher)
    forwarded = [there.message(timeout=20) for _ in range(21 - len(member_got))]
    assert all(message.topic == "edge7/jobs/a" for message in forwarded)
    assert member_got and forwarded
    payloads = sorted(message.payload for message in member_got + forwarded)
    assert payloads == sorted([str(number).encode() for number in range(20)] + [b""])
