"""What an operator configures, changes and sees."""

import os
import signal
import time

import pytest

import raw
from mosquittoproc import needs_mosquitto
from reach import await_reload, log_has, poll, reloads, replace
from settings import bridge, rule, table
from standin import StandIn

OUT = {"forward": [rule("#")]}


@pytest.fixture
def from_file(make_broker):
    """A broker with these bridges in its configuration file; `change` writes others and reloads."""
    def from_file(*tables):
        broker = make_broker(start=False)
        broker.file = broker.directory / "ferrymq.toml"
        broker.file.write_text("\n".join(tables))
        broker.settings["CONFIG"] = broker.file

        def change(*tables):
            before = reloads(broker)
            replace(broker.file, "\n".join(tables))
            broker.process.send_signal(signal.SIGHUP)
            await_reload(broker, before)

        broker.change = change
        return broker.start()

    return from_file


def test_the_password_file_is_read_at_each_dial(stand_in, bridged, tmp_path):
    file = tmp_path / "token"
    file.write_text("first\n")
    bridged(stand_in, username="edge", password_file=str(file), **OUT)
    link = stand_in.link()
    assert (link.connect.username, link.connect.password) == ("edge", b"first")
    link.accept()
    file.write_bytes(b"second")
    link.close()
    link = stand_in.link()
    assert link.connect.password == b"second"
    # Without the file it does not connect, and says which.
    file.unlink()
    link.close()
    with pytest.raises(TimeoutError):
        stand_in.link(2.5)
    file.write_text("third")
    assert stand_in.link().connect.password == b"third"


def test_a_password_file_that_is_missing_is_named(stand_in, bridged, tmp_path):
    local = bridged(stand_in, username="edge", password_file=str(tmp_path / "absent"), **OUT)
    log_has(local, r"bridges\.up\.password_file.*absent.*No such file")


def test_a_wrong_password_is_told_and_tried_again(stand_in, bridged):
    local = bridged(stand_in, username="edge", password="s3cret-7", version="5.0", **OUT)
    stand_in.link().connack(0x86)
    log_has(local, r"(?s)cannot connect.*(0x86|user name or password)")
    link = stand_in.link()
    assert link.connect.password == b"s3cret-7"
    link.accept()
    log_has(local, "a bridge is connected")
    assert "s3cret-7" not in local.logged()


def test_the_addresses_are_tried_in_their_order(stand_in, bridged, port, at):
    local = bridged([port(), port(), stand_in], **OUT)
    link = stand_in.link()
    link.accept()
    at(local, "here").publish("t", b"m", qos=1)
    link.take(b"m")


def test_after_a_break_it_begins_with_the_first_address_again(make_broker, stand_in, bridged, await_subscribed):
    first = make_broker(start=False, name="first")
    bridged([first, stand_in], subscribe=[rule("in/#")])
    link = stand_in.link()
    link.accept()
    first.start()
    link.close()
    await_subscribed(first)


def test_connects_are_a_second_apart_at_least(stand_in, bridged):
    bridged(stand_in, version="5.0", **OUT)
    times = []
    for answer in ("refuse", "close", "accept", "accept"):
        link = stand_in.link()
        times.append(time.monotonic())
        if answer == "refuse":
            link.connack(0x88)
        elif answer == "accept":
            link.accept()
        link.close()
    assert min(after - before for before, after in zip(times, times[1:])) > 0.9


def test_a_paused_bridge_queues_and_does_not_connect(stand_in, from_file, at):
    local = from_file(table(stand_in, paused=True, **OUT))
    at(local, "here").publish("t", b"1", qos=1)
    with pytest.raises(TimeoutError):
        stand_in.link(1.5)
    local.change(table(stand_in, **OUT))
    link = stand_in.link()
    link.accept()
    link.take(b"1")
    local.change(table(stand_in, paused=True, **OUT))
    # With the will, if there is one: the bridge is away.
    link.expect(raw.DISCONNECT, 20, reason=4)
    at(local, "later").publish("t", b"2", qos=1)
    local.change(table(stand_in, **OUT))
    link = stand_in.link()
    link.accept(True)
    link.take(b"2")


