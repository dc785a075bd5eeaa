"""JSON Web Tokens: algorithms, claims, key sets, their end, and renewal on the open connection."""

import base64
import json
import time

import jwt
import pytest

import raw
from person import V4, V5
from reach import await_reload, log_has, over_tcp, poll, reloads, replace
from tokens import SECRET, Signer, key_set

METHOD = "OAUTH2-JWT"
BAD, NOT_AUTHORIZED, ENDED = 0x86, 0x87, 0xA0


@pytest.fixture
def issuer():
    return Signer("HS256")


@pytest.fixture
def broker(make_broker):
    return make_broker(AUTH__JWT__SECRET=SECRET, AUTH__JWT__LEEWAY="0s")


@pytest.fixture
def join(opened):
    """A client that has logged in with a token."""
    def join(broker, token, client_id="c", version=raw.V5, reason=0, username="any", **options):
        client = opened(over_tcp(broker.port, version))
        client.send(raw.connect(client_id, version, username=username, password=token, **options))
        client.expect(raw.CONNACK, reason=reason)
        return client

    return join


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("version", [V4, V5])
def test_a_shared_secret(make_broker, tmp_path, person, algorithm, version):
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    broker = make_broker(AUTH__JWT__SECRET_FILE=file)
    one = person(broker.port, "c", version, username="x", password=Signer(algorithm).token())
    one.publish("t", b"", 1)
    log_has(broker, 'connected.*user="?alice')


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS512", "ES256", "ES384", "EdDSA"])
def test_a_public_key(make_broker, tmp_path, join, algorithm):
    signer, file = Signer(algorithm), tmp_path / "key.pem"
    file.write_bytes(signer.pem())
    broker = make_broker(AUTH__JWT__KEY_FILE=file)
    join(broker, signer.token())
    join(broker, Signer(algorithm).token(), "other", reason=BAD)
    # The public key is no secret.
    forged = jwt.encode({"sub": "alice", "exp": 1 << 32}, base64.b64encode(b"x" * 32), "HS256")
    join(broker, forged, "forged", reason=BAD)


def test_the_public_key_is_never_taken_for_a_secret(make_broker, tmp_path, join):
    """The classic forgery: HS256 with the PEM of the RSA key as the secret."""
    import hashlib
    import hmac
    signer, file = Signer("RS256"), tmp_path / "key.pem"
    file.write_bytes(signer.pem())
    broker = make_broker(AUTH__JWT__KEY_FILE=file)

    def part(value):
        return base64.urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).rstrip(b"=")

    signed = part({"alg": "HS256", "typ": "JWT"}) + b"." + part({"sub": "alice", "exp": 1 << 32})
    forged = signed + b"." + part(hmac.new(signer.pem(), signed, hashlib.sha256).digest())
    join(broker, forged, reason=BAD)
    unsigned = part({"alg": "none"}) + b"." + part({"sub": "alice", "exp": 1 << 32}) + b"."
    join(broker, unsigned, reason=BAD)


PAST, FUTURE = 1_600_000_000, 1 << 32


@pytest.mark.parametrize("claims,reason,told", [
    ({"iss": "https://issuer", "aud": "mqtt"}, 0, ""),
    ({"iss": "https://issuer", "aud": ["other", "mqtt"]}, 0, ""),
    ({"iss": "https://other", "aud": "mqtt"}, BAD, "iss"), ({"aud": "mqtt"}, BAD, "iss"),
    ({"iss": "https://issuer", "aud": "other"}, BAD, "aud"), ({"iss": "https://issuer"}, BAD, "aud"),
    ({"iss": "https://issuer", "aud": "mqtt", "exp": PAST}, BAD, "expired"),
    ({"iss": "https://issuer", "aud": "mqtt", "exp": None}, BAD, "exp"),
    ({"iss": "https://issuer", "aud": "mqtt", "nbf": FUTURE}, BAD, "nbf"),
    ({"iss": "https://issuer", "aud": "mqtt", "sub": None}, BAD, "sub"),
    ({"iss": "https://issuer", "aud": "mqtt", "acl": "everything"}, BAD, "rules"),
])
def test_claims(make_broker, issuer, join, claims, reason, told):
    broker = make_broker(AUTH__JWT__SECRET=SECRET, AUTH__JWT__ISSUER="https://issuer", AUTH__JWT__AUDIENCE="mqtt,web")
    join(broker, issuer.token(**claims), reason=reason)
    if told:
        log_has(broker, f"token refused.*{told}")
    # The token is in no log.
    assert "eyJ" not in broker.logged()


