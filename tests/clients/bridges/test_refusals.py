"""What a remote broker refuses becomes a dead letter, and the messages after it go on."""

import socket
import sqlite3
import struct

import pytest

import raw
from reach import log_has
from rawclient import Closed
from settings import rule

OUT = {"forward": [rule("#")]}
REFUSED, FULL = 0x87, 0x97
# Connections over which a message is sent for which there is no room.
ROOM_ATTEMPTS = 10


def dead_letters(broker):
    """Stops the broker, and reads them."""
    assert broker.terminate() == 0, broker.logged()
    with sqlite3.connect(f"file:{broker.database}?mode=ro", uri=True) as db:
        assert db.execute("SELECT count(*) FROM delivery").fetchone() == (0,), "and nothing waits"
        return db.execute(
            "SELECT bridge, topic, remote_topic, payload, qos, reason FROM dead_letter ORDER BY id").fetchall()


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("reason", [0x80, 0x83, REFUSED, 0x90, 0x99])
def test_a_message_that_is_refused_becomes_a_dead_letter(qos, reason, stand_in, bridged, at):
    local = bridged(stand_in, forward=[rule("t/#", remote_prefix="far/")])
    link = stand_in.link()
    link.accept()
    here = at(local, "here")
    for payload in (b"1", b"bad", b"2"):
        here.publish("t/a", payload, qos=qos)
    link.take(b"1")
    link.refuse(link.published(b"bad"), reason)
    link.take(b"2")
    # The next one is sent over the same connection.
    here.publish("t/a", b"3", qos=qos)
    link.take(b"3")
    local.await_metric("ferrymq_inflight_messages", lambda count: count == 0)
    assert dead_letters(local) == [("up", "t/a", "far/t/a", b"bad", qos, reason)]


def test_where_there_is_no_room_it_is_tried_again_first(stand_in, bridged, at):
    local = bridged(stand_in, **OUT)
    here = at(local, "here")
    here.publish("a", b"full", qos=1)
    for _ in range(4):
        link = stand_in.link()
        link.accept(True)
        link.refuse(link.published(b"full"), FULL)
        with pytest.raises(Closed):
            while link.recv(10).kind != raw.PUBLISH:
                pass
    link = stand_in.link()
    link.accept(True)
    link.take(b"full")
    here.publish("a", b"never", qos=1)
    for _ in range(ROOM_ATTEMPTS - 1):
        link.refuse(link.published(b"never"), FULL)
        link = stand_in.link()
        link.accept(True)
    link.refuse(link.published(b"never"), FULL)
    here.publish("a", b"next", qos=1)
    link.take(b"next")
    local.await_metric("ferrymq_inflight_messages", lambda count: count == 0)
    assert [(row[3], row[5]) for row in dead_letters(local)] == [(b"never", FULL)]


@pytest.mark.parametrize("with_reset", [False, True])
def test_the_message_for_which_a_3_1_1_broker_closes_is_found(with_reset, stand_in, bridged, at):
    """With a reset: TCP sends it if the broker closes before it has read all. Acknowledgements
    can be lost to it, so that other messages are suspected for a while."""
    local = bridged(stand_in, version="3.1.1", **OUT)
    here = at(local, "here")
    taken, closed = [], 0
    for number in range(6):
        here.publish("a", b"bad" if number == 2 else str(number), qos=1)
    while b"5" not in taken:
        link = stand_in.link()
        assert link.connect.is_bridge
        link.accept(True)
        try:
            while b"5" not in taken:
                packet = link.published()
                if packet.payload == b"bad":
                    break
                taken.append(packet.payload)
                link.acknowledge(packet)
        except Closed:
            continue
        if packet.payload == b"bad":
            closed += 1
            if with_reset:
                reset(link)
            else:
                link.close()
    assert list(dict.fromkeys(taken)) == [b"0", b"1", b"3", b"4", b"5"]
    assert 5 <= closed <= (15 if with_reset else 7)
    local.await_metric("ferrymq_inflight_messages", lambda count: count == 0)
    assert [(row[3], row[5]) for row in dead_letters(local)] == [(b"bad", None)]


def reset(link):
    link.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()


def test_a_5_0_broker_that_disconnects_for_a_message_gives_the_reason(stand_in, bridged, at):
    local = bridged(stand_in, **OUT)
    here = at(local, "here")
    here.publish("a", b"bad", qos=1)
    here.publish("a", b"next", qos=1)
    for _ in range(10):
        link = stand_in.link()
        link.accept(True)
        packet = link.published()
        if packet.payload == b"next":
            break
        link.send(raw.disconnect(0x99))
        link.close()
    link.acknowledge(packet)
    local.await_metric("ferrymq_inflight_messages", lambda count: count == 0)
    assert [(row[3], row[5]) for row in dead_letters(local)] == [(b"bad", 0x99)]


