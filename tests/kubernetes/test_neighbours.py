"""What stands beside the broker's pod: policies, pods on the same volume, Litestream."""

import os
import time

import cluster
from cluster import until


def test_a_disruption_budget_keeps_the_node_from_being_drained(running, traffic, seen):
    release = running(podDisruptionBudget={"enabled": True})
    flow, before = traffic(release), release.container()
    budget = f"/apis/policy/v1beta1/namespaces/{release.namespace}/poddisruptionbudgets/{release.fullname}"
    until("the budget to know its pod", lambda: cluster.get(budget).get("status", {}).get("expectedPods") == 1)
    try:
        done = cluster.kubectl("drain", "node", "--ignore-daemonsets", "--force", "--pod-selector",
                               f"app.kubernetes.io/instance={release.NAME}", "--timeout=12s", check=False)
    finally:
        cluster.kubectl("uncordon", "node")
    assert done.returncode != 0 and "disruption budget" in done.stdout + done.stderr, done.stdout + done.stderr
    assert release.container() == before
    flow.flow()
    seen("`kubectl drain` with the PodDisruptionBudget: refused, the broker serves on", flow.finish().check())


def test_with_a_network_policy_it_serves_whom_it_names(running, seen):
    """This node's network enforces no policies: that the object is taken, and harms nobody
    whom it lets in, is all that can be seen here. What it would do with others is put down."""
    release = running(networkPolicy={
        "enabled": True, "clients": [{"namespaceSelector": {"matchLabels": {"mqtt": "yes"}}}]})
    policies = cluster.get(f"/apis/networking.k8s.io/v1/namespaces/{release.namespace}/networkpolicies")["items"]
    assert [p["spec"]["policyTypes"] for p in policies] == [["Ingress", "Egress"]]
    release.helm("test", release.NAME, "--timeout", "5m")
    done = cluster.kubectl(
        "run", "stranger", "-n", "default", "--image", f"{cluster.IMAGES}/clients:1", "--restart=Never", "--rm", "-i",
        "--", "/usr/bin/mosquitto_pub", "-h", release.address(), "-t", "t", "-m", "m", "-q", "1", check=False)
    seen("NetworkPolicy: `helm test` passes; a pod that it does not name",
         note="is let in: this network enforces none" if done.returncode == 0 else "is kept out")


def test_a_second_broker_on_the_volume_does_not_start_and_does_no_harm(running, traffic, seen):
    release = running()
    flow, before = traffic(release), release.container()
    spec = release.pod()["spec"]
    main = spec["containers"][0]
    release.kubectl("apply", "-f", "-", input=cluster.json.dumps({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "second"},
        "spec": {
            "restartPolicy": "Never", "automountServiceAccountToken": False,
            "securityContext": spec["securityContext"], "volumes": spec["volumes"],
            "containers": [{key: main[key] for key in
                            ("name", "image", "args", "env", "securityContext", "volumeMounts")}],
        }}))
    pod = until("the second broker to end", lambda: ended(release, "second"))
    code = pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"]
    assert code != 0
    line = release.kubectl("logs", "second").stdout.strip().splitlines()[-1]
    assert "ferrymq.db" in line, line
    assert release.container() == before
    flow.flow()
    seen(f"a second broker on the volume: ends with {code}, the first serves on", flow.finish().check(), note=f"`{line.rpartition('serve: ')[2]}`")


def ended(release, name):
    pod = cluster.get(release.path(f"pods/{name}"))
    return pod if pod and pod["status"]["phase"] in ("Failed", "Succeeded") else None


def test_with_litestream_a_lost_volume_is_restored_before_the_broker_starts(release, traffic, seen):
    cluster.make_volume()
    replica = cluster.NODE / "volumes" / f"replica-{time.monotonic_ns()}"
    replica.mkdir()
    os.chown(replica, 10001, 10001)
    one = release(
        extraVolumes=[{"name": "replica", "hostPath": {"path": str(replica)}}],
        litestream={"enabled": True, "replica": {"type": "file", "path": "/replica", "sync-interval": "1s"},
                    "extraVolumeMounts": [{"name": "replica", "mountPath": "/replica"}]})
    one.install()
    one.wait_ready()
    flow = traffic(one)
    flow.flow(1000)
    acknowledged = flow.pause()
    # The last second before a loss is what a replica may lack: none of it here.
    until("the replica to be at rest", lambda: time.time() - newest(replica) > 5)

    one.helm("uninstall", one.NAME)
    until("the pod to go", lambda: not one.list("pods"))
    one.kubectl("delete", "pvc", "--all")
    cluster.make_volume()
    began = time.time()
    one.install()
    one.wait_ready()
    took = time.time() - began
    flow.move(one.address())
    account = flow.collect(acknowledged)
    seen("Litestream beside the broker, its volume lost, restored on a new one", account.check(),
         note=f"ready {took:.0f} s after `helm install`")


def newest(directory):
    return max((file.stat().st_mtime for file in directory.rglob("*") if file.is_file()), default=time.time())


def test_a_larger_claim_needs_a_new_statefulset_and_gets_a_larger_limit(running, traffic, seen):
    """docs/kubernetes.md, "A larger volume", but for the claim's own growth: no class here can expand."""
    release = running()
    flow, before = traffic(release), release.container()
    done = release.upgrade(check=False, persistence={"size": "2Gi"})
    assert done.returncode != 0 and "forbidden" in done.stdout + done.stderr, done.stdout + done.stderr
    release.kubectl("delete", "statefulset", release.fullname, "--cascade=orphan")
    assert release.container() == before, "the pod did not go on"
    began = time.time()
    release.upgrade("--wait", "--timeout", "5m", persistence={"size": "2Gi"})
    release.wait_ready(instead_of=before)
    flow.flow()
    seen("another `persistence.size`: upgrade refused; StatefulSet deleted with `--cascade=orphan`, upgrade taken",
         flow.finish().check(), [flow.silence(began)])