@pytest.mark.parametrize("password,reason", [
    ("", BAD), (None, BAD), ("wrong", BAD), ("a.b.c", BAD), ("x" * 60_000, BAD), (b"\xff\0", BAD),
    ("eyJhbGciOiJIUzI1NiJ9." + "A" * 60_000 + ".c", BAD)])
def test_what_is_no_token(broker, join, password, reason):
    join(broker, password, reason=reason)
    assert broker.running()


def test_a_password_that_is_no_token_is_left_to_the_next_method(make_broker, tmp_path, issuer, join):
    broker = make_broker(start=False, AUTH__JWT__SECRET=SECRET)
    users = tmp_path / "users"
    assert broker.run("passwd", users, "bob", "--password-stdin", input="pass.word.3").returncode == 0
    broker.settings["AUTH__PASSWORD_FILE"] = users
    broker.start()
    join(broker, "pass.word.3", "bob", username="bob")
    join(broker, issuer.token(), "alice")
    # A token that is refused is not tried as a password.
    join(broker, issuer.token(seconds=-100), "late", username="bob", reason=BAD)


@pytest.mark.parametrize("must,client_id,username,reason", [
    ("username", "c", "alice", 0), ("username", "alice", "bob", BAD), ("username", "alice", None, BAD),
    ("client-id", "alice", "bob", 0), ("client-id", "c", "alice", BAD), ("off", "c", "bob", 0)])
def test_the_name_may_have_to_match(make_broker, issuer, join, must, client_id, username, reason):
    broker = make_broker(AUTH__JWT__SECRET=SECRET, AUTH__JWT__USERNAME_MUST_MATCH=must)
    join(broker, issuer.token(), client_id, username=username, reason=reason)


def test_another_claim_is_the_user_name(make_broker, issuer, join):
    broker = make_broker(AUTH__JWT__SECRET=SECRET, AUTH__JWT__USERNAME_CLAIM="email")
    join(broker, issuer.token(email="a@example.org"))
    log_has(broker, "user=\"?a@example.org")
    join(broker, issuer.token(), "none", reason=BAD)


def test_the_connection_ends_with_the_token(broker, issuer, join):
    token = issuer.token(seconds=4)
    ends = jwt.decode(token, options={"verify_signature": False})["exp"]
    client, old = join(broker, token), join(broker, token, "old", raw.V311)
    longer = join(broker, issuer.token(), "longer")
    packets = client.closed(timeout=15)
    assert [packet.reason for packet in packets] == [ENDED] and packets[0].kind == raw.DISCONNECT
    assert time.time() >= ends - 0.01
    assert old.closed(timeout=15) == []
    longer.ping()
    join(broker, token, reason=BAD)


def test_a_will_is_published_at_the_end_of_the_token(broker, issuer, join):
    watch = join(broker, issuer.token(), "watch")
    watch.subscribe("will")
    join(broker, issuer.token(seconds=4), will=raw.Will("will", b"ended"))
    assert watch.message(timeout=15).payload == b"ended"


# Rules in tokens.

@pytest.mark.parametrize("acl", [
    [{"permission": "allow", "action": "publish", "topic": "${username}/${clientid}/up", "qos": [0, 1]},
     {"permission": "allow", "action": "subscribe", "topics": ["down/#"]},
     {"permission": "deny", "action": "all", "topic": "#"}],
    {"pub": ["${username}/${clientid}/up"], "sub": ["down/#"], "all": []}])
