"""The database over the API."""

import json
import os
import pathlib
import sqlite3
import time

import raw
from adminapi import away
from rawclient import Raw


def until_made(api):
    deadline = time.monotonic() + 60
    while (backup := api.get("/database/backup"))["state"] == "running":
        assert time.monotonic() < deadline, backup
    return backup


def test_the_state_of_the_database_is_told(api):
    away(api, "c")
    for _ in range(5):
        api.publish("q/1", qos=1)
    # A commit is counted just after those who wait for it are told.
    api.broker.await_metric("ferrymq_persistence_committed_messages_total", lambda n: n == 5)
    database = api.get("/database")
    assert database["path"] == str(api.broker.database) and database["state"] == "running"
    assert database["durability"] == "fsync" and database["counts"] is None
    assert database["committed_messages_total"] == 5 and database["commits_total"] > 0
    assert database["max_size_bytes"] > database["database_size_bytes"] > 0
    assert database["oldest_message_age_seconds"] is None or database["oldest_message_age_seconds"] >= 0
    counts = api.get("/database", counts="true")["counts"]
    assert counts == {"sessions": 1, "subscriptions": 1, "messages": 5, "deliveries": 5, "retained": 0,
                      "dead_letters": 0}


def test_a_checkpoint_empties_the_log(api):
    away(api, "c")
    for _ in range(20):
        api.publish("q/1", "x" * 20_000, qos=1)
    done = api.ok("POST", "/database/checkpoint")
    assert done["wal_pages"] == done["copied_pages"]
    assert done["wal_size_bytes"] == 0 and done["duration_seconds"] >= 0
    assert pathlib.Path(f"{api.broker.database}-wal").stat().st_size == 0
    again = api.ok("POST", "/database/checkpoint", {})
    assert again["wal_pages"] == 0


def test_a_checkpoint_beside_a_reader_copies_and_says_what_is_left(api):
    away(api, "c")
    api.publish("q/1", qos=1)
    reader = sqlite3.connect(f"file:{api.broker.database}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM message").fetchall()
    for _ in range(20):
        api.publish("q/1", "x" * 20_000, qos=1)
    done = api.ok("POST", "/database/checkpoint")
    assert done["wal_size_bytes"] > 0
    assert done["copied_pages"] < done["wal_pages"] or done["wal_pages"] == 0, done
    reader.close()
    assert api.ok("POST", "/database/checkpoint")["wal_size_bytes"] == 0


def test_a_backup_is_made_beside_the_running_broker(admin, tmp_path):
    api = admin(HTTP__BACKUP_DIR=tmp_path)
    away(api, "c")
    for n in range(50):
        api.publish("q/1", f"{n}", qos=1)
    assert api.get("/database/backup")["state"] == "none"
    begun = api.ok("POST", "/database/backup", status=202)
    assert begun["state"] == "running" and begun["started_at"]
    made = until_made(api)
    assert made["state"] == "finished" and made["error"] is None, made
    file = pathlib.Path(made["file"])
    assert file.parent == tmp_path and file.stat().st_size == made["done_bytes"] == made["total_bytes"]
    copy = sqlite3.connect(file)
    assert copy.execute("SELECT count(*) FROM delivery").fetchone() == (50,)
    copy.close()
    # And the copy is a database that a broker starts on.
    api.broker.kill()
    api.broker.settings |= {"PERSISTENCE__PATH": file}
    api.broker.start()
    assert api.get("/sessions/c")["queued_messages"] == 50


def test_a_backup_removes_what_a_crash_has_left_of_others(admin, tmp_path):
    api = admin(HTTP__BACKUP_DIR=tmp_path)
    old, new, foreign = (tmp_path / name for name in (
        "ferrymq-20260101T000000Z.db.partial", "ferrymq-20260101T000001Z.db.partial", "x.db.partial"))
    for file in (old, new, foreign):
        file.write_bytes(b"x")
    for file in (old, foreign):
        os.utime(file, (1, 1))
    api.ok("POST", "/database/backup", status=202)
    assert until_made(api)["state"] == "finished"
    assert not old.exists() and new.exists() and foreign.exists()


def test_a_backup_that_fails_says_why(admin, tmp_path):
    api = admin(HTTP__BACKUP_DIR=tmp_path / "missing")
    status, problem, _ = api.ask("POST", "/database/backup")
    assert status == 409 and "http.backup_dir" in problem["detail"] and "missing" in problem["detail"]
    assert api.get("/database/backup")["state"] == "none"


def test_nothing_that_would_be_ignored_is_taken_as_a_body(admin, tmp_path):
    api = admin(HTTP__BACKUP_DIR=tmp_path)
    for body in ({"file": "/etc/passwd"}, "x", [], 7, '{"file": 1}'):
        status, _, _ = api.ask("POST", "/database/backup", json.dumps(body))
        assert status == 400, body
    api.ok("POST", "/database/backup", {}, status=202)


def test_the_database_and_its_backups_are_not_for_everybody(admin, tmp_path):
    api = admin(HTTP__BACKUP_DIR=tmp_path)
    api.ok("POST", "/database/backup", status=202)
    backup = pathlib.Path(until_made(api)["file"])
    database = pathlib.Path(api.get("/database")["path"])
    files = [backup, database, *(database.with_name(database.name + end) for end in ("-wal", "-shm"))]
    assert [file for file in files if file.stat().st_mode & 0o007] == []


def test_without_a_directory_there_are_no_backups(api):
    assert api.problem(409, "POST", "/database/backup") == "backups-off"


def test_without_a_database_there_is_none_to_ask(admin):
    api = admin(PERSISTENCE__ENABLED="false")
    for method, path in [("GET", "/database"), ("POST", "/database/checkpoint"),
                         ("POST", "/database/backup")]:
        assert api.problem(409, method, path) == "no-database", path
    # The rest works in memory.
    with Raw(api.broker.port, raw.V5) as client:
        client.connect("c")
        client.subscribe("a")
        assert api.publish("a", qos=1)["receivers"] == 1
        client.message(payload=b"x")
        api.ok("DELETE", "/sessions/c")
