"""Addresses that guess passwords are banned; others, and who is connected, are not concerned."""

import pytest

import raw
from reach import log_has, over_tcp, over_tls, password_line, poll
from rawclient import Closed

REJECTED = "ferrymq_connections_rejected_total"


@pytest.fixture
def guarded(with_api, tmp_path):
    def guarded(**settings):
        broker = with_api(start=False, BANS__MAX_FAILURES=3, **settings)
        users = tmp_path / "users"
        users.write_text(password_line("alice", "right"))
        broker.settings["AUTH__PASSWORD_FILE"] = users
        return broker.start()

    return guarded


def try_it(broker, source, password="wrong", version=raw.V5):
    """The reason in CONNACK; None if the connection is closed without one."""
    client = over_tcp(broker.port, version, source)
    try:
        client.send(raw.connect("c" + source, version, username="alice", password=password))
        return client.recv().reason
    except (Closed, ConnectionError):
        return None
    finally:
        client.drop()


def ban(broker, source):
    for _ in range(3):
        assert try_it(broker, source) == 0x86
    poll(lambda: broker.metric("ferrymq_banned_addresses") == 1)


def test_an_address_that_guesses_is_banned_and_no_other(guarded):
    broker = guarded()
    early = over_tcp(broker.port, source="127.0.0.2")
    early.connect("early", username="alice", password="right")
    ban(broker, "127.0.0.2")
    assert try_it(broker, "127.0.0.2", "right") is None
    assert try_it(broker, "127.0.0.3", "right") == 0
    assert try_it(broker, "127.0.0.1", "right") == 0
    early.ping()
    early.drop()
    [found] = broker.api.get("/bans")["items"]
    assert (found["address"], found["failures"], found["reason"]) == ("127.0.0.2", 3, "failures")
    broker.await_metric(REJECTED, lambda n: n == 1, reason="banned")
    log_has(broker, "127.0.0.2.*ban|ban.*127.0.0.2")
    broker.api.ok("DELETE", "/bans/127.0.0.2", status=204)
    assert broker.api.get("/bans")["items"] == []
    assert try_it(broker, "127.0.0.2", "right") == 0


def test_a_ban_ends(guarded):
    broker = guarded(BANS__TIME="1s")
    ban(broker, "127.0.0.2")
    poll(lambda: try_it(broker, "127.0.0.2", "right") == 0)
    assert broker.api.get("/bans")["items"] == []


def test_exempt_networks(guarded):
    broker = guarded(BANS__EXEMPT="127.0.0.2/31")
    for source in ("127.0.0.2", "127.0.0.3"):
        for _ in range(5):
            assert try_it(broker, source) == 0x86
    ban(broker, "127.0.0.4")
    assert broker.api.problem(409, "POST", "/bans", {"address": "127.0.0.3", "seconds": 5}) == "exempt"


def test_a_ban_by_an_operator(guarded):
    broker = guarded()
    broker.api.ok("POST", "/bans", {"address": "127.0.0.5", "seconds": 3600})
    assert try_it(broker, "127.0.0.5", "right") is None
    assert [found["reason"] for found in broker.api.get("/bans")["items"]] == ["operator"]


def test_what_is_no_guess(guarded):
    """Connections without a CONNECT, malformed packets: nobody is banned for them."""
    broker = guarded()
    for send in (b"", b"\0", raw.connect("x", raw.V5, level=9), raw.pingreq()):
        for _ in range(2):
            client = over_tcp(broker.port, source="127.0.0.2")
            client.send(send)
            client.socket.shutdown(1)
            client.closed()
            client.drop()
    assert try_it(broker, "127.0.0.2", "right") == 0
    assert broker.api.get("/bans")["items"] == []


def test_bad_client_certificates_are_guesses(with_api, listener, pki):
    settings, port = listener("secure", "mqtts", TLS__CERTIFICATE_FILE=pki.server.file, TLS__KEY_FILE=pki.server.key,
                              TLS__CLIENT_CA_FILE=pki.trusted, TLS__CLIENT_AUTH="required")
    broker = with_api(BANS__MAX_FAILURES=3, **settings)
    strange = pki.authority.context(pki.stranger.issue("burglar"))
    for _ in range(3):
        with pytest.raises((Closed, OSError)):
            client = over_tls(port, strange, source="127.0.0.2")
            client.connect("c")
    poll(lambda: [found["address"] for found in broker.api.get("/bans")["items"]] == ["127.0.0.2"])
    over_tls(port, pki.authority.context(pki.alice), source="127.0.0.3").connect("alice")
