"""What clients may do: `[[acl.rules]]` and `acl_file`s, asked at publish, subscribe and delivery."""

import pytest

import raw
from person import V4, V5
from reach import await_reload, log_has, over_tcp, password_line, reloads, replace

DENIED = 0x87
ACCEPTED = (0, 0x10)
DECISIONS = "ferrymq_acl_decisions_total"

RULES = """
[acl.groups]
staff = ["ann"]

[[acl.rules]]
effect = "deny"
topics = ["plant/secret/#"]

[[acl.rules]]
effect = "allow"
groups = ["staff"]
topics = ["#", "$SYS/#"]

[[acl.rules]]
effect = "allow"
action = "publish"
topics = ["devices/%c/#"]
max_qos = 1
retain = false

[[acl.rules]]
effect = "allow"
action = "subscribe"
topics = ["news/#", "devices/%c/down", "plant/#"]
"""


@pytest.fixture
def ruled(with_api, tmp_path):
    """A broker with rules in its configuration file, and a password file with Ann."""
    def ruled(rules=RULES, **settings):
        broker = with_api(rules, start=False, **settings)
        users = tmp_path / "users"
        users.write_text(password_line("ann", "ann"))
        broker.settings |= {"AUTH__PASSWORD_FILE": users, "AUTH__ALLOW_ANONYMOUS": "true"}
        return broker.start()

    return ruled


@pytest.fixture
def join(opened):
    def join(broker, client_id, version=raw.V5, user=None, source=None, **options):
        client = opened(over_tcp(broker.port, version, source))
        client.connect(client_id, username=user, password=user, **options)
        return client

    return join


def ann(join, broker, version=raw.V5, name="ann"):
    """Who may do everything but read secrets."""
    return join(broker, name, version, user="ann")


# Publish.

@pytest.mark.parametrize("qos", [1, 2])
def test_a_refused_publish_of_v5(ruled, join, qos):
    broker = ruled()
    watch, device = ann(join, broker), join(broker, "d1")
    watch.subscribe("devices/#", qos=2)
    answer = device.publish("devices/d2/up", b"no", qos=qos)
    assert answer.reason == DENIED
    if qos == 2:
        assert answer.kind == raw.PUBREC
    device.publish("devices/d1/up", b"yes", qos=1)
    assert watch.message().payload == b"yes"
    log_has(broker, "publish denied.*d1.*devices/d2/up")
    broker.await_metric(DECISIONS, lambda n: n == 1, action="publish", effect="deny")
    broker.await_metric("ferrymq_messages_refused_total", lambda n: n == 1, reason="not_authorized")


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("version", [raw.V31, raw.V311])
def test_a_refused_publish_of_v3_is_acknowledged_and_dropped(ruled, join, qos, version):
    broker = ruled()
    watch, device = ann(join, broker), join(broker, "d1", version)
    watch.subscribe("devices/#", qos=2)
    device.publish("devices/d2/up", b"no", qos=qos)
    device.publish("devices/d1/up", b"yes", qos=1)
    assert watch.message().payload == b"yes"
    device.ping()


@pytest.mark.parametrize("qos", [1, 2])
def test_or_disconnected(ruled, join, qos):
    broker = ruled(MQTT__ON_DENIED="disconnect")
    device, newer = join(broker, "d1", raw.V311), join(broker, "d2")
    device.publish("devices/d2/up", b"no")
    device.ping()
    device.send(raw.publish("devices/d2/up", b"no", qos, 1))
    assert device.closed() == []
    # Of version 5 nobody needs to be disconnected.
    assert newer.publish("devices/d1/up", qos=1).reason == DENIED
    newer.ping()


def test_qos_0_is_dropped_and_counted(ruled, join):
    broker = ruled()
    watch, device = ann(join, broker), join(broker, "d1")
    watch.subscribe("devices/#")
    device.publish("devices/d2/up", b"no")
    device.publish("devices/d1/up", b"yes")
    assert watch.message().payload == b"yes"
    broker.await_metric("ferrymq_messages_refused_total", lambda n: n == 1, reason="not_authorized")


