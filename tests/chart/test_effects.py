"""What values do, beyond being rendered."""

import base64
import json

import pytest
import tomllib
import yaml

import chart
from chart import made, notes_of, pod_of


def toml(**values):
    return tomllib.loads(made(**values).toml())


# The claim, the database's limit and the write-ahead log's, in MiB.
@pytest.mark.parametrize(("size", "database", "log"), [
    ("10Gi", 8192 - 256, 256), ("1Ti", 838860 - 256, 256), ("2Gi", 1638 - 256, 256), ("1Gi", 819 - 128, 128),
    ("500Mi", 400 - 62, 62), ("100Mi", 80 - 32, 32), ("10G", 7629 - 256, 256), ("1.5Gi", 1228 - 192, 192),
    (10 * 1024**3, 8192 - 256, 256),
])
def test_the_limit_of_the_database_follows_the_claim(size, database, log):
    disk = toml(persistence={"size": size})["persistence"]
    assert disk["wal_limit"] == f"{log}MiB"
    # Rounded down; the log's eighth of a claim need not be whole MiB.
    assert abs(int(disk["max_size"].removesuffix("MiB")) - database) <= 1


def test_database_and_log_never_fill_the_claim():
    for size, percent in (("1Gi", 95), ("64Mi", 95), ("10Gi", 10), ("7.3G", 33)):
        disk = toml(persistence={"size": size, "usablePercent": percent})["persistence"]
        claim = float(size.rstrip("GMi")) * {"Gi": 1024, "Mi": 1, "G": 953.67}[size.lstrip("0123456789.")]
        used = sum(int(disk[key].removesuffix("MiB")) for key in ("max_size", "wal_limit"))
        assert used <= claim * percent / 100


def test_what_config_says_of_sizes_wins():
    disk = toml(config={"persistence": {"max_size": "1GiB"}})["persistence"]
    assert (disk["max_size"], disk["wal_limit"]) == ("1GiB", "256MiB")
    disk = toml(config={"persistence": {"wal_limit": "1GB"}})["persistence"]
    assert (disk["max_size"], disk["wal_limit"]) == (f"{8192 - 954}MiB", "1GB")


def test_existing_claims_set_the_limit_too():
    assert toml(persistence={"existingClaim": "x", "size": "2Gi"})["persistence"]["max_size"] == "1382MiB"


@pytest.mark.parametrize(("values", "seconds"), [
    ({}, 60 + 512), ({"persistence": {"size": "1Ti"}}, 60 + 52428), ({"persistence": {"enabled": False}}, 60),
    ({"startupProbe": {"periodSeconds": 5}}, 575), ({"startupProbe": {"failureThreshold": 7}}, 7),
])
def test_the_startup_probe_leaves_time_to_read_the_whole_claim(values, seconds):
    probe = made(**values).container()["startupProbe"]
    assert probe["failureThreshold"] * probe["periodSeconds"] == seconds


def test_numbers_booleans_and_text_keep_their_kind():
    """Helm reads every number as a float; 1e6 and 1024.0 are no whole numbers in TOML."""
    given = {"mqtt": {"receive_maximum": 1024, "max_packet_size": 268435455, "retain_available": False, "sys_interval": "never"},
             "extra": {"big": 9007199254740991, "million": 1000000, "zero": 0, "share": 0.25, "tiny": 1e-9, "negative": -5,
                       "number as text": "1024", "true as text": "true", "quotes": 'a "b" \\ <c> & \t\n', "ü.dot": "é",
                       "list": [1, 0.5, "x", True], "tables": [{"a": 1, "b": "c"}], "null": None,
                       "deep": {"deeper": {"x": 1}, "y": 2}, "empty": {}}}
    for which in chart.HELMS:
        objects = chart.Objects(chart.render(chart.merged(chart.OPEN, {"config": given}), which))
        read = tomllib.loads(objects.toml())
        wanted = dict(given["extra"])
        del wanted["null"], wanted["empty"]
        assert read["extra"] == wanted
        assert read["mqtt"] == given["mqtt"]
        kinds = {key: type(value) for key, value in read["extra"].items()}
        assert kinds == {key: type(value) for key, value in wanted.items()}


@pytest.mark.parametrize("setting", ["config.session.max_queued_messages=2000000"])
def test_settings_of_the_command_line_are_the_same(setting):
    for which in chart.HELMS:
        objects = chart.Objects(chart.render(chart.OPEN, which, sets=[setting]))
        assert "max_queued_messages = 2000000\n" in objects.toml()


