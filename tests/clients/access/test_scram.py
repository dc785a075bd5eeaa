"""SCRAM-SHA-256 by enhanced authentication, right and wrong."""

import base64

import pytest

import raw
import scram
from reach import await_reload, log_has, over_tcp, reloads
from scram import METHOD, Scram

# The answer to a wrong proof, which does not say why, and to messages that are none of the exchange.
WRONG, INVALID = 0x86, 0x87
NOT_AUTHORIZED = 0x87


def test_the_client_of_these_tests():
    scram.test_vector()


@pytest.fixture
def broker(make_broker, tmp_path):
    broker = make_broker(start=False)
    broker.keys = tmp_path / "scram"
    for user, password in (("alice", "wonderland"), ("b,o=b", "p,a=ss word")):
        made = broker.run("passwd", "--scram", broker.keys, user, "--password-stdin", input=password)
        assert made.returncode == 0, made.stderr
    assert "wonderland" not in broker.keys.read_text()
    broker.settings["AUTH__SCRAM__FILE"] = broker.keys
    return broker.start()


@pytest.fixture
def begin(broker, opened):
    """Sends the CONNECT, and answers the client and the data of the broker's AUTH."""
    def begin(exchange, client_id="c", **options):
        client = opened(over_tcp(broker.port))
        client.send(raw.connect(client_id, raw.V5, properties=[
            ("auth_method", METHOD), ("auth_data", exchange.first())], **options))
        answer = client.expect(raw.AUTH, reason=0x18)
        assert answer.properties["auth_method"] == METHOD
        return client, answer.properties["auth_data"]

    return begin


def continued(data, method=METHOD):
    return raw.auth(0x18, [("auth_method", method), ("auth_data", data)])


@pytest.mark.parametrize("user,password", [("alice", "wonderland"), ("b,o=b", "p,a=ss word")])
def test_the_right_password(broker, begin, user, password):
    exchange = Scram(user, password)
    client, data = begin(exchange)
    client.send(continued(exchange.final(data)))
    connack = client.expect(raw.CONNACK, reason=0)
    assert connack.properties["auth_method"] == METHOD
    assert exchange.verifies(connack.properties["auth_data"]), "the broker did not prove that it knows the password"
    client.ping()
    broker.await_metric("ferrymq_authentications_total", lambda n: n == 1, method="scram", result="accepted")


@pytest.mark.parametrize("user,password", [
    ("alice", "Wonderland"), ("alice", ""), ("nobody", "wonderland"), ("Alice", "wonderland")])
def test_a_wrong_password(broker, begin, user, password):
    """An unknown user hears of it no sooner than one with a wrong password."""
    exchange = Scram(user, password)
    client, data = begin(exchange)
    client.send(continued(exchange.final(data)))
    client.expect(raw.CONNACK, reason=WRONG)
    assert client.closed() == []
    log_has(broker, "authentication failed")


def test_an_unknown_user_has_the_same_salt_each_time(begin):
    def salt(user):
        _, data = begin(Scram(user, "x"))
        return dict(part.split(b"=", 1) for part in data.split(b","))[b"s"]

    assert salt("nobody") == salt("nobody") != salt("somebody")
    assert len(salt("nobody")) == len(salt("alice"))


@pytest.mark.parametrize("change,reason", [
    (lambda final: final[:-5] + b"AAAA=", WRONG),
    # Other than the broker's question.
    (lambda final: final.replace(b"c=biws", b"c=eSws"), INVALID),
    (lambda final: final.replace(b",r=", b",r=x"), INVALID),
    (lambda final: final.partition(b",p=")[0], INVALID),
    (lambda final: b"", INVALID), (lambda final: b"\xff\xfe", INVALID), (lambda final: b"x" * 60_000, INVALID)])
def test_what_was_tampered_with(broker, begin, change, reason):
    exchange = Scram("alice", "wonderland")
    client, data = begin(exchange)
    client.send(continued(change(exchange.final(data))))
    client.expect(raw.CONNACK, reason=reason)
    assert client.closed() == []
    assert broker.running()


@pytest.mark.parametrize("data", [None, b"", b"n,,", b"y,,n=alice", b"p=tls-unique,,n=alice,r=abc", b"n,,n=alice,r=",
                                  b"n,a=bob,n=alice,r=abc", b"x" * 60_000])
def test_a_first_message_that_is_none(broker, opened, data):
    client = opened(over_tcp(broker.port))
    properties = [("auth_method", METHOD)] + ([("auth_data", data)] if data is not None else [])
    client.send(raw.connect("c", raw.V5, properties=properties))
    client.expect(raw.CONNACK, reason=INVALID)
    assert client.closed() == []


def test_a_proof_serves_once(broker, begin):
    exchange = Scram("alice", "wonderland")
    client, data = begin(exchange)
    final = exchange.final(data)
    client.send(continued(final))
    client.expect(raw.CONNACK, reason=0)
    # Another connection has another nonce.
    other, _ = begin(exchange, "other")
    other.send(continued(final))
    other.expect(raw.CONNACK, reason=INVALID)


def test_without_a_method_there_is_no_log_in(broker, opened):
    """The keys are no password file: nobody comes in anonymously beside them."""
    client = opened(over_tcp(broker.port))
    client.send(raw.connect("c", raw.V5))
    client.expect(raw.CONNACK, reason=NOT_AUTHORIZED)
    other = opened(over_tcp(broker.port))
    other.send(raw.connect("c", raw.V5, username="alice", password="wonderland"))
    other.expect(raw.CONNACK, reason=NOT_AUTHORIZED)


def test_a_reload_disconnects_who_was_removed(broker, begin):
    exchange = Scram("alice", "wonderland")
    client, data = begin(exchange)
    client.send(continued(exchange.final(data)))
    client.expect(raw.CONNACK, reason=0)
    before = reloads(broker)
    assert broker.run("passwd", "--scram", broker.keys, "alice", "--delete").returncode == 0
    await_reload(broker, before)
    assert [packet.reason for packet in client.closed()] == [0x87]


def test_the_keys_alone_do_not_log_in(broker, begin):
    """Who has read the file has no proof: StoredKey is a hash of ClientKey."""
    stored = [line for line in broker.keys.read_text().splitlines() if line.startswith("alice:")][0]
    keys = stored.rpartition("$")[2].split(":")
    exchange = Scram("alice", "x")
    client, data = begin(exchange)
    final = exchange.final(data).partition(b",p=")[0]
    client.send(continued(final + b",p=" + base64.b64encode(base64.b64decode(keys[0])[:32].ljust(32, b"\0"))))
    assert client.expect(raw.CONNACK).reason == WRONG
