"""Releases that are removed after their test, and the table of what was seen."""

import datetime
import os
import pathlib
import subprocess
import time

import pytest

import cluster
from traffic import Traffic

REPORT = pathlib.Path(__file__).parents[1] / ".cache/kubernetes/last-run.md"
ROWS = []


@pytest.fixture
def release():
    """Makes releases."""
    made = []

    def release(*arguments, **values):
        made.append(cluster.Release(*arguments, **values))
        return made[-1]

    yield release
    for one in made:
        one.close()


@pytest.fixture
def running(release):
    """A release that serves, on a volume of its own."""
    def running(which="helm4", **values):
        cluster.make_volume()
        one = release(which, **values)
        one.install()
        one.wait_ready()
        return one

    return running


@pytest.fixture
def traffic():
    """Starts traffic; a test that fails does not leave clients behind."""
    made = []

    def traffic(release, **options):
        made.append(Traffic(release.address(), **options))
        made[-1].flow()
        return made[-1]

    yield traffic
    for one in made:
        for publisher in one.publishers:
            publisher.enough.set()
            publisher.client.loop_stop()
        one.online.client.loop_stop()


@pytest.fixture
def seen():
    """Puts a row into the table: what was done, how often, the account, seconds of silence."""
    def seen(what, account=None, silences=(), note=""):
        times = f"{min(silences):.1f} to {max(silences):.1f}" if len(silences) > 1 else "".join(f"{s:.1f}" for s in silences)
        cells = ([f"{account.acknowledged[1]:,}", f"{account.acknowledged[2]:,}", account.lost, account.twice, account.repeated]
                 if account else [""] * 5)
        ROWS.append("| " + " | ".join(map(str, [what, *cells, times, note])) + " |")

    return seen


def pytest_terminal_summary(terminalreporter, exitstatus):
    commit = subprocess.run(["git", "-c", "safe.directory=*", "log", "-1", "--format=%h"], cwd=cluster.ROOT,
                            capture_output=True, text=True).stdout.strip()
    counts = {name: len(terminalreporter.stats.get(name, [])) for name in ("passed", "failed", "error")}
    lines = [
        f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}, commit {commit}, Kubernetes 1.20.2 on one node, "
        f"{os.cpu_count()} cores: {counts['passed']} passed, {counts['failed'] + counts['error']} failed.",
        "",
        "| What was done | QoS 1 acknowledged | QoS 2 acknowledged | Lost | QoS 2 twice | QoS 1 again | Seconds without an acknowledgement | |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *ROWS,
    ]
    REPORT.write_text("\n".join(lines) + "\n")
    for line in ["", *lines, ""]:
        terminalreporter.write_line(line)
