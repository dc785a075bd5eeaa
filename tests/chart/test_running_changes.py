"""What is replaced in the volume of a running broker, as Kubernetes does it, is taken over
without a restart; and `helm test` over TLS."""

import functools
import http.client
import json
import socket
import ssl
import subprocess
import time

import pytest

import chart
import pki
from place import Place, PlacedBroker
from test_listeners import HASH, RELOADED, SECURE_OWN as SECURE

LOCAL = "DNS:localhost", "IP:127.0.0.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return pki.Authority(tmp_path_factory.mktemp("pki") / "authority")


@pytest.fixture
def placed(tmp_path):
    brokers = []

    def make(files=(), **values):
        place = Place(tmp_path / f"place{len(brokers)}", chart.made(**values))
        place.mount(dict(files))
        brokers.append(PlacedBroker(place))
        return place, brokers[-1].start()

    yield make
    for broker in brokers:
        broker.close()


def pair(authority, *alternatives):
    certificate, private = authority.issue("broker", *(alternatives or LOCAL))
    return {"tls-secure.crt": certificate, "tls-secure.key": private}


def serial(broker, authority):
    context = ssl.create_default_context(cafile=authority.file)
    with socket.create_connection(("127.0.0.1", broker.others["secure"].number), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as secured:
            return secured.getpeercert()["serialNumber"]


def wait_for(event, within=40):
    """Longer than the time between two looks at files that no event has told of."""
    deadline = time.monotonic() + within
    while not event():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def client(broker, program, *arguments, port=None):
    return [program, "-h", "127.0.0.1", "-p", str(port or broker.port), "-q", "1", *map(str, arguments)]


def succeeds(command):
    return subprocess.run(command, capture_output=True, timeout=40).returncode == 0


def test_a_renewed_certificate_is_shown_and_no_connection_is_cut(placed, authority):
    place, broker = placed(pair(authority), listeners={"secure": SECURE})
    mqtts = functools.partial(client, broker, port=broker.others["secure"].number)
    first = serial(broker, authority)
    with subprocess.Popen(mqtts("mosquitto_sub", "--cafile", authority.file, "-t", "kept", "-C", "1", "-W", "60"),
                          stdout=subprocess.PIPE, text=True) as subscriber:
        broker.await_metric("ferrymq_subscriptions", lambda count: count == 1)
        place.mount(pair(authority))
        wait_for(lambda: serial(broker, authority) != first)
        assert succeeds(mqtts("mosquitto_pub", "--cafile", authority.file, "-t", "kept", "-m", "still here"))
        assert subscriber.communicate(timeout=40)[0] == "still here\n"
        assert subscriber.returncode == 0


def test_a_pair_that_does_not_match_leaves_the_old_one_in_force(placed, authority):
    place, broker = placed(pair(authority), listeners={"secure": SECURE})
    first = serial(broker, authority)
    place.mount({"tls-secure.key": authority.issue("broker")[1]})
    wait_for(lambda: "configuration not reloaded" in broker.log.read_text())
    assert serial(broker, authority) == first


def test_rules_and_passwords_of_an_upgrade_apply_without_a_new_pod(placed):
    def values(users, topic):
        return {"auth": {"passwords": users}, "acl": {"rules": [{"effect": "allow", "topics": [topic]}]}}

    before = values(HASH, "#")
    place, broker = placed(**before)
    login = ("-u", "alice", "-P", "fair winds")
    # MQTT 5.0 tells who may not.
    publish = client(broker, "mosquitto_pub", *login, "-V", "5", "-t", "a/b", "-m", "x")
    assert succeeds(publish)
    after = values(HASH, "other/#")
    assert chart.pod_of(**before) == chart.pod_of(**after)
    place.upgrade(chart.made(**after))
    wait_for(lambda: "denied" in broker.log.read_text() or not succeeds(publish))
    hello = client(broker, "mosquitto_pub", *login, "-t", "other/b", "-m", "x")
    assert succeeds(hello)
    place.upgrade(chart.made(**values(HASH.replace("alice", "bob"), "other/#")))
    wait_for(lambda: not succeeds(hello))
    assert succeeds([word.replace("alice", "bob") for word in hello])


def reload(broker, token):
    connection = http.client.HTTPConnection("127.0.0.1", broker.http_port, timeout=10)
    connection.request("POST", "/api/v1/reload", headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


@pytest.mark.parametrize(("before", "after"), RELOADED, ids=lambda values: "-".join(values))
def test_the_broker_needs_no_restart_for_what_restarts_no_pod(placed, authority, before, after):
    token = {"http": {"token": "0123456789abcdef"}}
    before, after = ({**token, **values} for values in (before, after))
    place, broker = placed(pair(authority) if "listeners" in before else (), **before)
    place.upgrade(chart.made(**after))
    # The change of the files may have been taken over already.
    status, answer = reload_with_either(broker, before, after)
    assert status == 200, answer
    assert answer["needs_restart"] == []


def reload_with_either(broker, *values):
    tokens = [v["http"]["token"] for v in values]
    return next(answer for answer in (reload(broker, token) for token in tokens) if answer[0] != 401)


def messages(place, broker, **environment):
    container = place.objects.one("Pod")["spec"]["containers"][0]
    return place.run(container, HOST="127.0.0.1", PORT=broker.others["secure"].number, HTTP_PORT=broker.http_port, **environment)


def authorities(place, authority):
    place.path("/tls/ca.crt").write_text(authority.certificate)


def test_helm_test_goes_over_tls(placed, authority):
    place, broker = placed(pair(authority), listeners={"secure": SECURE})
    # Not one of the public authorities.
    assert messages(place, broker).returncode != 0
    authorities(place, authority)
    run = messages(place, broker)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "over TLS" in run.stdout


def test_helm_test_compares_names_unless_it_is_told_not_to(placed, authority):
    files = pair(authority, "DNS:mqtt.example.org")
    for insecure in (False, True):
        place, broker = placed(files, listeners={"secure": SECURE}, tests={"messages": {"tls": {"insecure": insecure}}})
        authorities(place, authority)
        assert (messages(place, broker).returncode == 0) == insecure


def test_helm_test_shows_its_certificate(placed, authority):
    tls = {"secretName": "own", "clientAuth": "required", "caSecretName": "devices"}
    values = {"listeners": {"secure": {**SECURE, "tls": tls}}, "auth": {"methods": ["certificate"]}}
    files = {**pair(authority), "tls-secure.client-ca.crt": authority.certificate}
    # Nobody may come without one; `tcp`, which has none, is off.
    values["listeners"]["tcp"] = None
    place, broker = placed(files, **values, tests={"messages": {"tls": {"clientSecretName": "device"}}})
    authorities(place, authority)
    assert messages(place, broker).returncode != 0
    for name, text in zip(("client.crt", "client.key"), authority.issue("device"), strict=True):
        place.path(f"/tls/{name}").write_text(text)
    run = messages(place, broker)
    assert run.returncode == 0, run.stdout + run.stderr
