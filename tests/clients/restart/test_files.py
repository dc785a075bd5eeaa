"""The files that the broker has open: by whatever name somebody else reaches or removes them."""

import os
import sqlite3
import subprocess
import threading

import pytest

import raw
from brokerproc import BINARY
from rawclient import Closed, Raw

V4 = raw.V311


def other_name(broker, kind):
    """A second name of the broker's database, in a directory of its own."""
    other = broker.directory / "elsewhere"
    other.mkdir()
    name = other / "other.db"
    if kind == "symlink":
        name.symlink_to(broker.database)
    else:
        name.hardlink_to(broker.database)
    return name


@pytest.mark.parametrize("kind", ["symlink", "hard link"])
def test_a_second_broker_is_refused_by_whatever_name_it_reaches_the_database(
        broker, make_broker, kind):
    name = other_name(broker, kind)
    second = make_broker(start=False, PERSISTENCE__PATH=str(name))
    second.start(wait=False)
    assert second.wait_exit() == 3, second.logged()
    assert f"is in use by the process {broker.process.pid}" in second.logged()
    # The first one has lost nothing by it, not even its locks.
    with sqlite3.connect(broker.database) as file:
        file.execute("SELECT count(*) FROM session").fetchone()
    assert (broker.directory / "ferrymq.db-wal").exists()
    publisher = Raw(broker.port)
    publisher.connect("p", clean=False)
    assert publisher.publish("t", b"x", qos=1).kind == raw.PUBACK
    # And it is free when the first one has ended.
    broker.kill()
    second.start()


@pytest.mark.parametrize("kind", ["symlink", "hard link"])
def test_the_tools_know_by_every_name_that_a_broker_runs(broker, kind):
    name = other_name(broker, kind)
    shown = broker.run("db", "status", "--database", str(name))
    # The write-ahead log of a hard link stands beside the other name: it cannot be read by this.
    assert shown.returncode == (0 if kind == "symlink" else 3), shown.stderr
    assert str(broker.process.pid) in shown.stdout + shown.stderr, shown
    assert not name.with_name("other.db-wal").exists()
    for arguments in (["purge", "--client", "x"], ["restore", str(broker.database)]):
        done = broker.run("db", *arguments, "--database", str(name))
        assert done.returncode != 0, done.stdout


def test_a_symlink_keeps_the_files_beside_the_database_itself(make_broker):
    broker = make_broker(start=False)
    real = broker.directory / "volume"
    real.mkdir()
    link = broker.directory / "link.db"
    link.symlink_to("volume/real.db")
    broker.settings["PERSISTENCE__PATH"] = str(link)
    broker.start()
    assert {path.name for path in real.iterdir()} >= {"real.db", "real.db-wal", "real.db.lock"}
    assert not [path for path in broker.directory.iterdir() if path.name.startswith("link.db.")]
    assert broker.metric("ferrymq_persistence_wal_size_bytes") is not None
    assert broker.terminate() == 0


def load(broker, acknowledged):
    """QoS 1 publishes, one after another, until the broker is gone."""
    publisher = Raw(broker.port)
    publisher.connect("load")
    try:
        while True:
            number = len(acknowledged)
            publisher.publish("t", str(number), qos=1)
            acknowledged.append(number)
    except (Closed, ConnectionError):
        pass


@pytest.mark.parametrize("how", ["removed", "replaced", "database removed"])
def test_files_that_go_under_the_broker_end_it_at_the_next_commit_and_nothing_is_lost(broker, how):
    away = Raw(broker.port)
    away.connect("away", clean=False)
    away.subscribe("t", qos=1)
    away.disconnect()
    acknowledged = []
    loader = threading.Thread(target=load, args=(broker, acknowledged))
    loader.start()
    while len(acknowledged) < 50:
        pass
    wal = broker.directory / "ferrymq.db-wal"
    if how == "database removed":
        broker.database.rename(broker.directory / "moved.db")
    else:
        wal.unlink()
        if how == "replaced":
            wal.write_bytes(b"")
    removed = len(acknowledged)
    assert broker.wait_exit() == 5, broker.logged()
    loader.join()
    assert "removed or replaced" in broker.logged()
    # One publisher with a window of 1: the commit under way, and none after it.
    assert len(acknowledged) <= removed + 2
    if how == "database removed":
        (broker.directory / "moved.db").rename(broker.database)
    broker.start()
    away = Raw(broker.port)
    assert away.connect("away", clean=False).session_present
    publisher = Raw(broker.port)
    publisher.connect("fence")
    came = [int(packet.payload) for packet in away.until_quiet(publisher)]
    assert came[:len(acknowledged)] == acknowledged


