"""Bridges: what the values become, which changes restart the pod, and what may go out."""

import json
import re

import pytest
import tomllib

import chart
from chart import made, notes_of, pod_of, volume

FORWARD = [{"filter": "site/#"}]
PLAIN = {"addresses": ["mqtt://central"], "forward": FORWARD}
SECURE = {**PLAIN, "addresses": ["mqtts://central"]}
CREDENTIALS = {"username": "edge7", "credentials": {"secretName": "up"}}
# Before and after; test_running_bridges.py has that the broker needs no restart for them.
RELOADED = [
    ({}, {"up": PLAIN}),
    ({"up": PLAIN}, {"up": None}),
    ({"up": PLAIN}, {"up": {**PLAIN, "paused": True}}),
    ({"up": PLAIN}, {"up": {**SECURE, "tls": {"server_name": "other"}}, "down": {**PLAIN, "client_id": "b"}}),
    ({"up": {**PLAIN, **CREDENTIALS}}, {"up": {**PLAIN, **CREDENTIALS, "username": "edge8", "egressTo": [{"podSelector": {}}]}}),
]
RESTARTED = [
    ({"up": PLAIN}, {"up": {**PLAIN, **CREDENTIALS}}),
    ({"up": {**PLAIN, **CREDENTIALS}}, {"up": {**PLAIN, "username": "edge7", "credentials": {"secretName": "other"}}}),
    ({"up": {**PLAIN, **CREDENTIALS}}, {"up": {**PLAIN, "credentials": {"secretName": "up", "usernameKey": "username"}}}),
    ({"up": SECURE}, {"up": {**SECURE, "tls": {"secretName": "client"}}}),
    ({"up": SECURE}, {"up": {**SECURE, "tls": {"ca": {"configMapName": "authority"}}}}),
]


def bridges(**values):
    return tomllib.loads(made(**values).toml()).get("bridges")


@pytest.mark.parametrize(("before", "after"), RELOADED, ids=range(len(RELOADED)))
def test_a_change_of_a_bridge_restarts_no_pod(before, after):
    assert pod_of(bridges=before) == pod_of(bridges=after)
    assert bridges(bridges=before) != bridges(bridges=after) or before == after


@pytest.mark.parametrize(("before", "after"), RESTARTED, ids=range(len(RESTARTED)))
def test_another_secret_restarts_the_pod(before, after):
    assert pod_of(bridges=before) != pod_of(bridges=after)


def test_the_table_has_the_keys_that_were_given_and_no_others():
    given = {**PLAIN, "client_id": "edge7", "max_queued_messages": 1000000, "max_rate": {"messages": 100}, "clean_start": False}
    assert bridges(bridges={"up": given, "gone": None}) == {"up": given}
    assert bridges() is None


@pytest.mark.parametrize("version", ["5.0", 5.0, 5])
def test_a_version_without_quotes_is_text(version):
    for which in chart.HELMS:
        values = chart.merged(chart.OPEN, {"bridges": {"up": {**PLAIN, "version": version}}})
        found = tomllib.loads(chart.Objects(chart.render(values, which)).toml())["bridges"]["up"]["version"]
        assert found == "5.0"


def test_secrets_become_files_of_the_volume():
    up = {**SECURE, **CREDENTIALS, "tls": {"secretName": "client", "ca": {"configMapName": "authority", "key": "pem"}, "alpn": ["mqtt"]}}
    objects = made(bridges={"up": up})
    table = tomllib.loads(objects.toml())["bridges"]["up"]
    file = "/etc/ferrymq/bridge-up"
    assert table["password_file"] == f"{file}.password"
    assert table["tls"] == {"certificate_file": f"{file}.crt", "key_file": f"{file}.key", "ca_file": f"{file}.ca.crt", "alpn": ["mqtt"]}
    assert not {"credentials", "egressTo"} & table.keys()
    # The check before the upgrade needs them, too.
    for pod in (objects.pod, objects.one("Job")["spec"]["template"]["spec"]):
        assert volume(pod)["projected"]["sources"][1:] == [
            {"secret": {"name": "up", "items": [{"key": "password", "path": "bridge-up.password"}]}},
            {"secret": {"name": "client", "items": [{"key": "tls.crt", "path": "bridge-up.crt"}, {"key": "tls.key", "path": "bridge-up.key"}]}},
            {"configMap": {"name": "authority", "items": [{"key": "pem", "path": "bridge-up.ca.crt"}]}}]