def test_a_changed_configuration_restarts_the_pod_and_a_new_chart_does_not(whole, tmp_path):
    assert pod_of() == pod_of(commonAnnotations={}) == pod_of(backup={"enabled": True})
    secured = {"listeners": {"tcp": {"protocol": "mqtts", "tls": {"secretName": "x"}}}}
    for one, other in (({}, {"config": {"mqtt": {"on_full": "stall"}}}), ({}, {"http": {"port": 81}}),
                       ({}, {"http": {"token": "0123456789abcdef"}}), ({}, secured),
                       (secured, chart.merged(secured, {"listeners": {"tcp": {"tls": {"secretName": "y"}}}}))):
        assert pod_of(**one) != pod_of(**other)
    later = chart.complete_chart(tmp_path)
    description = later / "Chart.yaml"
    description.write_text(description.read_text().replace("version: 0.1.0\n", "version: 9.9.9\n"))
    pods = [chart.Objects(chart.render(chart.OPEN, chart=c)).workload["spec"]["template"] for c in (whole, later)]
    assert pods[0] == pods[1]


def test_secrets_reach_the_pod_as_files_and_nothing_else():
    password, token = "alice:$argon2id$x", "0123456789abcdef"
    objects = made(auth={"passwords": password}, http={"token": token})
    shown = json.dumps([o for o in objects if o["kind"] != "Secret"])
    assert password not in shown and token not in shown
    config = tomllib.loads(objects.toml())
    files = {}
    for source in next(v for v in objects.pod["volumes"] if v["name"] == "config")["projected"]["sources"]:
        if "secret" in source:
            content = objects.one("Secret", source["secret"]["name"])["data"]
            files |= {f"/etc/ferrymq/{i['path']}": base64.b64decode(content[i["key"]]).decode() for i in source["secret"]["items"]}
    assert files == {config["auth"]["password_file"]: password, config["http"]["token_file"]: token}


def test_existing_secrets_are_mounted_and_none_is_made():
    objects = made(auth={"existingSecret": "users", "existingSecretKey": "a"}, http={"existingSecret": "admin", "existingSecretKey": "b"})
    assert objects.all("Secret") == []
    sources = next(v for v in objects.pod["volumes"] if v["name"] == "config")["projected"]["sources"]
    assert [s["secret"] for s in sources[1:]] == [
        {"name": "users", "items": [{"key": "a", "path": "passwords"}]}, {"name": "admin", "items": [{"key": "b", "path": "token"}]}]


def test_the_check_before_an_upgrade_sees_what_the_pod_will_see():
    objects = made(auth={"passwords": "a:b"}, config={"mqtt": {"on_full": "stall"}})
    job = objects.one("Job")
    hooks = [o for o in objects if o["metadata"].get("annotations", {}).get("helm.sh/hook") == "pre-upgrade"]
    assert sorted(o["kind"] for o in hooks) == ["ConfigMap", "Job", "Secret"]
    copy = objects.one("ConfigMap", job["metadata"]["name"])
    assert copy["data"]["ferrymq.toml"] == objects.toml()
    spec = job["spec"]["template"]["spec"]
    names = [next(iter(s.values()))["name"] for s in spec["volumes"][0]["projected"]["sources"]]
    assert names == [copy["metadata"]["name"]] * 2
    init = objects.container("config-check")
    for key in ("image", "args", "env", "volumeMounts"):
        assert spec["containers"][0][key] == init[key]
    assert init["args"] == ["config", "check"]


def test_a_listener_is_one_port_everywhere():
    objects = made(listeners={"boats": {"port": 1884, "config": {"max_connections": 7}, "expose": {"enabled": True, "port": 443}}})
    listeners = tomllib.loads(objects.toml())["listeners"]
    assert listeners["boats"] == {"bind": "0.0.0.0:1884", "protocol": "mqtt", "max_connections": 7}
    assert {"name": "boats", "containerPort": 1884, "protocol": "TCP"} in objects.container()["ports"]
    inside = objects.one("Service", "boat-ferrymq")["spec"]
    assert [p["port"] for p in inside["ports"]] == [1884, 1883, 8080]
    outside = objects.one("Service", "boat-ferrymq-boats")["spec"]
    assert (outside["type"], outside["externalTrafficPolicy"]) == ("LoadBalancer", "Local")
    assert outside["ports"] == [
        {"name": "boats", "port": 443, "targetPort": "boats", "protocol": "TCP", "appProtocol": "mqtt"}]