def test_the_highest_qos_and_retain(ruled, join):
    device = join(ruled(), "d1")
    assert device.publish("devices/d1/x", qos=1).reason in ACCEPTED
    assert device.publish("devices/d1/x", qos=2).reason == DENIED
    assert device.publish("devices/d1/x", b"kept", qos=1, retain=True).reason == DENIED


def test_topic_aliases_are_no_way_around(ruled, join):
    device = join(ruled(), "d1")
    assert device.publish("devices/d2/x", qos=1, properties={"topic_alias": 1}).reason == DENIED
    assert device.publish("", qos=1, properties={"topic_alias": 1}).reason == DENIED
    assert device.publish("devices/d1/x", qos=1, properties={"topic_alias": 1}).reason in ACCEPTED
    assert device.publish("", qos=1, properties={"topic_alias": 1}).reason in ACCEPTED


@pytest.mark.parametrize("name", ["a/b", "+", "#", "a+"])
def test_names_that_would_reach_further(ruled, join, name):
    """Denied wherever a rule has a placeholder, so that a deny cannot fail open either."""
    client = join(ruled(), name)
    for topic in ("devices/a/b/x", "devices/a/x", "devices/x"):
        assert client.publish(topic, qos=1).reason == DENIED
    assert client.subscribe("devices/a/down", "devices/+/down", f"devices/{name}/down" if name == "a/b" else "devices/b/down",
                            fails=True).codes == (DENIED,) * 3
    assert client.subscribe("news/1").codes == (2,)


# Subscribe and deliver.

@pytest.mark.parametrize("version,denied", [(raw.V311, 0x80), (raw.V5, DENIED)])
def test_suback_tells_the_truth(ruled, join, version, denied):
    client = join(ruled(), "d1", version)
    asked = {"news/#": 2, "news/1": 2, "#": 2, "+/1": 2, "devices/d1/down": 2, "devices/+/down": 2, "plant/x": 2,
             "devices/d2/down": denied, "other": denied, "plant/secret/#": denied, "plant/secret/x": denied,
             "plant/secret": denied, "$SYS/#": denied, "$share/g/news/#": 2, "$share/g/other": denied,
             "$share/g/plant/secret/+": denied}
    assert client.subscribe(*asked, fails=True).codes == tuple(asked.values())


@pytest.mark.parametrize("version", [raw.V311, raw.V5])
def test_deliveries_are_filtered(ruled, join, version):
    broker = ruled()
    client, sender = join(broker, "d1", version), ann(join, broker)
    client.subscribe("#", qos=1)
    client.subscribe("plant/#", qos=1)
    for topic in ("other", "news/1", "plant/a", "devices/d2/down", "devices/d1/down"):
        assert sender.publish(topic, topic, qos=1).reason in ACCEPTED
    sender.publish("news/end", b"end", qos=1)
    got = []
    while (message := client.message()).payload != b"end":
        got.append(message.topic)
    assert got == ["news/1", "plant/a", "devices/d1/down"]


def test_a_message_of_the_api_is_filtered_too(ruled, join):
    broker = ruled()
    client = join(broker, "d1")
    client.subscribe("#", qos=1)
    broker.api.publish("plant/secret/x", "no")
    broker.api.publish("news/x", "yes")
    assert client.message().payload == b"yes"


@pytest.mark.parametrize("version", [V4, V5])
def test_paho_sees_it(ruled, person, version):
    broker = ruled()
    client = person(broker.port, "d1", version)
    [granted], [refused] = client.subscribe("news/#", 1), client.subscribe("other", 1)
    assert not granted.is_failure and refused.is_failure
    client.publish("devices/d1/x", b"", 1)
    client.publish("devices/d2/x", b"", 1)


@pytest.mark.parametrize("version", [raw.V311, raw.V5])
def test_retained_messages(ruled, join, version):
    broker = ruled()
    sender = ann(join, broker)
    for topic in ("news/kept", "other/kept", "plant/kept"):
        sender.publish(topic, topic, qos=1, retain=True)
    broker.api.publish("plant/secret/kept", "no", retain=True)
    client = join(broker, "d1", version)
    client.subscribe("#", qos=1)
    sender.publish("news/end", b"end", qos=1)
    got = []
    while (message := client.message()).payload != b"end":
        got.append(message.topic)
    assert sorted(got) == ["news/kept", "plant/kept"]