def test_a_user_name_of_a_secret_is_in_the_environment_wherever_the_configuration_is_read():
    up = {**PLAIN, "credentials": {"secretName": "up", "usernameKey": "user", "passwordKey": ""}}
    objects = made(bridges={"my-up": up})
    assert "password_file" not in tomllib.loads(objects.toml())["bridges"]["my-up"]
    job = objects.one("Job")["spec"]["template"]["spec"]["containers"][0]
    for container in (objects.container(), objects.container("config-check"), job):
        secret, name = container["env"][-2:]
        assert secret == {"name": "BRIDGE_MY-UP_USERNAME", "valueFrom": {"secretKeyRef": {"name": "up", "key": "user"}}}
        # In quotes: the broker takes a bare 12345 for a number.
        assert name == {"name": "FERRYMQ_BRIDGES__MY-UP__USERNAME", "value": '"$(BRIDGE_MY-UP_USERNAME)"'}


def egress(**values):
    policy = made(**chart.merged({"networkPolicy": {"enabled": True}}, values)).one("NetworkPolicy")["spec"]
    return policy.get("egress")


@pytest.mark.parametrize(("addresses", "ports"), [
    (["mqtt://a", "mqtts://a", "ws://a", "wss://a"], {1883, 8883, 80, 443}),
    (["mqtts://a.example:8884", "wss://a.example:8443/mqtt?key=a:1"], {8884, 8443}),
    (["mqtt://192.0.2.1:1", "mqtt://[2001:db8::1]:2", "mqtts://[::1]"], {1, 2, 8883}),
    (["ws://a/mqtt", "ws://b:80/"], {80}),
])
def test_the_network_policy_lets_out_the_ports_of_the_addresses(addresses, ports):
    dns, rule = egress(bridges={"up": {**PLAIN, "addresses": addresses}})
    assert rule.keys() == {"ports"}
    assert {port["port"] for port in rule["ports"]} == ports and len(rule["ports"]) == len(ports)
    assert {port["protocol"] for port in rule["ports"]} == {"TCP"}
    assert {port["port"] for port in dns["ports"]} == {53}


def test_the_network_policy_lets_each_bridge_out_to_its_own_peers():
    to = [{"ipBlock": {"cidr": "192.0.2.0/24"}}]
    other = [{"ports": [{"port": 443}]}]
    # A bridge that is paused can be resumed at any time.
    rules = egress(bridges={"a": {**PLAIN, "paused": True}, "b": {**SECURE, "egressTo": to}}, networkPolicy={"extraEgress": other})
    assert rules[1:] == [{"ports": [{"port": 1883, "protocol": "TCP"}]},
                         {"ports": [{"port": 8883, "protocol": "TCP"}], "to": to}, *other]
    assert egress(bridges={"a": PLAIN}, networkPolicy={"restrictEgress": False}) is None


def test_notes_warn_of_a_password_that_is_sent_without_tls(whole):
    def notes(*settings):
        return notes_of(whole, "bridges.up.forward[0].filter=a", "bridges.up.username=edge7", *settings)

    warning = "bridges.up has an address without TLS"
    plain, secure = "bridges.up.addresses[0]=mqtt://a", "bridges.up.addresses[0]=mqtts://a"
    password = "bridges.up.credentials.secretName=up"
    assert warning in notes(plain, password)
    assert warning in notes(secure, "bridges.up.addresses[1]=ws://a", password)
    assert warning not in notes(plain) and warning not in notes(secure, password)


def test_the_schema_has_the_keys_of_the_brokers_table():
    """docs/configuration.md has them all, which another test sees to."""
    text = (chart.ROOT / "docs/configuration.md").read_text()
    schema = json.loads((chart.CHART / "values.schema.json").read_text())["definitions"]["bridge"]["properties"]
    # These come from Secrets.
    files = {"password", "password_file", "ca_file", "certificate_file", "key_file"}
    for table, properties in (("", schema), (".max_rate", schema["max_rate"]["properties"]), (".tls", schema["tls"]["properties"])):
        section = re.search(rf"^## \[bridges\.up{re.escape(table)}\]\n(.*?)(?=^## |\Z)", text, re.M | re.S)[1]
        documented = set(re.findall(r"^\| `(\w+)` \|", section, re.M)) - files
        assert documented
        ours = {key for key in properties if re.search("[A-Z]", key)} | {"credentials", "ca", "max_rate", "tls"}
        assert properties.keys() - ours == documented, table


def test_the_readme_has_the_keys_that_come_from_kubernetes():
    text = (chart.CHART / "README.md").read_text().split("### bridges.NAME\n")[1].split("\n## ")[0]
    schema = json.loads((chart.CHART / "values.schema.json").read_text())["definitions"]["bridge"]["properties"]
    keys = {f"credentials.{key}" for key in schema["credentials"]["properties"]} | {"tls.secretName", "tls.ca", "egressTo"}
    assert set(re.findall(r"^\| ([a-zA-Z.]+) \|", text, re.M)) - {"Key"} == keys