@pytest.mark.parametrize("off", [{"enabled": False}, None])
def test_a_listener_that_is_off_does_not_come_back_on_loopback(off):
    objects = made(listeners={"tcp": off})
    assert tomllib.loads(objects.toml())["listeners"] == {"tcp": {"bind": "off"}}
    assert [p["name"] for p in objects.container()["ports"]] == ["http"]
    assert objects.all("Pod") == []


def test_services_find_the_broker_and_no_other_pod():
    objects = made(backup={"enabled": True}, tests={"drill": {"enabled": True}})
    labels = dict(objects.workload["spec"]["template"]["metadata"]["labels"])
    # Kubernetes gives it. A second pod, which only a scaling by hand makes, is not found.
    labels["statefulset.kubernetes.io/pod-name"] = objects.workload["metadata"]["name"] + "-0"
    others = [o["metadata"]["labels"] for o in objects.all("Pod")]
    others.append(objects.one("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"])
    others.append(objects.one("Job")["spec"]["template"]["metadata"]["labels"])
    assert len(others) == 4
    for service in objects.all("Service"):
        selector = service["spec"]["selector"].items()
        assert selector <= labels.items()
        assert not any(selector <= other.items() for other in others)
    assert objects.one("Service", objects.workload["spec"]["serviceName"])["spec"]["clusterIP"] == "None"


def test_names_that_look_like_numbers_stay_names():
    objects = made(namespaceOverride="007", persistence={"existingClaim": "123", "subPath": "true"},
                   serviceAccount={"name": "1e3"}, workload={"kind": "Deployment"})
    assert {o["metadata"]["namespace"] for o in objects if "namespace" in o["metadata"]} == {"007"}
    pod = objects.workload["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "1e3"
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "123"}} in pod["volumes"]
    assert [m["subPath"] for m in objects.container()["volumeMounts"] if m["name"] == "data"] == ["true"]


def test_what_checks_the_configuration_has_the_brokers_arguments_and_no_claims():
    objects = made(extraArgs=["--set", "persistence.cache_size=64MiB"], extraVolumes=[
        {"name": "replica", "persistentVolumeClaim": {"claimName": "replica"}},
        {"name": "authority", "configMap": {"name": "authority"}}], extraVolumeMounts=[
        {"name": "replica", "mountPath": "/replica"}, {"name": "authority", "mountPath": "/ca"}])
    check = ["config", "check", "--set", "persistence.cache_size=64MiB"]
    pod = objects.workload["spec"]["template"]["spec"]
    assert [c["args"] for c in pod["initContainers"] if c["name"] == "config-check"] == [check]
    hook = objects.one("Job")["spec"]["template"]["spec"]
    assert hook["containers"][0]["args"] == check
    assert [v["name"] for v in hook["volumes"]] == ["config", "authority"]
    assert [m["name"] for m in hook["containers"][0]["volumeMounts"]] == ["config", "authority"]
    assert {"replica", "authority"} <= {m["name"] for m in objects.container()["volumeMounts"]}


def test_probes_and_monitors_name_ports_that_are_there():
    for values in ({}, {"http": {"metricsPort": 9102}}):
        for kind, key in (("serviceMonitor", "endpoints"), ("podMonitor", "podMetricsEndpoints")):
            objects = made(metrics={kind: {"enabled": True}}, **values)
            port = objects.one(kind[0].upper() + kind[1:])["spec"][key][0]["port"]
            assert port == ("metrics" if values else "http")
            assert port in [p["name"] for p in objects.container()["ports"]]
            assert port in [p["name"] for p in objects.one("Service", "boat-ferrymq")["spec"]["ports"]]
            assert objects.container()["readinessProbe"]["httpGet"]["port"] == "http"


def test_a_monitor_finds_one_service(whole):
    """Were the headless Service found too, everything would be scraped twice."""
    objects = made(metrics={"serviceMonitor": {"enabled": True}}, listeners={"tcp": {"expose": {"enabled": True}}})
    wanted = objects.one("ServiceMonitor")["spec"]["selector"]["matchLabels"].items()
    found = [s["metadata"]["name"] for s in objects.all("Service") if wanted <= s["metadata"]["labels"].items()]
    assert found == ["boat-ferrymq"]


@pytest.mark.parametrize("kind", ["serviceMonitor", "podMonitor"])
def test_the_job_is_what_alerts_look_for_whatever_the_release_is_called(kind):
    own = {"targetLabel": "site", "replacement": "harbour"}
    objects = made(nameOverride="mqtt", metrics={kind: {"enabled": True, "relabelings": [own]}})
    spec = objects.one(kind[0].upper() + kind[1:])["spec"]
    assert (spec.get("endpoints") or spec["podMetricsEndpoints"])[0]["relabelings"] == [{"targetLabel": "job", "replacement": "ferrymq"}, own]


