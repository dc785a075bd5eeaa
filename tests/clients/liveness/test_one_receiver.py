"""What one receiver cannot take is not lost for the others."""

import pytest

import raw
from rawclient import Raw

VERSIONS = pytest.mark.parametrize("version", [raw.V311, raw.V5])
GROUP = "$share/group/t"


@VERSIONS
@pytest.mark.parametrize("qos", [1, 2])
def test_one_full_queue_does_not_lose_a_will_for_other_receivers(
        make_broker, durable, client, version, qos):
    broker = make_broker(SESSION__MAX_QUEUED_MESSAGES="5")
    full = durable("full", to=broker)
    full.subscribe("will", qos=qos)
    full.disconnect()
    publisher = client("publisher", version=raw.V5, to=broker)
    for n in range(5):
        assert publisher.publish("will", bytes([n]), qos=1).reason == 0
    assert publisher.publish("will", b"no room", qos=1).reason == 0x97
    away = durable("away", to=broker)
    away.subscribe("will", qos=qos)
    away.disconnect()
    there = client("there", to=broker)
    there.subscribe("will", qos=qos)
    client("leaver", version, to=broker, will=raw.Will("will", b"gone", qos=qos)).drop()
    assert there.message().payload == b"gone"
    assert durable("away", to=broker).message().payload == b"gone"


@pytest.mark.parametrize("qos", [1, 2])
def test_one_full_queue_does_not_lose_a_delayed_will_for_other_receivers(
        make_broker, durable, client, qos):
    broker = make_broker(SESSION__MAX_QUEUED_MESSAGES="5")
    full = durable("full", to=broker)
    full.subscribe("will", qos=qos)
    full.disconnect()
    publisher = client("publisher", version=raw.V5, to=broker)
    for n in range(5):
        assert publisher.publish("will", bytes([n]), qos=1).reason == 0
    there = client("there", to=broker)
    there.subscribe("will", qos=qos)
    durable("leaver", raw.V5, to=broker,
            will=raw.Will("will", b"gone", qos=qos, properties={"will_delay": 1})).drop()
    assert there.message(timeout=15).payload == b"gone"


def by_its_connection(durable, member):
    member.send(raw.disconnect())
    member.closed()


def by_a_loss(durable, member):
    member.drop()


def by_clean_start(durable, member):
    member.drop()
    # It is sent no more than the connection before.
    new = durable("member", raw.V5, properties={"receive_maximum": 2})
    assert new.connack.session_present, "not yet ended"
    new.drop()
    from_scratch(durable)


def by_take_over_with_clean_start(durable, member):
    from_scratch(durable)


def by_expiry(durable, member):
    member.send(raw.disconnect(0, {"session_expiry": 1}))
    member.closed()


def from_scratch(durable):
    """The same client with Clean Start and no subscription: no member of the group any more."""
    with Raw(durable.port, raw.V5) as again:
        again.connect("member", clean=True)


ENDS = pytest.mark.parametrize("end, expiry", [
    (by_its_connection, 0), (by_a_loss, 0), (by_clean_start, 3600),
    (by_take_over_with_clean_start, 3600), (by_expiry, 3600)],
    ids=lambda value: getattr(value, "__name__", None))


def a_member_with_two_in_flight(broker, durable, client, expiry, qos, messages):
    """The only member of the group, whose receive maximum is 2, and the publisher of messages of
    one byte, numbered from 0: nothing is read or acknowledged yet."""
    durable.port = broker.port
    member = durable("member", raw.V5, expiry=expiry, properties={"receive_maximum": 2})
    member.subscribe(GROUP, qos=qos)
    publisher = client("publisher", raw.V5)
    for n in range(messages):
        publisher.publish("t", bytes([n]), qos=qos)
    return member, publisher


def another_member(durable, qos):
    other = durable("other", raw.V5)
    other.subscribe(GROUP, qos=qos)
    return other


@ENDS
def test_4_8_2_qos_1_of_a_member_whose_session_ends_goes_to_another_member(
        broker, durable, client, end, expiry):
    member, publisher = a_member_with_two_in_flight(broker, durable, client, expiry, 1, 10)
    # One is done, two are under way, the others wait.
    member.message(payload=b"\0")
    assert member.message(answer=False).payload == b"\1"
    other = another_member(durable, 1)
    end(durable, member)
    assert [other.message(timeout=10).payload[0] for _ in range(9)] == list(range(1, 10))
    assert other.until_quiet(publisher) == []


@ENDS
def test_4_8_2_a_qos_2_message_that_was_sent_goes_to_no_other_member(
        broker, durable, client, end, expiry):
    member, publisher = a_member_with_two_in_flight(broker, durable, client, expiry, 2, 5)
    sent = [member.message(answer=False).payload for _ in range(2)]
    assert sent == [b"\0", b"\1"]
    other = another_member(durable, 2)
    end(durable, member)
    # Those that were never sent go to another member, each of them once and in their order. They
    # may have to be read back from the disk first.
    assert [other.message(timeout=10).payload[0] for _ in range(3)] == [2, 3, 4]
    broker.await_metric("ferrymq_sessions", lambda n: n == 0, state="waiting")
    assert other.until_quiet(publisher) == []


def test_4_8_2_qos_1_waits_for_a_member_whose_session_stays(durable, client):
    """A broker MAY wait for it, and this one does: nothing goes to another member before the
    session ends."""
    member = durable("member", raw.V5)
    member.subscribe(GROUP, qos=1)
    publisher = client("publisher", raw.V5)
    publisher.publish("t", b"1", qos=1)
    member.message(answer=False)
    member.drop()
    other = another_member(durable, 1)
    assert other.until_quiet(publisher) == []
    assert durable("member", raw.V5).message().payload == b"1"
