"""The chart's life: installed, tested, upgraded, rolled back, refused, removed and installed again."""

import time

import pytest

import cluster
from cluster import until

HELMS = ("helm4", "helm3")


@pytest.mark.parametrize("which", HELMS)
def test_installed_with_the_defaults_it_passes_its_own_test(running, seen, which):
    release = running(which, tests={"drill": {"enabled": True, "rounds": 3, "rate": 500}})
    pod = release.pod()
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert release.endpoints() == [pod["status"]["podIP"]]
    done = release.helm("test", release.NAME, "--logs", "--timeout", "5m", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "what was acknowledged has arrived" in done.stdout
    seen(f"`helm test` with the drill, {version(which)}", note="passed")


def version(which):
    return "Helm " + cluster.command(which, "version", "--template", "{{.Version}}").stdout.strip().lstrip("v")


@pytest.mark.parametrize("which", HELMS)
def test_upgraded_and_rolled_back_under_traffic_nothing_acknowledged_is_lost(running, traffic, seen, which):
    release = running(which)
    flow, silences = traffic(release), []
    for step in ("upgrade", "rollback"):
        before, began = release.container(), time.time()
        if step == "upgrade":
            release.upgrade("--wait", "--timeout", "5m", image={"tag": "after"}, config={"session": {"max_expiry": "30d"}})
        else:
            release.helm("rollback", release.NAME, "--wait", "--timeout", "5m")
        release.wait_ready(instead_of=before)
        tag = release.pod()["spec"]["containers"][0]["image"].rpartition(":")[2]
        assert tag == ("after" if step == "upgrade" else "before")
        flow.flow()
        silences.append(flow.silence(began))
    seen(f"upgrade and rollback, {version(which)}", flow.finish().check(), silences)


def test_an_upgrade_that_changes_nothing_restarts_nothing(running):
    release = running()
    before = release.container()
    release.upgrade("--wait")
    assert release.container() == before


def test_an_upgrade_with_a_wrong_configuration_fails_and_the_broker_goes_on(running, traffic, seen):
    release = running()
    flow, before = traffic(release), release.container()
    done = release.upgrade("--timeout", "5m", check=False, config={"session": {"max_expiri": "1d"}})
    assert done.returncode != 0, done.stdout
    assert release.container() == before
    flow.flow()
    seen("upgrade with a wrong configuration: refused, the broker serves on", flow.finish().check())


def test_a_wrong_configuration_is_stopped_by_the_init_step_with_one_line(release, seen):
    cluster.make_volume()
    broken = release()
    broken.install(config={"session": {"max_expiri": "1d"}})

    def failed():
        statuses = (broken.pod() or {"status": {}})["status"].get("initContainerStatuses") or []
        return any((s.get("lastState") or {}).get("terminated") or s["state"].get("terminated") for s in statuses
                   if s["name"] == "config-check")

    until("the init step to fail", failed)
    lines = broken.logs("config-check").strip().splitlines()
    assert len(lines) == 1 and "max_expiri" in lines[0], lines
    assert broken.status()["started"] is False and not broken.endpoints()
    seen("installed with a wrong configuration: the init step says", note=f"`{lines[0]}`")


def test_uninstalled_and_installed_again_it_has_its_messages(running, traffic, seen):
    release = running()
    flow = traffic(release)
    release.helm("uninstall", release.NAME)
    until("the pod to go", lambda: not release.pod())
    claim = release.path(f"persistentvolumeclaims/data-{release.fullname}-0")
    assert cluster.get(claim)["status"]["phase"] == "Bound", "the claim went with the release"
    release.install()
    release.wait_ready()
    # Another address: clients would look the name up again.
    flow.move(release.address())
    flow.flow()
    seen("`helm uninstall`, then `helm install`: the claim stays", flow.finish().check())


def test_a_volume_that_ignores_the_group_is_given_to_the_broker(release, seen):
    directory = cluster.make_volume(kind="hostPath")
    one = release()
    one.install(persistence={"volumePermissions": {"enabled": True}})
    one.wait_ready()
    assert (directory / "ferrymq.db").stat().st_uid == 10001
    seen("hostPath volume with `persistence.volumePermissions`", note="runs")


def test_a_deployment_on_an_existing_claim_is_replaced_under_traffic(release, traffic, seen):
    cluster.make_volume()
    one = release()
    one.kubectl("apply", "-f", "-", input=cluster.json.dumps({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "mine"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}))
    one.install(workload={"kind": "Deployment"}, persistence={"existingClaim": "mine"})
    one.wait_ready()
    flow, before, began = traffic(one), one.container(), time.time()
    one.upgrade("--wait", "--timeout", "5m", image={"tag": "after"})
    one.wait_ready(instead_of=before)
    flow.flow()
    silences = [flow.silence(began)]
    before, began = one.container(), time.time()
    one.kubectl("delete", "pod", one.pod()["metadata"]["name"], "--grace-period=0", "--force")
    one.wait_ready(instead_of=before)
    flow.flow()
    silences.append(flow.silence(began))
    seen("Deployment: upgrade, then force-delete", flow.finish().check(), silences)


def test_a_backup_is_taken_beside_the_broker(running, traffic, seen):
    cluster.make_volume()
    release = running(backup={"enabled": True, "claim": {"size": "1Gi"}})
    flow = traffic(release)
    release.kubectl("create", "job", "--from", f"cronjob/{release.fullname}-backup", "now")
    release.kubectl("wait", "--for=condition=complete", "job/now", "--timeout=300s")
    saved = list((cluster.NODE / "volumes").rglob(f"{release.fullname}-*.db"))
    assert len(saved) == 1, saved
    seen("backup by the CronJob beside the broker", flow.finish().check())


def test_a_node_can_be_drained_and_the_pod_comes_back(running, traffic, seen):
    release = running()
    flow, before, began = traffic(release), release.container(), time.time()
    try:
        cluster.kubectl("drain", "node", "--ignore-daemonsets", "--delete-emptydir-data", "--force",
                        "--pod-selector", f"app.kubernetes.io/instance={release.NAME}", "--timeout=300s")
    finally:
        cluster.kubectl("uncordon", "node")
    release.wait_ready(instead_of=before)
    flow.flow()
    seen("`kubectl drain`, then `uncordon`", flow.finish().check(), [flow.silence(began)])