def test_rules_are_those_of_the_file(whole):
    rule = chart.Objects(chart.render(chart.merged(chart.OPEN, {"metrics": {"prometheusRule": {"enabled": True}}}), chart=whole)).one("PrometheusRule")
    assert rule["spec"] == yaml.safe_load((whole / "files/rules.yaml").read_text())


def test_rules_can_be_left_out_labelled_and_added(whole):
    groups = yaml.safe_load((whole / "files/rules.yaml").read_text())["groups"]
    alerts = [r["alert"] for g in groups for r in g["rules"] if "alert" in r]
    own = {"alert": "Own", "expr": "1"}
    values = chart.merged(chart.OPEN, {"metrics": {"prometheusRule": {
        "enabled": True, "disabled": alerts[:1], "ruleLabels": {"severity": "page", "team": "x"}, "extraRules": [own]}}})
    rendered = chart.Objects(chart.render(values, chart=whole)).one("PrometheusRule")["spec"]["groups"]
    assert rendered[-1] == {"name": "ferrymq-extra", "rules": [own]}
    rules = [r for g in rendered[:-1] for r in g["rules"] if "alert" in r]
    assert [r["alert"] for r in rules] == alerts[1:]
    assert all(r["labels"]["team"] == "x" and r["labels"]["severity"] == "page" for r in rules)


def test_the_dashboard_is_the_file(whole):
    values = chart.merged(chart.OPEN, {"metrics": {"dashboard": {"enabled": True}}})
    shown = chart.Objects(chart.render(values, chart=whole)).one("ConfigMap", "boat-ferrymq-dashboard")
    assert json.loads(shown["data"]["ferrymq.json"]) == json.loads((whole / "files/dashboard.json").read_text())
    assert shown["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_nothing_is_allowed_that_is_not_needed():
    """Restricted, as the Pod Security Standards have it, in all pods."""
    objects = made(backup={"enabled": True}, tests={"drill": {"enabled": True}}, litestream={"enabled": True, "replica": {"type": "file", "path": "/x"}})
    pods = [objects.pod, objects.one("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"],
            objects.one("Job")["spec"]["template"]["spec"], *(p["spec"] for p in objects.all("Pod"))]
    assert len(pods) == 5
    for pod in pods:
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, 10001)
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"] + pod.get("initContainers", []):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
            assert container["resources"]["requests"]