def test_a_shared_message_goes_to_who_may_read_it(with_api, join):
    broker = with_api("""
        [[acl.rules]]
        effect = "deny"
        action = "subscribe"
        client_ids = ["one"]
        topics = ["jobs/secret"]
        [[acl.rules]]
        effect = "allow"
        topics = ["jobs/#"]
    """)
    one, two, sender = join(broker, "one"), join(broker, "two"), join(broker, "sender")
    one.subscribe("$share/g/jobs/#", qos=1)
    two.subscribe("$share/g/jobs/#", qos=1)
    for n in range(20):
        assert sender.publish("jobs/secret", f"{n}", qos=1).reason in ACCEPTED
    assert [two.message().payload for _ in range(20)] == [f"{n}".encode() for n in range(20)]
    for n in range(2):
        sender.publish("jobs/open", b"any", qos=1)
    one.message(topic="jobs/open")
    two.message(topic="jobs/open")


# Wills.

@pytest.mark.parametrize("version,code", [(raw.V311, 5), (raw.V5, DENIED)])
def test_a_will_that_may_not_be_published_refuses_the_connect(ruled, opened, version, code):
    client = opened(over_tcp(ruled().port, version))
    client.send(raw.connect("d1", version, will=raw.Will("devices/d2/will")))
    client.expect(raw.CONNACK, reason=code)
    assert client.closed() == []


@pytest.mark.parametrize("version", [raw.V311, raw.V5])
def test_a_will_is_decided_by_the_rules_of_its_time(ruled, join, version):
    broker = ruled()
    watch = ann(join, broker)
    watch.subscribe("devices/#", qos=1)
    early = join(broker, "d1", version, will=raw.Will("devices/d1/will", b"yes"))
    early.drop()
    assert watch.message().payload == b"yes"
    late = join(broker, "d2", version, will=raw.Will("devices/d2/will", b"no"))
    before = reloads(broker)
    replace(broker.file, RULES.replace('"devices/%c/#"', '"elsewhere/%c/#"'))
    await_reload(broker, before)
    late.drop()
    log_has(broker, "(?i)will.*devices/d2/will")
    watch.publish("devices/end", b"end", qos=1)
    assert watch.message().payload == b"end"


# Who.

def test_networks_listeners_and_users(with_api, opened, listener):
    settings, other = listener("other", "mqtt")
    broker = with_api("""
        [[acl.rules]]
        effect = "allow"
        networks = ["127.0.0.2", "127.1.0.0/16"]
        topics = ["by-network"]
        [[acl.rules]]
        effect = "allow"
        listeners = ["other"]
        topics = ["by-listener"]
        [[acl.rules]]
        effect = "allow"
        client_ids = ["known"]
        topics = ["by-id"]
    """, **settings)

    def allowed(client_id, port, source):
        client = opened(over_tcp(port, source=source))
        client.connect(client_id)
        topics = ("by-network", "by-listener", "by-id")
        return [topic for topic in topics if client.publish(topic, qos=1).reason != DENIED]

    assert allowed("a", broker.port, "127.0.0.2") == ["by-network"]
    assert allowed("a", broker.port, "127.1.2.3") == ["by-network"]
    assert allowed("a", broker.port, "127.0.0.3") == []
    assert allowed("known", other, "127.0.0.3") == ["by-listener", "by-id"]


# When rules change.

def test_what_a_reload_takes_away_is_taken_away(ruled, join):
    """By a change of the file, without a signal."""
    broker = ruled()
    client, sender = join(broker, "d1"), ann(join, broker)
    client.subscribe("news/#", "plant/#", qos=1)
    sender.publish("news/1", b"one", qos=1)
    assert client.message().payload == b"one"
    before = reloads(broker)
    replace(broker.file, RULES.replace('"news/#", ', ""))
    await_reload(broker, before)
    sender.publish("news/2", b"two", qos=1)
    sender.publish("plant/end", b"end", qos=1)
    assert client.message().payload == b"end"
    assert client.subscribe("news/#", fails=True).codes == (DENIED,)
    # The subscription is still there, and what is given back is given back.
    before = reloads(broker)
    replace(broker.file, RULES)
    await_reload(broker, before)
    sender.publish("news/3", b"three", qos=1)
    assert client.message().payload == b"three"


