"""Listeners with all that belongs to them, log-ins and access rules: what the values become."""

import pytest
import tomllib

import chart
from chart import made, notes_of, pod_of, volume

HASH = chart.values_of(chart.HERE / "values/passwords.yaml")["auth"]["passwords"]
SECURE = {"protocol": "mqtts", "port": 8883}
SECURE_OWN = {**SECURE, "tls": {"secretName": "own"}}
# Before and after; test_running_changes.py has that the broker needs no restart for them.
RELOADED = [
    ({"auth": {"passwords": HASH}}, {"auth": {"passwords": HASH.replace("alice", "bob")}}),
    ({"http": {"token": "0123456789abcdef"}}, {"http": {"token": "fedcba9876543210"}}),
    ({}, {"acl": {"rules": [{"effect": "allow", "topics": ["#"]}], "groups": {"staff": ["ann"]}}}),
    ({"auth": {"jwt": {"jwksUrl": "https://a"}}}, {"auth": {"jwt": {"jwksUrl": "https://a", "leeway": "1m"}}}),
    ({}, {"auth": {"allowAnonymous": True, "methods": ["password"]}}),
    ({}, {"listeners": {"tcp": {"auth": {"allowAnonymous": False}}}}),
    ({"listeners": {"secure": SECURE_OWN}}, {"listeners": {"secure": {**SECURE_OWN, "tls": {"secretName": "own", "minVersion": "1.3"}}}}),
    ({}, {"config": {
        "auth": {"max_verifications": 4}, "telemetry": {"level": "debug"}, "bans": {"max_failures": 20},
        "limits": {"max_connections_per_address": 10, "connection_rate_per_address": 10, "publish_rate": 10, "publish_bytes_rate": "1MiB"},
        "mqtt": {"connect_timeout": "20s", "max_keep_alive": "1h"}, "session": {"max_sessions": 100, "max_subscriptions": 100}}}),
]


@pytest.mark.parametrize(("before", "after"), RELOADED, ids=lambda values: "-".join(values))
def test_what_the_running_broker_takes_over_restarts_nothing(before, after):
    assert pod_of(**before) == pod_of(**after)
    one, other = ([o for o in made(**values) if o["kind"] in ("ConfigMap", "Secret")] for values in (before, after))
    assert one != other


def test_every_file_of_the_configuration_is_in_its_volume():
    for values in chart.VALUES:
        objects = chart.Objects(chart.render(values))
        named = {text for text in strings(tomllib.loads(objects.toml())) if text.startswith("/etc/ferrymq/")}
        pod = objects.pod
        config = volume(pod)["projected"]
        there = {f"/etc/ferrymq/{item['path']}" for source in config["sources"] for kind in source.values() for item in kind.get("items", [])}
        assert named == there, values
        assert config["defaultMode"] == 0o440
        # Of a subPath, Kubernetes never replaces anything.
        mounts = [m for c in pod["containers"] + pod.get("initContainers", []) for m in c.get("volumeMounts", []) if m["name"] == "config"]
        assert all("subPath" not in mount and mount["readOnly"] for mount in mounts)