def test_a_reload_adds_changes_and_removes_bridges_without_touching_another(stand_in, closing, from_file, at):
    changed, added, kept = (closing(StandIn()) for _ in range(3))
    keeps = table(kept, name="kept", forward=[rule("kept/#")])
    removes = table(stand_in, name="removed", forward=[rule("removed/#")])
    local = from_file(keeps, removes, table(changed, name="changed", forward=[rule("old/#")]))
    links = {name: remote.link() for name, remote in (("kept", kept), ("removed", stand_in), ("changed", changed))}
    for link in links.values():
        link.accept()
    here = at(local, "here")
    # What is in flight on the link that nobody touches stays so.
    here.publish("kept/1", b"1", qos=1)
    in_flight = links["kept"].published(b"1")

    local.change(keeps, table(changed, name="changed", forward=[rule("new/#")]),
                 table(added, name="added", forward=[rule("added/#")]))
    for name in ("removed", "changed"):
        links[name].expect(raw.DISCONNECT, 20)
    link = changed.link()
    link.accept(True)
    other = added.link()
    other.accept()
    for topic in ("old/1", "removed/1", "added/1", "new/1", "kept/2"):
        here.publish(topic, topic, qos=1)
    assert link.take().topic == "new/1"
    assert other.take().topic == "added/1"
    links["kept"].acknowledge(in_flight)
    assert links["kept"].take().topic == "kept/2"
    with pytest.raises(TimeoutError):
        kept.link(0.1)
    with pytest.raises(TimeoutError):
        stand_in.link(0.1)


def test_a_removed_bridge_keeps_its_queue_and_queues_nothing_more(stand_in, from_file, at):
    local = from_file(table(stand_in, paused=True, **OUT))
    here = at(local, "here")
    here.publish("t", b"before", qos=1)
    local.change("")
    log_has(local, "a bridge was removed")
    here.publish("t", b"meanwhile", qos=1)
    # Over a restart as well.
    local.restart(crash=False)
    here = at(local, "here")
    here.publish("t", b"after the restart", qos=1)
    local.change(table(stand_in, **OUT))
    link = stand_in.link()
    link.accept()
    link.take(b"before")
    here.publish("t", b"again", qos=1)
    link.take(b"again")


def test_a_reload_with_a_wrong_bridge_changes_nothing(stand_in, from_file, at):
    local = from_file(table(stand_in, **OUT))
    link = stand_in.link()
    link.accept()
    local.change(table(stand_in, name="other", forward=[rule("a/#/b")]))
    log_has(local, r"bridges\.other\.forward")
    at(local, "here").publish("t", b"m", qos=1)
    link.take(b"m")


def test_max_rate_is_not_exceeded(stand_in, bridged, at):
    local = bridged(stand_in, max_rate={"messages": 20}, **OUT)
    here = at(local, "here")
    for number in range(60):
        here.publish("t", str(number), qos=1)
    link = stand_in.link()
    link.accept()
    times = []
    for number in range(60):
        link.take(str(number).encode())
        times.append(time.monotonic())
    # A second's worth may go at once.
    assert 1.7 < times[-1] - times[0] < 6


@pytest.mark.parametrize("version", [raw.V311, raw.V5])
@pytest.mark.parametrize("client_id", ["bridge:up", "bridge:", "bridge:other"])
def test_no_client_may_take_the_client_id_of_a_bridge(version, client_id, stand_in, bridged, at):
    local = bridged(stand_in, **OUT)
    link = stand_in.link()
    link.accept()
    with pytest.raises(AssertionError) as refused:
        at(local, client_id, version)
    assert f"reason={0x85 if version == raw.V5 else 2}" in str(refused.value)
    at(local, "bridge").publish("t", b"m", qos=1)
    link.take(b"m")


def test_the_state_of_the_link_is_retained_locally(stand_in, bridged, at):
    local = bridged(stand_in, name="north", version="5.0", **OUT)
    watcher = at(local, "watcher")
    topic = "$SYS/broker/connection/north/state"
    watcher.subscribe(topic)
    link = stand_in.link()
    link.accept()

    def await_payload(wanted):
        while (message := watcher.message(timeout=20)).payload != wanted:
            pass
        assert message.topic == topic

    await_payload(b"1")
    link.close()
    await_payload(b"0")
    late = at(local, "late")
    late.subscribe(topic)
    assert late.message(payload=b"0").retain
    stand_in.link().accept(True)
    await_payload(b"1")


