"""What the chart writes, used by the programs that it is for: the broker, Litestream,
the shells of its scripts."""

import functools
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

import chart
import pki
from brokerproc import BINARY
from place import Place, PlacedBroker

LITESTREAM = pathlib.Path(sys.executable).with_name("litestream")
REPLICA = {"enabled": True, "replica": {"type": "file", "path": "/replica", "sync-interval": "100ms"}}
HASH = chart.values_of(chart.HERE / "values/passwords.yaml")["auth"]["passwords"]

SAMPLES = {
    "passwords": HASH, "token": "0123456789abcdef", "acl": "topic read #\n", "jwt-secret": "s" * 32, "http-authorization": "Bearer x",
    "jwt-key.pem": pki.public(pki.key()), "jwks.json": '{"keys": [{"kty": "oct", "alg": "HS256", "kid": "a", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I"}]}',
    "scram": ""}


@functools.cache
def known():
    """The keys of this broker."""
    return subprocess.run([BINARY, "config", "show"], capture_output=True, text=True, check=True).stdout


def needs_keys(toml):
    for key in ("metrics_bind", "token_file", "console"):
        if re.search(rf"^{key} =", toml, re.M) and f"\n{key} =" not in known():
            pytest.skip(f"this broker does not know http.{key}")


@pytest.fixture
def placed(tmp_path):
    brokers = []

    def make(start=True, **values):
        place = Place(tmp_path / f"place{len(brokers)}", chart.made(**values))
        brokers.append(PlacedBroker(place))
        if start:
            brokers[-1].start()
        return place, brokers[-1]

    yield make
    for broker in brokers:
        broker.close()


@pytest.mark.parametrize("values", [*chart.VALUES, *(chart.HERE / "released").glob("?.?.?.yaml")], ids=lambda p: p.stem)
def test_the_broker_takes_the_configuration(values, whole, tmp_path):
    objects = chart.Objects(chart.render(values, chart=whole))
    needs_keys(objects.toml())
    place = Place(tmp_path, objects)
    # Of other people's Secrets and ConfigMaps.
    sources = next(v for v in objects.pod["volumes"] if v["name"] == "config")["projected"]["sources"]
    names = {item["path"] for source in sources for kind in source.values() for item in kind.get("items", [])}
    authority = pki.Authority(tmp_path / "authority").certificate
    samples = SAMPLES | {name: authority for name in names if name.endswith("ca.crt")}
    place.mount({name: samples.get(name, "") for name in names if not place.path(f"/etc/ferrymq/{name}").exists()})
    run = place.run({**objects.container(), "args": ["config", "check"]})
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(("config", "says"), [
    ({"session": {"max_expiri": "1d"}}, "session.max_expiri"),
    ({"mqtt": {"receive_maximum": 0}}, "mqtt.receive_maximum"),
    ({"sesion": {"max_expiry": "1d"}}, "sesion"),
])
def test_a_wrong_configuration_is_one_line_before_the_broker_starts(config, says, placed):
    place, _ = placed(start=False, config=config)
    run = place.run(place.objects.container("config-check"))
    assert run.returncode == 2
    assert says in run.stderr and len(run.stderr.strip().splitlines()) == 1


def test_the_broker_starts_and_stops_in_order(placed):
    _, broker = placed(config={"persistence": {"durability": "commit"}})
    assert "(commit)" in broker.run("config", "check").stdout
    assert broker.get("/readyz")[0] == broker.get("/healthz")[0] == 200
    assert broker.terminate() == 0


def messages(place, broker, **environment):
    return place.run(place.objects.one("Pod")["spec"]["containers"][0], HOST="127.0.0.1", PORT=broker.port, HTTP_PORT=broker.http_port, **environment)


def test_helm_test_shows_that_a_message_arrives(placed):
    place, broker = placed()
    run = messages(place, broker)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.splitlines()[-1] == "received: what was acknowledged has arrived"
    # It leaves no session behind.
    broker.await_metric("ferrymq_sessions", lambda count: count == 0, state="waiting")


def test_helm_test_logs_in(placed):
    auth = {"existingSecret": "users"}
    place, broker = placed(start=False, auth=auth, tests={"messages": {"existingSecret": "login"}})
    place.path("/etc/ferrymq/passwords").write_text(HASH)
    broker.start()
    assert messages(place, broker, MQTT_USERNAME="alice", MQTT_PASSWORD="fair winds").returncode == 0
    assert messages(place, broker, MQTT_USERNAME="alice", MQTT_PASSWORD="foul winds").returncode != 0