def test_the_acl_claim(broker, issuer, join, acl):
    client = join(broker, issuer.token(acl=acl))
    other = join(broker, issuer.token(), "without-rules")
    assert client.publish("alice/c/up", qos=1).reason in (0, 0x10)
    assert client.publish("alice/d/up", qos=1).reason == NOT_AUTHORIZED
    assert client.subscribe("down/1", "up/1", "#", fails=True).codes == (2, NOT_AUTHORIZED, 2)
    other.publish("down/1", b"yes", qos=1)
    other.publish("secret", b"no", qos=1)
    other.publish("down/2", b"more", qos=1)
    other.publish("down/1", b"end", qos=1)
    # "#" is granted, and what it matches besides is not delivered.
    assert [client.message().payload for _ in range(3)] == [b"yes", b"more", b"end"]


# Key sets.

def test_a_key_set_in_a_file(make_broker, tmp_path, join):
    first, second, third = (Signer(a, k) for a, k in (("RS256", "one"), ("ES256", "two"), ("ES256", "three")))
    file = tmp_path / "jwks.json"
    file.write_text(key_set(first, second))
    broker = make_broker(AUTH__JWT__JWKS_FILE=file)
    join(broker, first.token(), "one")
    join(broker, second.token(), "two")
    join(broker, third.token(), "three", reason=BAD)
    # A name of another key does not help.
    join(broker, second.token(headers={"kid": "one"}), "liar", reason=BAD)
    before = reloads(broker)
    replace(file, key_set(second, third))
    await_reload(broker, before)
    join(broker, third.token(), "three")
    join(broker, first.token(), "one-again", reason=BAD)
    before = reloads(broker)
    replace(file, "{")
    await_reload(broker, before)
    log_has(broker, "configuration not reloaded.*jwks")
    join(broker, third.token(), "still")


def test_a_key_set_at_a_url(make_broker, serve, join):
    first, second = Signer("RS256", "one"), Signer("ES256", "two")
    keys = [first]
    state = {"status": 200}
    server = serve(lambda request: (state["status"], key_set(*keys).encode()))
    broker = make_broker(AUTH__JWT__JWKS_URL=server.url)
    log_has(broker, "keys of auth.jwt.jwks_url were read")
    join(broker, first.token(), "one")
    asked, since = len(server.asked), time.monotonic()
    # A name that nobody knows makes it look again: every ten seconds, and not for each such token.
    keys.append(second)
    poll(lambda: _joins(broker, second), 30, "the new key is not fetched")
    for n in range(20):
        join(broker, Signer("ES256", f"unknown-{n}").token(), f"u{n}", reason=BAD)
    assert len(server.asked) - asked <= 1 + (time.monotonic() - since) / 10
    # While it is down, what was read stays in force.
    state["status"] = 500
    join(broker, first.token(), "later")


def _joins(broker, signer):
    client = over_tcp(broker.port)
    try:
        client.send(raw.connect("poll", raw.V5, username="x", password=signer.token()))
        return client.expect(raw.CONNACK).reason == 0
    finally:
        client.drop()


def test_without_any_keys_yet_nobody_is_let_in(make_broker, port, serve, join):
    number, signer = port(), Signer("RS256", "one")
    broker = make_broker(AUTH__JWT__JWKS_URL=f"http://localhost:{number}/keys")
    join(broker, signer.token(), reason=0x88)
    log_has(broker, "jwks_url")
    serve(lambda request: (200, key_set(signer).encode()), port=number)
    poll(lambda: _joins(broker, signer), 40, "the keys are not fetched")


@pytest.mark.parametrize("content", [b"", b"[]", b'{"keys": []}', b"x" * 3_000_000,
                                     json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "s"}]}).encode()])
def test_what_is_no_key_set(make_broker, serve, join, content):
    server = serve(lambda request: (200, content))
    broker = make_broker(AUTH__JWT__JWKS_URL=server.url)
    poll(lambda: server.asked)
    join(broker, Signer("HS256", "s").token(), reason=0x88)
    assert broker.running()