def test_the_backup_stands_beside_the_broker_on_its_volume():
    objects = made(backup={"enabled": True})
    cron = objects.one("CronJob")["spec"]
    pod = cron["jobTemplate"]["spec"]["template"]["spec"]
    assert cron["concurrencyPolicy"] == "Forbid"
    near = pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]
    assert near["topologyKey"] == "kubernetes.io/hostname"
    labels = objects.workload["spec"]["template"]["metadata"]["labels"]
    assert near["labelSelector"]["matchLabels"].items() <= labels.items()
    claims = {v["name"]: v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"]}
    template = objects.workload["spec"]["volumeClaimTemplates"][0]["metadata"]["name"]
    assert claims == {"data": f"{template}-boat-ferrymq-0", "backup": "boat-ferrymq-backup"}
    assert objects.one("PersistentVolumeClaim")["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert pod["initContainers"][0]["args"] == ["db", "backup", "--database", "/data/ferrymq.db", "--force", "/backup/boat-ferrymq.new"]


def test_litestream_outlives_the_broker_where_kubernetes_can():
    litestream = {"enabled": True, "replica": {"type": "file", "path": "/replica"}}
    new, old = made("1.29", litestream=litestream), made("1.28", litestream=litestream)
    order = [c["name"] for c in new.pod["initContainers"]]
    assert order == ["config-check", "litestream-restore", "litestream"]
    assert new.container("litestream")["restartPolicy"] == "Always"
    assert [c["name"] for c in old.pod["containers"]] == ["ferrymq", "litestream"]
    for objects in (new, old):
        assert tomllib.loads(objects.toml())["persistence"]["checkpoints"] == "external"
        assert objects.container("litestream-restore")["args"][-1] == "/data/ferrymq.db"
    assert "checkpoints" not in toml()["persistence"]


def test_policies_name_pods_that_exist():
    objects = made(networkPolicy={"enabled": True, "clients": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}, podDisruptionBudget={"enabled": True})
    labels = objects.workload["spec"]["template"]["metadata"]["labels"].items()
    policy = objects.one("NetworkPolicy")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels
    assert objects.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items() <= labels
    ports = [p["port"] for rule in policy["ingress"] for p in rule["ports"]]
    assert ports == [p["name"] for p in objects.container()["ports"]]
    # The pods of `helm test` come in through both rules.
    test = objects.one("Pod")["metadata"]["labels"].items()
    for rule in policy["ingress"]:
        assert any(peer.get("podSelector", {}).get("matchLabels", {"no": "no"}).items() <= test for peer in rule["from"])


def test_apis_follow_the_cluster():
    values = dict(podDisruptionBudget={"enabled": True}, backup={"enabled": True})
    old, new = made("1.20", **values), made("1.21", **values)
    assert (old.one("PodDisruptionBudget")["apiVersion"], new.one("PodDisruptionBudget")["apiVersion"]) == ("policy/v1beta1", "policy/v1")
    assert (old.one("CronJob")["apiVersion"], new.one("CronJob")["apiVersion"]) == ("batch/v1beta1", "batch/v1")
    route = chart.merged(chart.OPEN, {"listeners": {"tcp": {"tcpRoute": {"enabled": True, "parentRefs": [{"name": "edge"}]}}}})
    gateway = "gateway.networking.k8s.io"
    for apis, version in (((), "v1alpha2"), ((f"{gateway}/v1/TCPRoute",), "v1")):
        objects = chart.Objects(chart.render(route, api_versions=apis))
        assert objects.one("TCPRoute")["apiVersion"] == f"{gateway}/{version}"
    route = chart.merged(chart.OPEN, {"listeners": {"tcp": {"protocol": "mqtts", "tls": {"secretName": "x"}, "tlsRoute": {
        "enabled": True, "parentRefs": [{"name": "edge"}], "hostnames": ["a.example"]}}}})
    old = f"{gateway}/v1alpha2/TLSRoute"
    for apis, version in (((), "v1"), ((old,), "v1alpha2"), ((old, f"{gateway}/v1alpha3/TLSRoute"), "v1alpha3"), ((old, f"{gateway}/v1/TLSRoute"), "v1")):
        objects = chart.Objects(chart.render(route, api_versions=apis))
        assert objects.one("TLSRoute")["apiVersion"] == f"{gateway}/{version}"


def test_tests_that_cannot_log_in_say_so():
    def environment(**values):
        return {e["name"] for e in made(**values).one("Pod")["spec"]["containers"][0]["env"]}

    closed = {"existingSecret": "users"}
    assert "NEEDS_PASSWORD" not in environment()
    assert "NEEDS_PASSWORD" in environment(auth=closed)
    assert {"MQTT_USERNAME", "MQTT_PASSWORD"} <= environment(auth=closed, tests={"messages": {"existingSecret": "x"}})


def test_notes_tell_three_commands(whole):
    notes = notes_of(whole)
    for command in ("kubectl -n sea rollout status statefulset/boat-ferrymq", "helm -n sea test boat --logs",
                    "kubectl -n sea port-forward service/boat-ferrymq 1883:1883"):
        assert command in notes
    assert "everybody who reaches the port is let in" in notes


@pytest.mark.parametrize(("replica", "is_remote"), [
    ("type=s3", True), ("url=s3://bucket/path", True), ("url=s3://b/p,litestream.replica.type=file", True),
    ("type=file", False), ("path=/replica", False), ("url=file:///replica", False)])
def test_notes_warn_of_a_replica_that_the_network_policy_may_put_out_of_reach(whole, replica, is_remote):
    settings = ("litestream.enabled=true", f"litestream.replica.{replica}", "networkPolicy.enabled=true")
    warning = "unless another policy lets Litestream out"
    assert (warning in notes_of(whole, *settings)) == is_remote
    assert warning not in notes_of(whole, *settings, "networkPolicy.restrictEgress=false")
    assert warning not in notes_of(whole, *settings, "networkPolicy.extraEgress[0].ports[0].port=443")


def test_temporary_files_of_the_database_are_on_its_volume():
    objects = made(persistence={"mountPath": "/srv/mqtt"})
    variables = {e["name"]: e.get("value") for e in objects.container("ferrymq")["env"]}
    assert variables["SQLITE_TMPDIR"] == "/srv/mqtt"
    assert "SQLITE_TMPDIR" not in str(made(persistence={"enabled": False}))