def test_with_on_refused_stop_the_bridge_stops_before_the_message(stand_in, bridged, at, await_state):
    local = bridged(stand_in, on_refused="stop", **OUT)
    here = at(local, "here")
    for payload in (b"bad", b"next"):
        here.publish("a", payload, qos=1)
    link = stand_in.link()
    link.accept()
    link.refuse(link.published(b"bad"), REFUSED)
    await_state(local, "0")
    # It keeps the message, and a restart tries again.
    assert local.restart(crash=False)
    link = stand_in.link()
    link.accept(True)
    link.take(b"bad")
    link.take(b"next")
    local.await_metric("ferrymq_inflight_messages", lambda count: count == 0)
    assert dead_letters(local) == []


@pytest.mark.parametrize("qos", [1, 2])
def test_receive_maximum_1_is_respected(qos, stand_in, bridged, at):
    local = bridged(stand_in, **OUT)
    link = stand_in.link()
    link.accept(receive_maximum=1)
    here = at(local, "here")
    for number in range(5):
        here.publish("a", str(number), qos=qos)
    for number in range(5):
        packet = link.published(str(number).encode())
        # Nothing follows until it is answered.
        with pytest.raises(TimeoutError):
            link.recv(0.1)
        link.acknowledge(packet)


@pytest.mark.parametrize("maximum", [0, 1])
def test_maximum_qos_of_the_remote_broker(maximum, stand_in, bridged, at):
    local = bridged(stand_in, **OUT)
    link = stand_in.link()
    link.accept(maximum_qos=maximum)
    here = at(local, "here")
    if maximum == 0:
        # Messages of QoS 1 would be lost, so it does not bridge, and says why.
        log_has(local, r"QoS 0 only.*qos = 0.*bridges\.up\.forward")
        return
    here.publish("a", b"2", qos=2)
    assert link.take(b"2").qos == 1


def test_what_is_larger_than_the_remote_broker_takes_is_not_sent(stand_in, bridged, at):
    local = bridged(stand_in, **OUT)
    link = stand_in.link()
    link.accept(maximum_packet_size=200)
    here = at(local, "here")
    for payload in (b"1", b"x" * 300, b"2"):
        here.publish("a", payload, qos=1)
    link.take(b"1")
    link.take(b"2")
    local.await_metric("ferrymq_inflight_messages", lambda count: count == 0)
    assert [(row[3], row[5]) for row in dead_letters(local)] == [(b"x" * 300, 0x95)]


def test_a_remote_broker_without_retained_messages_gets_none(stand_in, bridged, at):
    local = bridged(stand_in, **OUT)
    link = stand_in.link()
    link.accept(retain_available=0)
    at(local, "here").publish("a", b"retained", qos=1, retain=True)
    assert not link.take(b"retained").retain


def test_topic_aliases_are_used_as_far_as_the_remote_broker_allows(stand_in, bridged, at):
    local = bridged(stand_in, **OUT)
    link = stand_in.link()
    link.accept(topic_alias_maximum=1)
    here = at(local, "here")
    for topic in ("long/topic/name", "long/topic/name", "another"):
        here.publish(topic, b"m", qos=1)
    names = []
    for _ in range(3):
        packet = link.take(b"m")
        assert packet.properties.get("topic_alias", 1) == 1
        names.append(packet.topic)
    assert names[0] == "long/topic/name" and names[1] in ("", names[0]) and names[2] == "another"


def test_a_remote_broker_that_acknowledges_nothing_is_left(stand_in, bridged, at):
    local = bridged(stand_in, ack_timeout="1s", **OUT)
    here = at(local, "here")
    for payload in (b"1", b"2"):
        here.publish("a", payload, qos=1)
    link = stand_in.link()
    link.accept()
    first, second = link.published(b"1"), link.published(b"2")
    with pytest.raises(Closed):
        while link.recv(10):
            pass
    # Over the next connection both are sent again, as repeats under their packet identifiers.
    link = stand_in.link()
    link.accept(True)
    for before in (first, second):
        again = link.take(before.payload)
        assert again.dup and again.pid == before.pid


def test_a_remote_broker_that_is_silent_is_left_after_the_keep_alive(stand_in, bridged, monkeypatch):
    local = bridged(stand_in, keep_alive="1s", **OUT)
    link = stand_in.link()
    assert link.connect.keepalive == 1
    monkeypatch.setattr(link, "_parse", lambda: None)
    link.accept()
    with pytest.raises(Closed):
        link.recv(10)
    log_has(local, "a bridge has lost its connection")