@pytest.mark.parametrize("restart", [False, True])
def test_messages_that_wait_are_asked_about_again(ruled, join, restart):
    broker = ruled()
    durable = {"clean": False, "properties": [("session_expiry", 3600)]}
    away, sender = join(broker, "d1", **durable), ann(join, broker)
    away.subscribe("news/#", "plant/#", qos=1)
    away.drop()
    sender.publish("news/1", b"taken away", qos=1)
    sender.publish("plant/1", b"still allowed", qos=1)
    if restart:
        assert broker.terminate() == 0
        replace(broker.file, RULES.replace('"news/#", ', ""))
        broker.start()
    else:
        before = reloads(broker)
        replace(broker.file, RULES.replace('"news/#", ', ""))
        await_reload(broker, before)
    back = join(broker, "d1", **durable)
    assert back.message().payload == b"still allowed"
    broker.await_metric("ferrymq_persistence_dropped_messages_total", lambda n: n == 1, reason="not_authorized")


def test_rules_that_are_wrong_change_nothing(ruled, join):
    broker = ruled()
    client = join(broker, "d1")
    for wrong in ('[[acl.rules]]\neffect = "perhaps"\ntopics = ["t"]\n',
                  '[[acl.rules]]\neffect = "allow"\ntopics = ["a/#/b"]\n',
                  '[[acl.rules]]\neffect = "allow"\ngroups = ["none"]\ntopics = ["a"]\n',
                  '[[acl.rules]]\neffect = "allow"\ntopics = ["a"]\n[acl]\nmosquitto_file = "x"\n', "[["):
        before = reloads(broker)
        replace(broker.file, wrong)
        await_reload(broker, before)
        assert client.publish("devices/d1/x", qos=1).reason in ACCEPTED
        assert client.publish("devices/d2/x", qos=1).reason == DENIED
    # At least: a file that is replaced while the broker looks at it is read twice.
    assert broker.logged().count("configuration not reloaded") >= 5
    assert "configuration reloaded" not in broker.logged()


def test_both_kinds_of_rules_are_an_error_at_the_start(with_api, tmp_path):
    (tmp_path / "acl").write_text("topic t\n")
    broker = with_api(RULES, start=False, ACL__MOSQUITTO_FILE=tmp_path / "acl")
    refused = broker.run("serve")
    assert refused.returncode == 2 and "mosquitto_file" in refused.stderr, refused.stderr


# Mosquitto's file.

def test_a_file_of_mosquitto(make_broker, tmp_path, join):
    file = tmp_path / "acl"
    file.write_text("topic read news/#\npattern write devices/%c/#\n")
    broker = make_broker(ACL__MOSQUITTO_FILE=file)
    client = join(broker, "d1")
    assert client.publish("devices/d1/x", qos=1).reason in ACCEPTED
    assert client.publish("devices/d2/x", qos=1).reason == DENIED
    assert client.subscribe("news/1", "devices/d1/x", fails=True).codes == (2, DENIED)
    before = reloads(broker)
    replace(file, "topic readwrite news/#\n")
    await_reload(broker, before)
    assert client.publish("news/1", qos=1).reason in ACCEPTED
    assert client.publish("devices/d1/x", qos=1).reason == DENIED
    before = reloads(broker)
    replace(file, "topic news/#\nnonsense\n")
    await_reload(broker, before)
    log_has(broker, "not reloaded.*line 2")
    assert client.publish("news/1", qos=1).reason in ACCEPTED


# Explain.

@pytest.mark.parametrize("arguments,code,told", [
    (["--client-id", "d1", "--publish", "devices/d1/x"], 0, "rule 3"),
    (["--client-id", "d1", "--publish", "devices/d2/x"], 1, "no rule"),
    (["--user", "ann", "--client-id", "x", "--publish", "plant/secret/x"], 1, "rule 1"),
    (["--user", "ann", "--client-id", "x", "--subscribe", "any/#"], 0, "rule 2"),
    (["--client-id", "d1", "--subscribe", "plant/secret/#"], 1, "rule 1")])
def test_explain(ruled, arguments, code, told):
    done = ruled().run("auth", "explain", *arguments)
    assert done.returncode == code and told in done.stdout, (done.stdout, done.stderr)
