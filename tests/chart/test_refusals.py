"""Wrong values, and the line that says what is wrong and what to write instead."""

import re

import pytest

import chart



def tls(**values):
    return {"listeners": {"tcp": {"protocol": "mqtts", "tls": {"secretName": "x", **values}}}}


def bridge(name="up", **values):
    return {"bridges": {name: {"addresses": ["mqtt://central"], "forward": [{"filter": "#"}], **values}}}


# Values; what both Helms have to say, as a regular expression (they word what the
# schema finds differently: "PLACE" is a key in either's way of writing it).
SCHEMA = [
    ({"replicas": 2}, "replicas", "one replica only, since the database belongs to one process"),
    ({"replicas": 0}, "replicas", "one replica only"),
    ({"replicas": "one replica only, since the database belongs to one process"}, "replicas", "integer"),
    ({"persistence": {"siez": "1Gi"}}, "persistence", "siez.*not allowed"),
    ({"presistence": {}}, "", "presistence.*not allowed"),
    ({"workload": {"kind": "DaemonSet"}}, "workload.kind", "StatefulSet.*Deployment"),
    ({"auth": {"allowAnonymous": "yes"}}, "auth.allowAnonymous", "boolean"),
    ({"listeners": {"tcp": {"port": 99999}}}, "listeners.tcp.port", "65,?535"),
    ({"listeners": {"boats": {"prot": 1884}}}, "listeners.boats", "prot.*not allowed"),
    ({"listeners": {"tcp": {"protocol": "unix"}}}, "listeners.tcp.protocol", "must be.*mqtt.*mqtts.*ws.*wss"),
    ({"listeners": {"tcp": {"tls": {"clientAuth": "on"}}}}, "listeners.tcp.tls.clientAuth", "must be.*off.*optional.*required"),
    ({"listeners": {"tcp": {"tls": {"clientAuth": True}}}}, "listeners.tcp.tls.clientAuth", "must be.*off.*optional.*required"),
    ({"listeners": {"tcp": {"tls": {"minVersion": "1.1"}}}}, "listeners.tcp.tls.minVersion", "must be.*1.2.*1.3"),
    ({"listeners": {"tcp": {"tls": {"certManager": {"duration": "90d"}}}}}, "listeners.tcp.tls.certManager.duration", "pattern"),
    ({"listeners": {"tcp": {"proxyProtocol": "v3"}}}, "listeners.tcp.proxyProtocol", "must be.*v1.*v2.*any"),
    ({"listeners": {"tcp": {"trustedProxies": ["lb.example.org"]}}}, "listeners.tcp.trustedProxies", "pattern"),
    ({"listeners": {"tcp": {"websocket": {"path": "mqtt"}}}}, "listeners.tcp.websocket.path", "pattern"),
    ({"auth": {"methods": ["passwords"]}}, "auth.methods", "must be.*certificate.*jwt.*password.*http"),
    ({"auth": {"jwt": {"leeway": "10 s"}}}, "auth.jwt.leeway", "pattern"),
    ({"auth": {"jwt": {"secret": {"configMapName": "x"}}}}, "auth.jwt.secret", "configMapName.*not allowed"),
    ({"auth": {"http": {"url": "auth.example.org"}}}, "auth.http.url", "pattern"),
    ({"acl": {"rules": [{"effect": "permit", "topics": ["#"]}]}}, "acl.rules", "must be.*allow.*deny"),
    ({"acl": {"rules": [{"effect": "deny"}]}}, "acl.rules", "topics"),
    ({"acl": {"rules": [{"effect": "deny", "topics": ["#"], "maxQos": 1}]}}, "acl.rules", "maxQos.*not allowed"),
    ({"bridges": {"up": {"forward": [{"filter": "#"}]}}}, "bridges.up", "addresses"),
    (bridge(addresses=[]), "bridges.up.addresses", "(at least 1|minItems)"),
    (bridge(addresses=["central:1883"]), "bridges.up.addresses", "pattern"),
    (bridge(addresses=["mqtt://central/mqtt"]), "bridges.up.addresses", "pattern"),
    (bridge(addresses=["mqtts://ann:secret@central"]), "bridges.up.addresses", "pattern"),
    (bridge(adresses=["mqtt://central"]), "bridges.up", "adresses.*not allowed"),
    # It would stand in a ConfigMap.
    (bridge(password="secret"), "bridges.up", "password.*not allowed"),
    (bridge(password_file="/etc/x"), "bridges.up", "password_file.*not allowed"),
    (bridge(version="3.1"), "bridges.up.version", "must be.*auto.*5.0.*3.1.1"),
    (bridge(client_id=7), "bridges.up.client_id", "string"),
    (bridge(keep_alive="1 minute"), "bridges.up.keep_alive", "pattern"),
    (bridge(keep_alive=60), "bridges.up.keep_alive", "string"),
    (bridge(session_expiry="0s"), "bridges.up.session_expiry", "pattern"),
    (bridge(receive_maximum=0), "bridges.up.receive_maximum", "1"),
    (bridge(max_queued_bytes="4Gi"), "bridges.up.max_queued_bytes", "pattern"),
    (bridge(max_rate={"bytes": "512K"}), "bridges.up.max_rate.bytes", "pattern"),
    (bridge(overflow="stall"), "bridges.up.overflow", "must be.*refuse.*drop-oldest.*drop-newest"),
    (bridge(on_refused="drop"), "bridges.up.on_refused", "must be.*dead-letter.*stop"),
    (bridge(forward=["site/#"]), "bridges.up.forward", "object"),
    (bridge(forward=[{"topic": "#"}]), "bridges.up.forward", "topic.*not allowed"),
    (bridge(forward=[{"qos": 1}]), "bridges.up.forward", "filter"),
    (bridge(forward=[{"filter": "#", "qos": 3}]), "bridges.up.forward", "2"),
    (bridge(subscribe=[{"filter": "#", "remote_prefix": "a/#"}]), "bridges.up.subscribe", "pattern"),
    (bridge(tls={"ca_file": "/etc/x"}), "bridges.up.tls", "ca_file.*not allowed"),
    (bridge(tls={"caSecretName": "x"}), "bridges.up.tls", "caSecretName.*not allowed"),
    (bridge(credentials={"existingSecret": "x"}), "bridges.up.credentials", "existingSecret.*not allowed"),
    (bridge(egressTo={"ipBlock": {}}), "bridges.up.egressTo", "array"),
    ({"metrics": {"serviceMonitor": {"scheme": "tls"}}}, "metrics.serviceMonitor.scheme", "must be.*http.*https"),
    ({"listeners": {"tcp": {"expose": {"type": "ExternalName"}}}}, "listeners.tcp.expose.type", "LoadBalancer.*NodePort.*ClusterIP"),
    ({"config": {"session": 5}}, "config.session", "object"),
    ({"commonLabels": {"build": 5}}, "commonLabels.build", "string"),
    ({"podAnnotations": {"prometheus.io/scrape": True}}, "podAnnotations", "string"),
    ({"persistence": {"usablePercent": 100}}, "persistence.usablePercent", "95"),
    ({"persistence": {"mountPath": "data"}}, "persistence.mountPath", r"pattern"),
    ({"persistence": {"accessModes": []}}, "persistence.accessModes", "(at least 1|minItems)"),
    ({"persistence": {"retentionPolicy": {"whenDeleted": "Keep"}}}, "persistence.retentionPolicy.whenDeleted", "Retain.*Delete"),
    ({"image": {"pullPolicy": "Sometimes"}}, "image.pullPolicy", "Always.*IfNotPresent.*Never"),
    ({"podDisruptionBudget": {"maxUnavailable": 2}}, "podDisruptionBudget.maxUnavailable", "1"),
    ({"backup": {"keep": 0}}, "backup.keep", "1"),
    ({"tests": {"drill": {"seconds": 0}}}, "tests.drill.seconds", "0.1"),
    ({"extraEnv": {"A": "b"}}, "extraEnv", "array"),
    # A heading with nothing but comments below it.
    ({"config": None}, "", "config"),
    ({"startupProbe": {"periodSeconds": None}}, "startupProbe", "periodSeconds"),
    ({"persistence": {"enabled": None}}, "persistence", "enabled"),
    ({"backup": {"rate": "50M"}}, "backup.rate", "pattern"),
]
# Values; the whole message.
CHECKS = [
    ({"auth": {"allowAnonymous": False}}, "nobody could connect: set auth.passwords or auth.existingSecret (lines of user:hash, as `ferrymq passwd FILE USER` writes them), auth.jwt, auth.http, auth.scram or client certificates, or auth.allowAnonymous=true to let everybody in who reaches the port"),
    ({"auth": {"passwords": "a:b", "existingSecret": "x"}}, "auth.passwords and auth.existingSecret are both set: keep one"),
    ({"http": {"token": "0123456789abcdef", "existingSecret": "x"}}, "http.token and http.existingSecret are both set: keep one"),
    ({"http": {"token": "short"}}, "http.token: the broker wants at least 16 characters"),
    ({"image": {"digest": "0123"}}, 'image.digest "0123": write sha256: and 64 hexadecimal digits'),
    ({"config": {"listeners": {"tcp": {"bind": "x"}}}}, "config.listeners: use `listeners`, which the Services follow; further keys of a listener go into listeners.NAME.config"),
    ({"config": {"http": {"bind": "x"}}}, "config.http.bind: set http.port instead"),
    ({"config": {"http": {"token": "x"}}}, "config.http.token: set http.token or http.existingSecret, which keep it in a Secret instead"),
    ({"config": {"auth": {"allow_anonymous": True}}}, "config.auth.allow_anonymous: set auth.allowAnonymous instead"),
    ({"config": {"persistence": {"path": "x"}}}, "config.persistence.path: set persistence.mountPath instead"),
    ({"listeners": {"tcp": {"config": {"bind": "x"}}}}, "listeners.tcp.config.bind: set listeners.tcp.port and .protocol instead, which the Services follow"),
    ({"listeners": {"boats": {"enabled": True}}}, "listeners.boats.port is missing"),
    ({"listeners": {"http": {"port": 1}}}, "listeners.http: this name is taken by the chart; choose another"),
    ({"listeners": {"Boats": {"port": 1}}}, "listeners.Boats: the name is a port's name too, so at most 15 of a-z, 0-9 and -, beginning with a letter"),
    ({"listeners": {"tcp": {"port": 8080}}}, "listeners.tcp.port 8080 is taken by http.port"),
    ({"listeners": {"a": {"port": 1883}}}, "listeners.tcp.port 1883 is taken by listeners.a"),
    ({"listeners": {"tcp": {"tcpRoute": {"enabled": True}}}}, "listeners.tcp.tcpRoute.parentRefs: name the Gateway that carries the route"),
    ({"listeners": {"tcp": {"config": {"proxy_protocol": "v2"}}}}, "listeners.tcp.config.proxy_protocol: set listeners.tcp.proxyProtocol instead"),
    ({"listeners": {"tcp": {"config": {"tls": {"key_file": "x"}}}}}, "listeners.tcp.config.tls: set listeners.tcp.tls instead"),
    ({"listeners": {"tcp": {"config": {"mode": "660"}}}}, "listeners.tcp.config.mode: the chart makes no Unix sockets; remove it"),
    ({"listeners": {"tcp": {"protocol": "mqtts"}}}, "listeners.tcp.tls: protocol mqtts needs a certificate; name a Secret of type kubernetes.io/tls in secretName, or set certManager.enabled"),
    ({"listeners": {"tcp": {"tls": {"secretName": "x"}}}}, "listeners.tcp.tls: protocol mqtt has no TLS; write protocol: mqtts, or remove it"),
    ({"listeners": {"tcp": {"protocol": "ws", "tls": {"certManager": {"enabled": True}}}}}, "listeners.tcp.tls: protocol ws has no TLS; write protocol: wss, or remove it"),
    ({"listeners": {"tcp": {"protocol": "wss", "tls": {"certManager": {"enabled": True}}}}}, "listeners.tcp.tls.certManager.issuerRef: name the issuer, as {name: ..., kind: ClusterIssuer}"),
    (tls(clientAuth="optional"), "listeners.tcp.tls.clientAuth optional needs caSecretName: the Secret with the authorities that client certificates are issued by"),
    (tls(caSecretName="x"), "listeners.tcp.tls: client certificates are not asked for; write clientAuth: required or optional, or remove caSecretName and crlSecretName"),
    (tls(crlSecretName="x"), "listeners.tcp.tls: client certificates are not asked for; write clientAuth: required or optional, or remove caSecretName and crlSecretName"),
    ({"listeners": {"tcp": {"proxyProtocol": "any"}}}, "listeners.tcp.proxyProtocol needs trustedProxies: list the networks that the load balancer's connections come from, as CIDRs"),
    ({"listeners": {"tcp": {"trustedProxies": ["192.0.2.0/24"]}}}, "listeners.tcp.trustedProxies: protocol mqtt has no X-Forwarded-For, so they could not name a client; set proxyProtocol, or remove it"),
    ({"listeners": {"tcp": {"ingress": {"enabled": True, "hosts": ["a"]}}}}, "listeners.tcp.ingress carries HTTP, and protocol mqtt is none; write protocol: ws, or use expose"),
    ({"listeners": {"tcp": {"httpRoute": {"enabled": True}}}}, "listeners.tcp.httpRoute carries HTTP, and protocol mqtt is none; write protocol: ws, or use expose"),
    ({"listeners": {"tcp": {"protocol": "ws", "ingress": {"enabled": True}}}}, "listeners.tcp.ingress.hosts: name at least one host"),
    ({"listeners": {"tcp": {"protocol": "ws", "httpRoute": {"enabled": True}}}}, "listeners.tcp.httpRoute.parentRefs: name the Gateway that carries the route"),
    ({"listeners": {"tcp": {"tlsRoute": {"enabled": True}}}}, "listeners.tcp.tlsRoute passes TLS on, and protocol mqtt has none; write protocol: mqtts, or use tcpRoute"),
    ({"listeners": {"tcp": {"protocol": "mqtts", "tls": {"secretName": "x"}, "tlsRoute": {"enabled": True, "parentRefs": [{"name": "g"}]}}}}, "listeners.tcp.tlsRoute.hostnames: name at least one host, by which the Gateway finds the route"),
    ({"listeners": {"tcp": {"protocol": "mqtts", "tls": {"secretName": "x"}, "tlsRoute": {"enabled": True, "hostnames": ["a"]}}}}, "listeners.tcp.tlsRoute.parentRefs: name the Gateway that carries the route"),
    ({"tests": {"messages": {"listener": "web"}}, "listeners": {"web": {"port": 8083, "protocol": "ws"}}}, 'tests.messages.listener: "web" is no listener that speaks mqtt or mqtts without the PROXY protocol'),
    ({"auth": {"jwt": {"jwks": {"secretName": "a", "configMapName": "b"}}}}, "auth.jwt.jwks.secretName and .configMapName are both set: keep one"),
    ({"acl": {"rules": [{"effect": "deny", "topics": ["#"]}], "mosquittoFile": {"secretName": "a"}}}, "acl.rules and acl.mosquittoFile are both set: keep one"),
    ({"config": {"acl": {"rules": []}}}, "config.acl: set acl.rules, acl.groups or acl.mosquittoFile instead"),
    ({"config": {"auth": {"jwt": {"leeway": "5s"}}}}, "config.auth.jwt: set auth.jwt instead"),
    ({"config": {"bridges": {"up": {}}}}, "config.bridges: use `bridges`, which the volume and the NetworkPolicy follow"),
    (bridge("Up"), "bridges.Up: a bridge's name is made of a-z, 0-9, - and _, never two _ in a row, and has at most 64 characters"),
    (bridge("a__b"), "bridges.a__b: a bridge's name is made of a-z, 0-9, - and _, never two _ in a row, and has at most 64 characters"),
    (bridge(forward=[]), 'bridges.up: neither forward nor subscribe has a rule, so that nothing would pass: add one, such as forward: [{filter: "site/#"}]'),
    (bridge(credentials={"usernameKey": "username"}), "bridges.up.credentials needs secretName: the Secret with the password"),
    (bridge(credentials={"secretName": "x", "passwordKey": ""}), "bridges.up.credentials: nothing is taken from the Secret; name its keys in usernameKey and passwordKey"),
    (bridge(username="edge7", credentials={"secretName": "x", "usernameKey": "username"}), "bridges.up.username and .credentials.usernameKey are both set: keep one"),
    (bridge(addresses=["wss://a"], tls={"ca": {"secretName": "a", "configMapName": "b"}}), "bridges.up.tls.ca.secretName and .configMapName are both set: keep one"),
    (bridge(tls={"secretName": "x"}), "bridges.up.tls: no address uses TLS: write addresses with mqtts:// or wss://, or remove it"),
    ({"http": {"metricsPort": 8080}}, "http.metricsPort is http.port: leave it null to have /metrics there"),
    ({"persistence": {"size": "ten"}}, 'persistence.size: "ten" is no size of a volume: write it as 10Gi or 500Mi'),
    ({"persistence": {"size": "10GiB"}}, 'persistence.size: "10GiB" is no size of a volume: write it as 10Gi or 500Mi'),
    # Half a byte, for Kubernetes.
    ({"persistence": {"size": "500m"}}, 'persistence.size: "500m" is no size of a volume: write it as 10Gi or 500Mi'),
    ({"backup": {"enabled": True, "claim": {"size": "20 Gi"}}}, 'backup.claim.size: "20 Gi" is no size of a volume: write it as 10Gi or 500Mi'),
    ({"config": {"persistence": {"max_size": "10 gallons"}}}, 'config.persistence.max_size: "10 gallons" is not a size: write it as 10Gi or 500Mi'),
    ({"config": {"persistence": {"max_size": "10GiB"}}}, "config.persistence.max_size 10GiB and 256 MiB of write-ahead log are more than persistence.size 10Gi: the volume would be full before the broker refuses work; leave max_size out, and it follows from the size"),
    ({"metrics": {"prometheusRule": {"enabled": True, "disabled": ["Typo"]}}}, 'metrics.prometheusRule.disabled: there is no alert "Typo"; files/rules.yaml has those that there are'),
    ({"fullnameOverride": "My_MQTT"}, '"My_MQTT" would be the Services\' name, and is none: set fullnameOverride to a name of a-z, 0-9 and -, beginning with a letter'),
    ({"nameOverride": "a: b", "fullnameOverride": "boat"}, 'nameOverride "a: b" is no value for a label: use letters, digits, -, _ and .'),
    ({"litestream": {"enabled": True, "replica": {"type": "s3"}, "metricsPort": 8080}}, "litestream.metricsPort 8080 is taken by http.port: they share the pod's address"),
    ({"backup": {"enabled": True}, "runtimeClassName": "gvisor"}, "backup.enabled and runtimeClassName: in a sandbox of its own (gVisor, Kata) a second pod does not see the broker's locks on the database, and could harm it; use litestream, or POST /api/v1/database/backup"),
    ({"persistence": {"size": "32Mi"}}, "persistence.size 32Mi leaves no room for a database: 80% of it has to hold 32 MiB of write-ahead log and at least 8 MiB of database"),
    ({"config": {"persistence": {"wal_limit": "9GiB"}}}, "persistence.size 10Gi leaves no room for a database: 80% of it has to hold 9216 MiB of write-ahead log and at least 8 MiB of database"),
    ({"workload": {"kind": "Deployment"}}, "workload.kind Deployment needs persistence.existingClaim (or persistence.enabled=false): only a StatefulSet makes claims"),
    ({"persistence": {"accessModes": ["ReadWriteOncePod"]}, "backup": {"enabled": True}}, "backup.enabled needs an access mode that lets a second pod on the same node mount the volume: use ReadWriteOnce instead of ReadWriteOncePod"),
    ({"persistence": {"enabled": False}, "tests": {"drill": {"enabled": True}}}, "tests.drill.enabled needs persistence.enabled: there is no volume"),
    ({"persistence": {"enabled": False}, "litestream": {"enabled": True}}, "litestream.enabled needs persistence.enabled: there is no database"),
    ({"litestream": {"enabled": True}}, "litestream.replica: say where the replica is, as {type: s3, bucket: ..., path: ...}"),
    ({"terminationGracePeriodSeconds": 10}, "terminationGracePeriodSeconds 10 is not longer than config.runtime.shutdown_timeout 10s: the broker would be killed while it stops"),
    ({"config": {"runtime": {"shutdown_timeout": "1m"}}}, "terminationGracePeriodSeconds 30 is not longer than config.runtime.shutdown_timeout 1m: the broker would be killed while it stops"),
    ({"metrics": {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}}, "metrics.serviceMonitor and metrics.podMonitor are both enabled: everything would be scraped twice; keep one"),
    ({"ingress": {"enabled": True}}, "ingress.hosts: name at least one host"),
    ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs: name the Gateway that carries the route"),
]
OLD = [
    ({"listeners": {"tcp": {"expose": {"enabled": True, "loadBalancerClass": "a/b"}}}}, "listeners.tcp.expose.loadBalancerClass needs Kubernetes 1.22 or newer: leave it empty"),
    ({"persistence": {"retentionPolicy": {"whenScaled": "Delete"}}}, "persistence.retentionPolicy: Delete needs Kubernetes 1.27 or newer; delete the claim by hand"),
    ({"backup": {"enabled": True, "timeZone": "UTC"}}, "backup.timeZone needs Kubernetes 1.25 or newer: leave it empty, and write the schedule in the cluster's time"),
]
HELMS = pytest.mark.parametrize("which", chart.HELMS)