def test_after_a_break_pubrels_and_packet_identifiers_are_resumed(stand_in, bridged, at):
    local = bridged(stand_in, **OUT)
    here = at(local, "here")
    for payload in (b"1", b"2"):
        here.publish("a", payload, qos=2)
    link = stand_in.link()
    link.accept()
    received, lost = link.published(b"1"), link.published(b"2")
    link.send(raw.ack(raw.PUBREC, received.pid))
    link.expect(raw.PUBREL, pid=received.pid)
    local.restart()
    link = stand_in.link()
    link.accept(True)
    packets = sorted((link.recv(20) for _ in range(2)), key=lambda packet: packet.pid)
    assert [packet.kind for packet in packets] == [raw.PUBREL, raw.PUBLISH]
    assert [packet.pid for packet in packets] == [received.pid, lost.pid]
    assert packets[1].dup
    # This time the link breaks. One at a time, since the remote broker may have closed for one.
    link.close()
    link = stand_in.link()
    link.accept(True)
    link.expect(raw.PUBREL, 20, pid=received.pid)
    link.send(raw.ack(raw.PUBCOMP, received.pid))
    again = link.published(b"2")
    assert again.dup and again.pid == lost.pid
    link.send(raw.ack(raw.PUBREC, lost.pid))
    link.expect(raw.PUBREL, pid=lost.pid)
    # The remote broker has lost its session: what it had received counts as delivered.
    link.close()
    link = stand_in.link()
    link.accept(False)
    link.expect(raw.PUBREL, 20, pid=lost.pid)
    link.send(raw.ack(raw.PUBCOMP, lost.pid, 0x92))
    here = at(local, "here")
    here.publish("a", b"3", qos=2)
    link.take(b"3")
    local.await_metric("ferrymq_inflight_messages", lambda count: count == 0)
    assert dead_letters(local) == []


def test_what_comes_in_is_acknowledged_only_once_it_is_durable(stand_in, bridged, at):
    """kill -9 right after PUBREC and PUBACK: the message is there, once."""
    local = bridged(stand_in, subscribe=[rule("in/#")])
    here = at(local, "here", durable=True)
    here.subscribe("in/#")
    here.drop()
    link = stand_in.link()
    link.accept()
    link.send(raw.publish("in/1", b"one", 1, 1, version=raw.V5), raw.publish("in/2", b"two", 2, 2, version=raw.V5))
    for kind, pid in ((raw.PUBACK, 1), (raw.PUBREC, 2)):
        assert link.answer(kind, pid, 20).reason == 0
    local.restart()
    link = stand_in.link()
    assert not link.connect.clean
    link.accept(True)
    # It has not seen our PUBREC, and repeats.
    link.send(raw.publish("in/2", b"two", 2, 2, dup=True, version=raw.V5))
    assert link.answer(raw.PUBREC, 2, 20).reason == 0
    link.send(raw.ack(raw.PUBREL, 2))
    assert link.answer(raw.PUBCOMP, 2, 20).reason == 0
    here = at(local, "here", durable=True)
    publisher = at(local, "publisher")
    assert sorted(message.payload for message in here.until_quiet(publisher)) == [b"one", b"two"]


def test_what_the_bridge_says_of_itself(stand_in, bridged):
    bridged(stand_in, client_id="edge7", username="edge", keep_alive="30s", session_expiry="1h",
            receive_maximum=7, subscribe=[rule("in/#", qos=1)])
    link = stand_in.link()
    connect = link.connect
    assert (connect.version, connect.client_id, connect.username) == (raw.V5, "edge7", "edge")
    assert (connect.keepalive, connect.clean, connect.will) == (30, False, None)
    assert connect.properties["session_expiry"] == 3600
    assert connect.properties["receive_maximum"] == 7
    link.accept()
    with pytest.raises(TimeoutError):
        link.recv(0.3)
    # QoS 1, No Local, Retain As Published, retained messages only for a new subscription.
    assert link.subscribed == [("in/#", 1 | 4 | 8 | 16)]


def test_more_than_eight_filters_go_in_several_subscribes(stand_in, bridged):
    bridged(stand_in, subscribe=[rule(f"in/{number}") for number in range(20)])
    link = stand_in.link()
    link.accept()
    with pytest.raises(TimeoutError):
        link.recv(0.5)
    assert sorted(name for name, _ in link.subscribed) == sorted(f"in/{number}" for number in range(20))
    assert max(link.sizes) <= 8


def test_a_remote_broker_that_refuses_5_0_is_asked_in_3_1_1(stand_in, bridged, at):
    local = bridged(stand_in, **OUT)
    tried = []
    for _ in range(3):
        link = stand_in.link()
        tried.append((link.connect.version, link.connect.is_bridge))
        if tried[-1] == (raw.V311, False):
            break
        # As brokers of 3.1.1 do it, in their own form.
        link.send(raw.frame(raw.CONNACK, bytes([0, 1])))
        link.close()
    assert tried == [(raw.V5, False), (raw.V311, True), (raw.V311, False)]
    link.accept()
    at(local, "here").publish("a", b"m", qos=2)
    assert link.take(b"m").qos == 2