def test_helm_test_fails_without_a_password_where_one_is_needed(placed):
    place, broker = placed(start=False, auth={"existingSecret": "users"})
    run = messages(place, broker)
    assert run.returncode == 1 and "tests.messages.existingSecret" in run.stdout


def test_helm_test_fails_without_a_broker(placed):
    place, broker = placed(start=False)
    assert messages(place, broker).returncode != 0


def test_helm_test_fails_if_the_session_is_not_kept(placed):
    place, broker = placed(config={"session": {"max_expiry": "0s"}})
    container = place.objects.one("Pod")["spec"]["containers"][0]
    container["command"][-1] = container["command"][-1].replace("-W 30", "-W 1")
    assert messages(place, broker).returncode != 0


def test_the_drill_runs_beside_the_broker(placed):
    drill = {"enabled": True, "rounds": 1, "seconds": 0.3, "rate": 200}
    place, broker = placed(tests={"drill": drill})
    run = place.run(place.objects.one("Pod", "boat-ferrymq-test-drill")["spec"]["containers"][0])
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Every promise held." in run.stdout
    assert broker.is_ready()


def client(broker, program, *arguments):
    """One of the Mosquitto clients; what it prints, line by line."""
    run = subprocess.run([program, "-p", str(broker.port), "-q", "1", "-t", "kept", *arguments], capture_output=True, text=True, timeout=40)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def go_away(broker):
    client(broker, "mosquitto_sub", "-i", "away", "-c", "-E")


def publish(broker, *texts):
    """Each is acknowledged when this is over."""
    for text in texts:
        client(broker, "mosquitto_pub", "-m", text)


def come_back(broker, count):
    return client(broker, "mosquitto_sub", "-i", "away", "-c", "-C", str(count), "-W", "20")


def test_backups_are_complete_named_by_their_time_and_few(placed):
    place, broker = placed(backup={"enabled": True, "keep": 2, "rate": "50MiB"})
    go_away(broker)
    publish(broker, "in the backup")
    pod = place.objects.one("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    backups = place.path("/backup")
    for name in ("boat-ferrymq-20200101T000000Z.db", "boat-ferrymq-20210101T000000Z.db", "other-20200101T000000Z.db"):
        (backups / name).touch()
    for container in (pod["initContainers"][0], pod["containers"][0]):
        run = place.run(container)
        assert run.returncode == 0, run.stdout + run.stderr
    names = sorted(path.name for path in backups.iterdir())
    assert len(names) == 3 and names[0] == "boat-ferrymq-20210101T000000Z.db" and names[2] == "other-20200101T000000Z.db"
    broker.terminate()
    restored = subprocess.run([BINARY, "db", "restore", backups / names[1], "--database", broker.database], capture_output=True, text=True)
    assert restored.returncode == 0, restored.stderr
    assert come_back(broker.start(), 1) == ["in the backup"]


def test_a_backup_that_failed_removes_nothing(placed):
    place, _ = placed(start=False, backup={"enabled": True, "keep": 1})
    pod = place.objects.one("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    # The init container fails, since there is no database, and Kubernetes stops there.
    assert place.run(pod["initContainers"][0]).returncode != 0
    assert list(place.path("/backup").glob("*.db")) == []


def wait_for(event, within=30):
    deadline = time.monotonic() + within
    while not event():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def litestream(place):
    with (place.root / "litestream.log").open("ab") as log:
        sidecar = place.objects.container("litestream")
        return subprocess.Popen([LITESTREAM, *map(place.here, sidecar["args"])], env=place.environment(sidecar), stdout=log, stderr=log)


def test_a_lost_volume_comes_back_from_the_replica(placed):
    """In the order of Kubernetes 1.29 and newer: Litestream starts before there is a
    database, and ends after the broker."""
    place, broker = placed(start=False, litestream=REPLICA)
    restore = functools.partial(place.run, place.objects.container("litestream-restore"), program=(LITESTREAM,))
    first = restore()
    assert first.returncode == 0, first.stderr
    assert not broker.database.exists()
    sidecar = litestream(place)
    try:
        broker.start()
        go_away(broker)
        publish(broker, "one", "two")
        wait_for(lambda: list(place.path("/replica").rglob("*.ltx")))
        publish(broker, "three")
        assert broker.terminate() == 0
    finally:
        sidecar.send_signal(signal.SIGTERM)
        log = place.root / "litestream.log"
        assert sidecar.wait(20) == 0, log.read_text()
    for path in place.path("/data").iterdir():
        subprocess.run(["rm", "-rf", path], check=True)
    second = restore()
    assert second.returncode == 0, second.stderr
    assert come_back(broker.start(), 3) == ["one", "two", "three"]
    # With a database on the volume it does nothing.
    third = restore()
    assert third.returncode == 0, third.stderr
