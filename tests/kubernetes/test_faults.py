"""The pod is killed, deleted, hung and crowded; what was acknowledged is there."""

import os
import select
import signal
import threading
import time

import cluster
from cluster import until

ROUNDS = 3


def test_killed_under_traffic_nothing_acknowledged_is_lost(running, traffic, seen):
    release = running()
    flow, silences = traffic(release), []
    for _ in range(ROUNDS):
        before, began = release.container(), time.time()
        release.kill()
        release.wait_ready(instead_of=before)
        flow.flow()
        silences.append(flow.silence(began))
    seen(f"{ROUNDS} times kill -9 of the broker", flow.finish().check(), silences,
         "the node waits 10 s before the second restart, 20 s before the third, and so on")


def test_force_deleted_under_traffic_nothing_acknowledged_is_lost(running, traffic, seen):
    release = running()
    flow, silences = traffic(release), []
    for _ in range(ROUNDS):
        before, began = release.container(), time.time()
        release.kubectl("delete", "pod", release.pod()["metadata"]["name"], "--grace-period=0", "--force")
        release.wait_ready(instead_of=before)
        flow.flow()
        silences.append(flow.silence(began))
    seen(f"{ROUNDS} times `kubectl delete pod --grace-period=0 --force`", flow.finish().check(), silences)


def test_deleted_in_order_it_drains_and_closes_the_database(running, traffic, seen):
    release = running()
    flow, silences, ends, stops = traffic(release), [], [], []
    for _ in range(2):
        before, process, name = release.container(), os.pidfd_open(release.process()), release.pod()["metadata"]["name"]
        log, began = [], time.time()

        def note_the_end():
            """A descriptor of a process is readable when it has ended."""
            select.select([process], [], [], 300)
            ends.append(time.time() - began)

        watch = threading.Thread(target=note_the_end)
        watch.start()
        follow = threading.Thread(target=lambda: log.append(release.kubectl("logs", "--follow", name, timeout=300).stdout))
        follow.start()
        # Answers when the pod is gone.
        release.kubectl("delete", "pod", name)
        stops.append(time.time() - began)
        release.wait_ready(instead_of=before)
        follow.join()
        watch.join()
        os.close(process)
        assert "the database is closed" in log[0], log[0]
        flow.flow()
        silences.append(flow.silence(began))
    assert max(ends) < 30, "killed at the end of its grace period"
    seen("2 times `kubectl delete pod`", flow.finish().check(), silences,
         f"the broker has ended after {max(ends):.1f} s at most, the pod is gone after {max(stops):.1f} s")


def test_while_it_hangs_it_gets_no_new_clients_and_is_restarted_in_the_end(running, traffic, seen):
    quick = {"periodSeconds": 1, "timeoutSeconds": 1}
    release = running(readinessProbe=quick, livenessProbe=quick | {"failureThreshold": 15})
    flow, before = traffic(release), release.container()

    release.signal(signal.SIGSTOP)
    until("taken out of the Service", lambda: not release.endpoints())
    release.signal(signal.SIGCONT)
    until("back in the Service", release.endpoints)
    flow.flow()
    assert release.container() == before, "restarted, although it came back"

    began = time.time()
    release.signal(signal.SIGSTOP)
    release.wait_ready(instead_of=before)
    assert release.status()["lastState"]["terminated"]["exitCode"] == 137
    flow.flow()
    seen("hung, then restarted by the liveness probe", flow.finish().check(), [flow.silence(began)])


def test_the_whole_pod_dies_as_with_its_node(running, traffic, seen):
    """All processes of the pod at once, the pause container's too: network and address go as well."""
    release = running()
    flow, before, began = traffic(release), release.container(), time.time()
    uid = release.pod()["metadata"]["uid"]
    for pid in pod_processes(uid):
        cluster.os.kill(pid, signal.SIGKILL)
    release.wait_ready(instead_of=before)
    assert release.pod()["metadata"]["uid"] == uid, "a new pod, not the old one started again"
    flow.flow()
    seen("all processes of the pod killed", flow.finish().check(), [flow.silence(began)])


def pod_processes(uid):
    groups = cluster.pathlib.Path("/sys/fs/cgroup/pids").rglob(f"*pod{uid}*")
    found = [int(pid) for group in groups for procs in group.rglob("cgroup.procs") for pid in procs.read_text().split()]
    assert len(found) >= 2, found
    return found


def test_a_loaded_database_starts_within_its_probe_and_is_whole(running, traffic, seen):
    release = running()
    flow = traffic(release, rates=(5000, 500), size=2000)
    flow.flow(40_000, within=400)
    before, began, restarts = release.container(), time.time(), release.status()["restartCount"]
    size = (database(release)).stat().st_size
    release.kill()
    release.wait_ready(instead_of=before)
    took = time.time() - began
    assert release.status()["restartCount"] == restarts + 1, "the startup probe killed it on its way"
    flow.flow()
    seen(f"kill -9 with {size / 1e6:.0f} MB of database", flow.finish(300).check(), [flow.silence(began)],
         f"ready after {took:.1f} s")


def test_the_account_notices_a_broker_that_acknowledges_before_it_has_written(running, traffic):
    release = running(config={"persistence": {"durability": "async", "flush_interval": "10s"}})
    flow, before = traffic(release), release.container()
    release.kill()
    release.wait_ready(instead_of=before)
    flow.flow()
    # What is lost never comes: it is not waited for as long as elsewhere.
    assert flow.finish(patience=20).lost > 0


def database(release):
    claim = cluster.get(release.path(f"persistentvolumeclaims/data-{release.fullname}-0"))
    return cluster.NODE / "volumes" / claim["spec"]["volumeName"] / "ferrymq.db"