def refusal(values, which, **more):
    with pytest.raises(chart.Refused) as caught:
        chart.render(chart.merged({} if "passwords" in values.get("auth", {}) else chart.OPEN, values), which, **more)
    return str(caught.value)


@HELMS
@pytest.mark.parametrize(("values", "key", "says"), SCHEMA, ids=lambda x: x if isinstance(x, str) else "")
def test_the_schema_says_where_and_what(values, key, says, which):
    message = refusal(values, which)
    assert "values don't meet the specifications" in message
    line = next(text for text in message.splitlines() if re.search(says, text))
    assert key in line or "at '/" + key.replace(".", "/") in line, line


@HELMS
@pytest.mark.parametrize(("values", "says"), CHECKS, ids=[says[:30] for _, says in CHECKS])
def test_contradictions_are_said_in_one_line(values, says, which):
    assert any(line.endswith(f": {says}") for line in refusal(values, which).splitlines()), refusal(values, which)


@HELMS
@pytest.mark.parametrize(("values", "says"), OLD, ids=[says[:30] for _, says in OLD])
def test_what_an_old_kubernetes_cannot_do_is_refused(values, says, which):
    assert says in refusal(values, which, kubernetes="1.21")
    chart.render(chart.merged(chart.OPEN, values), which, kubernetes=chart.NEWEST)


@HELMS
def test_a_kubernetes_that_is_too_old_is_refused(which):
    assert "incompatible" in refusal({}, which, kubernetes="1.19")


@HELMS
def test_missing_files_are_said(which, tmp_path):
    bare = chart.complete_chart(tmp_path)
    (bare / "files/rules.yaml").unlink()
    (bare / "files/dashboard.json").unlink()
    for key, file in (("prometheusRule", "rules.yaml"), ("dashboard", "dashboard.json")):
        message = refusal({"metrics": {key: {"enabled": True}}}, which, chart=bare)
        assert f"files/{file} is missing from this copy of the chart" in message
