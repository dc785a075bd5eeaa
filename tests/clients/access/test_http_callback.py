"""An authentication server that answers, refuses, passes on, is slow, down, or talks nonsense."""

import ssl
import threading
import time

import pytest

import raw
from httpserver import Answers
from person import V4, V5
from reach import is_read, log_has, over_tcp, password_line, poll

ALLOW, DENY, IGNORE = ({"result": result} for result in ("allow", "deny", "ignore"))
BAD, NOT_AUTHORIZED, UNAVAILABLE = 0x86, 0x87, 0x88
ACCEPTED = (0, 0x10)
# For tests in which the server keeps clients waiting as long as the test wants.
PATIENT = {"AUTH__HTTP__TIMEOUT": "40s", "MQTT__CONNECT_TIMEOUT": "40s"}


@pytest.fixture
def asking(make_broker, serve):
    """A broker that asks a server, which answers as it is told."""
    def asking(answer, **settings):
        answer = answer if callable(answer) else (lambda request, fixed=answer: fixed)
        server = serve(answer)
        broker = make_broker(**{"AUTH__HTTP__URL": server.url} | settings)
        broker.server = server
        return broker

    return asking


@pytest.fixture
def join(opened):
    def join(broker, client_id="c", reason=0, version=raw.V5, username="alice", password="secret", source=None):
        client = opened(over_tcp(broker.port, version, source))
        client.send(raw.connect(client_id, version, username=username, password=password))
        client.expect(raw.CONNACK, reason=reason)
        return client

    return join


def test_what_it_is_asked(asking, join):
    broker = asking((200, ALLOW))
    client = join(broker, "device-7", source="127.0.0.2")
    [asked] = broker.server.asked
    assert asked["body"] == {
        "clientid": "device-7", "username": "alice", "password": "secret", "peerhost": "127.0.0.2",
        "peerport": client.socket.getsockname()[1], "listener": "tcp", "cert_subject": None, "cert_common_name": None}
    assert asked["headers"]["Content-Type"] == "application/json"
    assert "secret" not in broker.logged()


@pytest.mark.parametrize("version", [V4, V5])
def test_paho(asking, person, version):
    broker = asking(lambda request: (200, ALLOW if request["body"]["password"] == "right" else DENY))
    person(broker.port, "c", version, username="u", password="right").publish("t", b"", 1)
    wrong = person(broker.port, "d", version, username="u", password="wrong", wait=False)
    assert wrong.connected.get(timeout=10)[1].is_failure


@pytest.mark.parametrize("answer,reason", [
    ((200, ALLOW), 0), ((204, b""), 0), ((200, ALLOW | {"client_attrs": {"a": "b"}}), 0),
    ((200, DENY), BAD), ((400, b""), BAD), ((401, ALLOW), BAD), ((404, b"<html>"), BAD),
    ((200, IGNORE), BAD), ((500, ALLOW), UNAVAILABLE), ((503, b""), UNAVAILABLE), ((429, ALLOW), UNAVAILABLE),
    ((302, ALLOW), UNAVAILABLE), ((200, b""), UNAVAILABLE), ((200, b"allow"), UNAVAILABLE), ((200, []), UNAVAILABLE),
    ((200, {}), UNAVAILABLE), ((200, {"result": True}), UNAVAILABLE), ((200, {"result": "ALLOW"}), UNAVAILABLE),
    ((200, b"\xff" * 100), UNAVAILABLE), ((200, ALLOW | {"acl": "all"}), UNAVAILABLE),
    ((200, ALLOW | {"padding": "x" * 2_000_000}), UNAVAILABLE), ((200, b"[" * 100_000), UNAVAILABLE),
    ((200, ALLOW | {"expire_at": 1}), BAD), ((200, ALLOW | {"expire_at": "soon"}), UNAVAILABLE)])
def test_answers(asking, join, answer, reason):
    broker = asking(answer)
    join(broker, reason=reason)
    assert broker.running()
    if reason == UNAVAILABLE:
        log_has(broker, "auth.http")


def test_ignore_leaves_a_client_to_the_next(asking, join, tmp_path):
    users = tmp_path / "users"
    users.write_text(password_line("bob", "secret"))
    broker = asking((200, IGNORE), AUTH__METHODS="http,password", AUTH__PASSWORD_FILE=users)
    join(broker, username="bob")
    join(broker, "d", username="alice", reason=BAD)
    # And the other way: the file knows Bob, and the server is asked about others.
    other = asking((200, ALLOW), AUTH__METHODS="password,http", AUTH__PASSWORD_FILE=users)
    join(other, username="bob")
    assert other.server.asked == []
    join(other, "d", username="bob", password="wrong", reason=BAD)
    join(other, "e", username="alice")
    assert len(other.server.asked) == 1


def test_rules_in_the_answer(asking, join):
    rules = [{"permission": "allow", "action": "publish", "topic": "up/${clientid}"}]
    broker = asking(lambda request: (200, ALLOW | {"acl": rules} if request["body"]["clientid"] == "c" else ALLOW))
    client, other = join(broker), join(broker, "other")
    assert client.publish("up/c", qos=1).reason in ACCEPTED
    assert client.publish("up/other", qos=1).reason == NOT_AUTHORIZED
    assert client.subscribe("#", fails=True).codes == (NOT_AUTHORIZED,)
    assert other.publish("anything", qos=1).reason in ACCEPTED


def test_a_superuser(with_api, serve, join):
    server = serve(lambda request: (200, ALLOW | {"is_superuser": request["body"]["username"] == "root"}))
    broker = with_api('[[acl.rules]]\neffect = "allow"\ntopics = ["t"]\n', AUTH__HTTP__URL=server.url)
    assert join(broker, username="root").publish("anything", qos=1).reason in ACCEPTED
    assert join(broker, "d").publish("anything", qos=1).reason == NOT_AUTHORIZED