def told(broker, message):
    return [line for line in broker.logged().splitlines() if message in line]


def test_a_new_database_is_told_once_with_its_path(make_broker):
    broker = make_broker()
    [line] = told(broker, "a new database was created")
    assert " WARN " in line and str(broker.database) in line and "does not exist" in line
    broker.restart()
    assert len(told(broker, "a new database was created")) == 1


def test_a_file_of_0_bytes_is_told_as_such(make_broker):
    broker = make_broker(start=False)
    broker.database.touch()
    broker.start()
    [line] = told(broker, "a new database was created")
    assert "0 bytes" in line


@pytest.mark.parametrize("found", ["does not exist", "is a file of 0 bytes"])
def test_where_none_may_be_created_a_wrong_path_refuses_the_start(make_broker, found):
    broker = make_broker(start=False, PERSISTENCE__CREATE="false")
    broker.settings["PERSISTENCE__PATH"] = str(broker.directory / "mnt" / "ferrymq.db")
    if "0 bytes" in found:
        (broker.directory / "mnt").mkdir()
        (broker.directory / "mnt" / "ferrymq.db").touch()
    broker.start(wait=False)
    assert broker.wait_exit() == 3
    assert found in broker.logged() and "persistence.create" in broker.logged()
    # Not even a lock file, where a volume should be mounted.
    assert "0 bytes" in found or not (broker.directory / "mnt").exists()
    assert not (broker.directory / "mnt" / "ferrymq.db.lock").exists()


def test_where_none_may_be_created_the_one_that_is_there_is_opened(make_broker):
    broker = make_broker()
    broker.restart(env={"PERSISTENCE__CREATE": "false"})


@pytest.mark.parametrize("path", ["ferrymq.db\r", "ferry\nmq.db", '"ferrymq.db', "ferrymq.db "])
def test_a_path_that_nobody_means_is_refused(make_broker, path):
    broker = make_broker(start=False)
    broker.settings["PERSISTENCE__PATH"] = f"{broker.directory}/{path}" if path[0] != '"' else path
    before = {file.name for file in broker.directory.iterdir()}
    broker.start(wait=False)
    assert broker.wait_exit() == 2
    [line] = broker.logged().splitlines()
    assert "persistence.path" in line and "found" in line
    assert {file.name for file in broker.directory.iterdir()} == before | {"broker.log"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
@pytest.mark.parametrize("command", [["serve"], ["db", "status"]])
def test_a_database_of_another_user_is_told_with_what_to_look_at(make_broker, command, tmp_path):
    broker = make_broker()
    assert broker.terminate() == 0
    for directory in [broker.directory, *broker.directory.parents]:
        if directory.stat().st_mode & 0o005 != 0o005:
            directory.chmod(directory.stat().st_mode | 0o005)
    broker.directory.chmod(0o777)
    (broker.directory / "ferrymq.db.lock").unlink()
    refused = subprocess.run(
        [BINARY, *command], cwd=broker.directory, env=broker.environment(), user=65534, group=65534,
        extra_groups=[], capture_output=True, text=True, timeout=30)
    assert refused.returncode == 3, refused
    assert "readable and writable for this user" in refused.stderr, refused.stderr


def test_the_tools_need_no_decision_about_who_may_connect(broker):
    """As in the image, whose listeners others can reach."""
    broker.settings["LISTENERS__TCP__BIND"] = "0.0.0.0:1883"
    for command in (["db", "status"], ["db", "check"], ["db", "queues"], ["health"]):
        done = broker.run(*command)
        assert done.returncode == 0, done.stderr
    broker.terminate()
    done = broker.run("drill", "--rounds", "1", "--seconds", "0.2", "--rate", "200")
    assert done.returncode == 0, done.stdout + done.stderr
    served = broker.run("serve")
    assert served.returncode == 2 and "FERRYMQ_AUTH__ALLOW_ANONYMOUS=true" in served.stderr