@needs_mosquitto
@pytest.mark.parametrize("version", ["5.0", "3.1.1"])
@pytest.mark.parametrize("own", [None, "status/edge"])
def test_with_notifications_mosquitto_has_the_state_too(version, own, mosquitto, bridged, at):
    remote = mosquitto()
    watcher = at(remote, "watcher")
    topic = own or "$SYS/broker/connection/edge7/state"
    watcher.subscribe(topic)
    extra = {"notification_topic": own} if own else {}
    local = bridged(remote, version=version, client_id="edge7", notifications=True, **extra, **OUT)
    assert watcher.message(timeout=20).payload == b"1"
    late = at(remote, "late")
    late.subscribe(topic)
    assert late.message(payload=b"1").retain
    local.kill()
    assert watcher.message(timeout=20).payload == b"0"
    local.start()
    assert watcher.message(timeout=20).payload == b"1"
    # Also when it leaves in order.
    assert local.terminate() == 0
    assert watcher.message(timeout=20).payload == b"0"


def test_without_notifications_nothing_is_published_at_the_remote_broker(make_remote, bridged, at, await_state):
    remote = make_remote("ferrymq")
    watcher = at(remote, "watcher")
    watcher.subscribe("#", "$SYS/broker/connection/#")
    local = bridged(remote, **OUT)
    await_state(local)
    assert watcher.until_quiet(watcher) == []


@needs_mosquitto
def test_bridges_of_mosquitto_are_accepted_with_their_notifications(make_broker, mosquitto, at):
    local = make_broker()
    mosquitto("connection north", f"address 127.0.0.1:{local.port}", "topic # both 2", "notifications true",
              "try_private true", "restart_timeout 1")
    local.await_metric("ferrymq_packets_received_total", lambda count: count >= 1, 20, type="subscribe")
    log = local.logged()
    assert "authentication" not in log and "refused" not in log


def test_access_rules_apply_to_a_bridge_as_a_user_of_its_own(stand_in, make_broker, at):
    local = make_broker(start=False, **bridge(stand_in, forward=[rule("#")], subscribe=[rule("in/#")]))
    acl = local.directory / "acl"
    acl.write_text("topic readwrite #\nuser bridge:up\ntopic read public/#\ntopic write in/open\n")
    local.settings["ACL__MOSQUITTO_FILE"] = acl
    local.start()
    link = stand_in.link()
    link.accept()
    here = at(local, "here")
    here.subscribe("in/#")
    here.publish("secret/a", b"secret", qos=1)
    here.publish("public/a", b"public", qos=1)
    link.take(b"public")
    link.send(raw.publish("in/closed", b"closed", 1, 1, version=raw.V5),
              raw.publish("in/open", b"open", 1, 2, version=raw.V5))
    assert here.message(timeout=20).payload == b"open"


def test_what_is_wrong_is_named_before_the_start(make_broker):
    for keys, names in (({"forward": [rule("#")], "addresses": ["http://x"]}, "addresses"),
                        ({"forward": [rule("a/#/b")]}, "forward"),
                        ({"forward": [rule("#")], "ack_timeout": "0s"}, "ack_timeout"),
                        ({"forward": [rule("#")], "session_expiry": "0s"}, "session_expiry")):
        broker = make_broker(start=False, **bridge("mqtt://127.0.0.1:1", **keys))
        done = broker.run("config", "check")
        assert done.returncode != 0 and f"bridges.up.{names}" in done.stderr + done.stdout, (keys, done)
        assert os.listdir(broker.directory) == []


def test_many_bridges_at_once(stand_in, closing, make_broker, at):
    remotes = [closing(StandIn()) for _ in range(10)]
    settings = {}
    for number, remote in enumerate(remotes):
        settings |= bridge(remote, name=f"b{number}", forward=[rule(f"t/{number}")])
    local = make_broker(**settings)
    links = [remote.link() for remote in remotes]
    for link in links:
        link.accept()
    here = at(local, "here")
    for number in range(10):
        here.publish(f"t/{number}", str(number), qos=2)
    for number, link in enumerate(links):
        link.take(str(number).encode())
    poll(lambda: local.metric("ferrymq_inflight_messages") == 0)