def test_the_end_of_a_log_in(asking, join):
    broker = asking(lambda request: (200, ALLOW | {"expire_at": int(time.time()) + 2}))
    client = join(broker)
    assert [packet.reason for packet in client.closed(timeout=15)] == [NOT_AUTHORIZED]


def test_a_slow_server_is_not_waited_for(asking, join):
    released = threading.Event()
    broker = asking(lambda request: (released.wait(20), (200, ALLOW))[1], AUTH__HTTP__TIMEOUT="300ms")
    join(broker, reason=UNAVAILABLE)
    released.set()
    log_has(broker, "does not answer")
    join(broker)
    log_has(broker, "answers again")


def test_a_slow_server_holds_up_no_connected_client(asking, join, opened):
    released = threading.Event()
    broker = asking(lambda request: (request["body"]["clientid"] == "c" or released.wait(20), (200, ALLOW))[1],
                    AUTH__HTTP__MAX_REQUESTS=2, **PATIENT)
    client = join(broker)
    waiting = []
    for n in range(50):
        waiting.append(opened(over_tcp(broker.port, source="127.0.0.2")))
        waiting[-1].send(raw.connect(f"w{n}", raw.V5, username="u", password="p"))
    poll(lambda: len(broker.server.asked) >= 3 and all(map(is_read, waiting)))
    client.ping()
    assert client.publish("t", qos=1).reason in ACCEPTED
    # Never more at once than max_requests.
    assert len(broker.server.asked) == 3
    released.set()
    for one in waiting:
        one.expect(raw.CONNACK, reason=0)


def test_addresses_take_turns(asking, opened):
    """A log-in from another address does not come after the fifty that were there first."""
    order, gate = [], threading.Semaphore(0)

    def answer(request):
        order.append(request["body"]["peerhost"])
        gate.acquire(timeout=20)
        return 200, ALLOW

    broker = asking(answer, AUTH__HTTP__MAX_REQUESTS=1, **PATIENT)
    waiting = []

    def asks(client_id, source):
        waiting.append(opened(over_tcp(broker.port, source=source)))
        waiting[-1].send(raw.connect(client_id, raw.V5, username="u", password="p"))

    for n in range(50):
        asks(f"w{n}", "127.0.0.2")
    # One is asked about, and the others are in the queue.
    poll(lambda: order and all(map(is_read, waiting)))
    asks("other", "127.0.0.3")
    poll(lambda: is_read(waiting[-1]))
    gate.release(51)
    for one in waiting:
        one.expect(raw.CONNACK, reason=0)
    # A client whose CONNECT has been read is in the queue some microseconds later: one round more.
    assert order.index("127.0.0.3") <= 3, order


def test_a_server_that_is_down(make_broker, port, serve, join):
    number = port()
    broker = make_broker(AUTH__HTTP__URL=f"http://localhost:{number}/")
    join(broker, reason=UNAVAILABLE)
    serve(lambda request: (200, ALLOW), port=number)
    join(broker)


def test_answers_are_kept(asking, join):
    broker = asking(lambda request: (200, ALLOW if request["body"]["password"] == "secret" else DENY),
                    AUTH__HTTP__CACHE_TIME="1h", AUTH__BIND_CLIENT_ID="false")
    for _ in range(3):
        join(broker)
        join(broker, "d", reason=BAD, password="wrong")
    assert len(broker.server.asked) == 2
    # For another client id, name, password or address it is another question.
    join(broker, "other")
    join(broker, username="other")
    join(broker, password="other", reason=BAD)
    join(broker, source="127.0.0.2")
    assert len(broker.server.asked) == 6


def test_by_default_nothing_is_kept(asking, join):
    broker = asking((200, ALLOW))
    join(broker)
    join(broker)
    assert len(broker.server.asked) == 2


def test_over_tls_and_with_a_token_of_its_own(make_broker, pki, tmp_path, join):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.server.file, pki.server.key)
    server = Answers(lambda request: (
        200, ALLOW if request["headers"]["Authorization"] == "Bearer of-the-broker" else DENY), context=context)
    try:
        authorization = tmp_path / "authorization"
        authorization.write_text("Bearer of-the-broker\n")
        authorization.chmod(0o600)
        settings = {"AUTH__HTTP__URL": server.url, "AUTH__HTTP__AUTHORIZATION_FILE": authorization}
        join(make_broker(AUTH__HTTP__CA_FILE=pki.trusted, **settings))
        # One that proves nothing is not told passwords.
        suspicious = make_broker(AUTH__HTTP__CA_FILE=pki.stranger.certificate, **settings)
        asked = len(server.asked)
        join(suspicious, reason=UNAVAILABLE)
        assert len(server.asked) == asked
        assert "of-the-broker" not in suspicious.logged()
    finally:
        server.close()


@pytest.mark.parametrize("username,password", [
    (None, None), ("", ""), ("alice", None), ("alice", ""), ("alice", b"\xff\xfe"), ("x" * 60_000, "x" * 60_000),
    ('"}{"result": "allow"', "\\\"\u2028")])
def test_odd_names_and_passwords(asking, opened, username, password):
    """A client without either is nobody's to ask about; what is no text cannot be said in JSON."""
    broker = asking((200, DENY))
    client = opened(over_tcp(broker.port))
    client.send(raw.connect("c", raw.V5, username=username, password=password))
    assert client.expect(raw.CONNACK).reason in (BAD, NOT_AUTHORIZED)
    if isinstance(password, str) and broker.server.asked:
        assert broker.server.asked[0]["body"]["username"] == username
        assert broker.server.asked[0]["body"]["password"] == password