# Enhanced authentication.

def connect_with(token, client_id="c", **options):
    data = [("auth_data", token)] if token is not None else []
    return raw.connect(client_id, raw.V5, properties=[("auth_method", METHOD), *data], **options)


def renewed(token, reason=0x19, method=METHOD):
    return raw.auth(reason, [("auth_method", method), ("auth_data", token)])


@pytest.fixture
def enhanced(broker, opened):
    def enhanced(token, client_id="c", reason=0, **options):
        client = opened(over_tcp(broker.port))
        client.send(connect_with(token, client_id, **options))
        connack = client.expect(raw.CONNACK, reason=reason)
        if not reason:
            assert connack.properties["auth_method"] == METHOD
        return client

    return enhanced


def test_a_token_as_authentication_data(broker, issuer, enhanced):
    enhanced(issuer.token()).ping()
    log_has(broker, 'connected.*user="?alice')
    for wrong in (issuer.token(seconds=-100), "", None, "nothing", b"\xff", "x" * 60_000):
        client = enhanced(wrong, "wrong", NOT_AUTHORIZED)
        assert client.closed() == []


def test_a_token_is_renewed_on_the_open_connection(issuer, enhanced):
    first = issuer.token(seconds=5)
    client = enhanced(first)
    client.subscribe("t", qos=1)
    client.send(renewed(issuer.token(seconds=600)))
    answer = client.expect(raw.AUTH, reason=0)
    assert answer.properties["auth_method"] == METHOD
    # Past the end of the first one.
    other = enhanced(issuer.token(seconds=5), "other")
    assert [packet.reason for packet in other.closed(timeout=15)] == [ENDED]
    client.publish("t", b"still there", qos=1)
    assert client.message().payload == b"still there"
    client.send(renewed(issuer.token(seconds=4)))
    client.expect(raw.AUTH, reason=0)
    assert [packet.reason for packet in client.closed(timeout=15)] == [ENDED]


def test_new_rules_come_with_a_new_token(issuer, enhanced):
    def rules(topic):
        return [{"permission": "allow", "action": "all", "topic": topic}]

    client = enhanced(issuer.token(acl=rules("before")))
    assert client.publish("before", qos=1).reason in (0, 0x10)
    assert client.publish("after", qos=1).reason == NOT_AUTHORIZED
    client.send(renewed(issuer.token(acl=rules("after"))))
    client.expect(raw.AUTH, reason=0)
    assert client.publish("before", qos=1).reason == NOT_AUTHORIZED
    assert client.publish("after", qos=1).reason in (0, 0x10)


def test_a_new_token_without_rules_does_not_widen_what_is_allowed(issuer, enhanced):
    client = enhanced(issuer.token(acl=[{"permission": "allow", "action": "all", "topic": "mine"}]))
    client.send(renewed(issuer.token()))
    assert [packet.reason for packet in client.closed()] == [NOT_AUTHORIZED]


@pytest.mark.parametrize("packet", [
    lambda issuer: renewed(issuer.token(seconds=-100)), lambda issuer: renewed(issuer.token(sub="bob")),
    lambda issuer: renewed("nothing"), lambda issuer: renewed(Signer("ES256").token()),
    lambda issuer: renewed(issuer.token(), method="SCRAM-SHA-256"), lambda issuer: renewed(issuer.token(), reason=0x18),
    lambda issuer: raw.auth(0x19), lambda issuer: raw.auth(0x19, [("auth_method", METHOD)])])
def test_a_renewal_that_fails_ends_the_connection(broker, issuer, enhanced, packet):
    """Also one for another user: a session belongs to its user."""
    client = enhanced(issuer.token())
    client.send(packet(issuer))
    last = client.closed()[-1]
    assert (last.kind, last.reason >= 0x80) == (raw.DISCONNECT, True)


def test_who_did_not_begin_with_it_cannot_renew(broker, issuer, join):
    client = join(broker, issuer.token())
    client.send(renewed(issuer.token()))
    assert client.closed()[-1].reason == 0x82