def strings(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


ISSUED = {"certManager": {"enabled": True, "issuerRef": {"name": "harbour"}}}


def test_a_certificate_is_made_into_the_secret_that_is_mounted():
    objects = made(namespaceOverride="sea", listeners={"secure": {**SECURE, "tls": ISSUED}})
    wanted = objects.one("Certificate")["spec"]
    assert wanted["dnsNames"] == ["boat-ferrymq", "boat-ferrymq.sea", "boat-ferrymq.sea.svc"]
    mounted = [s["secret"] for s in volume(objects.pod)["projected"]["sources"] if "secret" in s]
    assert mounted == [{"name": wanted["secretName"], "items": [
        {"key": "tls.crt", "path": "tls-secure.crt"}, {"key": "tls.key", "path": "tls-secure.key"}]}]
    # The check before the upgrade runs before there is a Certificate.
    early = volume(objects.one("Job")["spec"]["template"]["spec"])["projected"]["sources"][1]["secret"]
    assert early == {**mounted[0], "optional": True}
    named = made(listeners={"secure": {**SECURE, "tls": {**ISSUED, "secretName": "own"}}})
    assert named.one("Certificate")["spec"]["secretName"] == "own"


def test_the_check_before_an_upgrade_wants_secrets_that_are_there():
    job = made(listeners={"secure": SECURE_OWN}).one("Job")
    assert "optional" not in volume(job["spec"]["template"]["spec"])["projected"]["sources"][1]["secret"]


def test_services_name_the_protocol_as_gateways_and_meshes_know_it():
    listeners = {"a": {"port": 1, "protocol": "mqtts", "tls": {"secretName": "x"}}, "b": {"port": 2, "protocol": "ws"},
                 "c": {"port": 3, "protocol": "wss", "tls": {"secretName": "x"}}}
    objects = made(listeners={name: {**values, "expose": {"enabled": True}} for name, values in listeners.items()})
    wanted = {"a": "secure-mqtt", "b": "kubernetes.io/ws", "c": "kubernetes.io/wss", "tcp": "mqtt", "http": "http"}
    assert {p["name"]: p["appProtocol"] for p in objects.one("Service", "boat-ferrymq")["spec"]["ports"]} == wanted
    for name in listeners:
        assert objects.one("Service", f"boat-ferrymq-{name}")["spec"]["ports"][0]["appProtocol"] == wanted[name]


def test_routes_lead_to_the_listeners_port_and_path():
    ref = [{"name": "edge"}]
    objects = made(listeners={
        "web": {"port": 8083, "protocol": "ws", "websocket": {"path": "/ws"}, "ingress": {"enabled": True, "hosts": ["a.example"]},
                "httpRoute": {"enabled": True, "parentRefs": ref, "hostnames": ["a.example"]}},
        "secure": {**SECURE, "tls": {"secretName": "x"}, "tlsRoute": {"enabled": True, "parentRefs": ref, "hostnames": ["b.example"]}}})
    ports = {p["name"]: p["port"] for p in objects.one("Service", "boat-ferrymq")["spec"]["ports"]}
    path = objects.one("Ingress")["spec"]["rules"][0]["http"]["paths"][0]
    assert (path["path"], path["pathType"], path["backend"]["service"]["port"]["name"]) == ("/ws", "Exact", "web")
    rule = objects.one("HTTPRoute")["spec"]["rules"][0]
    assert rule["matches"] == [{"path": {"type": "Exact", "value": "/ws"}}]
    assert rule["backendRefs"] == [{"name": "boat-ferrymq", "port": ports["web"]}]
    spec = objects.one("TLSRoute")["spec"]
    assert (spec["hostnames"], spec["rules"]) == (["b.example"], [{"backendRefs": [{"name": "boat-ferrymq", "port": ports["secure"]}]}])


def test_helm_test_takes_a_listener_that_it_can_use():
    def environment(objects):
        return {e["name"]: e.get("value") for e in objects.one("Pod")["spec"]["containers"][0]["env"]}

    web = {"port": 8083, "protocol": "ws"}
    proxied = {"port": 1884, "proxyProtocol": "v2", "trustedProxies": ["192.0.2.0/24"]}
    secure = {**SECURE, "tls": {"secretName": "own", "clientAuth": "required", "caSecretName": "devices"}}
    objects = made(listeners={"a": web, "b": proxied, "secure": secure})
    assert environment(objects).items() >= {"PORT": "8883", "TLS": "true", "NEEDS_CERTIFICATE": "true"}.items()
    authorities = volume(objects.one("Pod")["spec"], "tls")["projected"]["sources"][0]["secret"]
    # Never its key.
    assert authorities == {"name": "own", "optional": True, "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    plain = environment(made(listeners={"secure": secure}, tests={"messages": {"listener": "tcp"}}))
    assert plain["PORT"] == "1883" and "TLS" not in plain
    assert made(listeners={"a": web, "tcp": None}).all("Pod") == []


def test_notes_warn_of_what_is_exposed_without_tls(whole):
    login = ("auth.allowAnonymous=false", "auth.existingSecret=users")
    warning = "listeners.tcp is exposed without TLS"
    assert warning in notes_of(whole, *login, "listeners.tcp.expose.enabled=true")
    secured = ("listeners.tcp.protocol=mqtts", "listeners.tcp.tls.secretName=x")
    for settings in (login, (*login, *secured, "listeners.tcp.expose.enabled=true")):
        assert warning not in notes_of(whole, *settings)
