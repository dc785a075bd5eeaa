"""MQTT 5.0, 3.15, 4.12: enhanced authentication, by SCRAM-SHA-256."""

import pytest

import raw
from scram import METHOD, Scram

also = pytest.mark.also
PROTOCOL, NOT_AUTHORIZED, BAD_PASSWORD = 0x82, 0x87, 0x86


@pytest.fixture
def broker(make_broker, tmp_path):
    broker = make_broker(start=False)
    keys = tmp_path / "scram"
    for user in ("alice", "bob"):
        assert broker.run("passwd", "--scram", keys, user, "--password-stdin", input="secret").returncode == 0
    broker.settings["AUTH__SCRAM__FILE"] = keys
    return broker.start()


def auth(reason, data, method=METHOD):
    return raw.auth(reason, [("auth_method", method), ("auth_data", data)])


@pytest.fixture
def asked(open_raw):
    """A client that has sent CONNECT and was asked for more: with its exchange and the data."""
    def asked(user="alice", password="secret"):
        exchange, c = Scram(user, password), open_raw()
        c.send(raw.connect("c", raw.V5, properties=[("auth_method", METHOD), ("auth_data", exchange.first())]))
        return c, exchange, c.expect(raw.AUTH).properties["auth_data"]

    return asked


@pytest.fixture
def authenticated(asked):
    def authenticated():
        c, exchange, data = asked()
        c.send(auth(0x18, exchange.final(data)))
        c.connack = c.expect(raw.CONNACK, reason=0)
        return c

    return authenticated


def renew(c, exchange):
    """As far as the broker's question."""
    c.send(auth(0x19, exchange.first()))
    asked = c.expect(raw.AUTH, reason=0x18)
    c.send(auth(0x18, exchange.final(asked.properties["auth_data"])))


@also("4.12.0-3", "4.12.0-5")
def test_4_12_0_2_the_broker_asks_for_more_with_auth_and_0x18(open_raw):
    exchange, c = Scram("alice", "secret"), open_raw()
    c.send(raw.connect("c", raw.V5, properties=[("auth_method", METHOD), ("auth_data", exchange.first())]))
    asked = c.expect(raw.AUTH, reason=0x18)
    assert asked.properties["auth_method"] == METHOD
    c.send(auth(0x18, exchange.final(asked.properties["auth_data"])))
    connack = c.expect(raw.CONNACK, reason=0)
    assert connack.properties["auth_method"] == METHOD
    assert exchange.verifies(connack.properties["auth_data"])


@pytest.mark.parametrize("reason", [0x00, 0x19])
def test_4_12_0_3_another_reason_does_not_continue_it(asked, reason):
    c, exchange, data = asked()
    c.send(auth(reason, exchange.final(data)))
    c.refused(PROTOCOL)


def test_4_12_0_5_another_method_does_not_continue_it(asked):
    c, exchange, data = asked()
    c.send(auth(0x18, exchange.final(data), "OAUTH2-JWT"))
    c.refused(PROTOCOL)


@pytest.mark.parametrize("packet", [
    raw.pingreq(), raw.publish("t", b"sneaked", version=raw.V5), raw.subscribe(1, [("#", 0)], raw.V5),
    raw.connect("c", raw.V5)], ids=["pingreq", "publish", "subscribe", "connect"])
def test_3_1_2_30_nothing_but_auth_and_disconnect_before_the_connack(asked, packet):
    c, exchange, data = asked()
    c.send(packet, auth(0x18, exchange.final(data)))
    c.refused(PROTOCOL)


def test_3_1_2_30_disconnect_ends_it(asked):
    c, _, _ = asked()
    c.send(raw.disconnect())
    assert c.closed() == []


def test_4_12_a_wrong_proof_is_refused(asked):
    c, exchange, data = asked(password="wrong")
    c.send(auth(0x18, exchange.final(data)))
    c.expect(raw.CONNACK, reason=BAD_PASSWORD)
    assert c.closed() == []


@also("3.15.2-1")
def test_4_12_1_1_a_client_re_authenticates_at_any_time(authenticated):
    c = authenticated()
    c.subscribe("t", qos=1)
    for _ in range(2):
        exchange = Scram("alice", "secret")
        renew(c, exchange)
        done = c.expect(raw.AUTH, reason=0)
        assert done.properties["auth_method"] == METHOD
        assert exchange.verifies(done.properties["auth_data"])
        c.publish("t", b"goes on", qos=1)
        assert c.message().payload == b"goes on"


def test_4_12_1_1_other_packets_flow_meanwhile(authenticated):
    c, exchange = authenticated(), Scram("alice", "secret")
    c.send(auth(0x19, exchange.first()))
    data = c.expect(raw.AUTH, reason=0x18).properties["auth_data"]
    c.ping()
    c.publish("t", b"x", qos=2)
    c.send(auth(0x18, exchange.final(data)))
    c.expect(raw.AUTH, reason=0)


@pytest.mark.parametrize("method", ["OAUTH2-JWT", "x"])
def test_4_12_1_1_another_method_is_a_protocol_error(authenticated, method):
    authenticated().send(auth(0x19, Scram("alice", "secret").first(), method)).refused(PROTOCOL)


@pytest.mark.parametrize("user,password", [("alice", "wrong"), ("nobody", "secret"), ("bob", "secret")])
def test_4_12_1_2_a_re_authentication_that_fails_ends_the_connection(authenticated, user, password):
    """Also one as another user: the session is not that user's."""
    c = authenticated()
    renew(c, Scram(user, password))
    last = c.refused(NOT_AUTHORIZED, BAD_PASSWORD)
    assert last.kind == raw.DISCONNECT


@pytest.mark.parametrize("packet", [auth(0x18, b"x"), auth(0x00, b"x"), raw.auth(0x19), raw.auth(0x19, [("auth_data", b"x")])])
def test_4_12_1_2_what_begins_no_re_authentication(authenticated, packet):
    authenticated().send(packet).refused(PROTOCOL, 0x81)
