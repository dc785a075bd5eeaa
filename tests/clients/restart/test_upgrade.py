"""A database that an older release has written: opened, drained, nothing lost, nothing twice.

The databases are in tests/fixtures, with the scripts that made them.
"""

import pathlib
import sqlite3
import tarfile

import pytest

import raw
from rawclient import Raw

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "fixtures"
NEVER = {"session_expiry": 0xFFFFFFFF}
QUEUE = [f"queue {n}" for n in range(40)] + ["later", "open 7", "open 8", "last"]


def unpack(directory, *names):
    with tarfile.open(FIXTURES / "version-1.tar.gz") as tar:
        for name in names:
            with (directory / name).open("wb") as file:
                file.write(tar.extractfile(name).read())


@pytest.fixture(params=["killed", "backup"])
def old(request, make_broker):
    """A broker, not started, on what version 1 has left: by kill -9, or as a backup of it."""
    broker = make_broker(start=False)
    if request.param == "killed":
        unpack(broker.directory, "ferrymq.db", "ferrymq.db-wal")
    else:
        unpack(broker.directory, "backup.db")
        restored = broker.run("db", "restore", "backup.db")
        assert restored.returncode == 0, restored.stderr
    return broker


def resume(broker, ident, version=raw.V5, present=True):
    client = Raw(broker.port, version)
    connack = client.connect(ident, clean=False, properties=NEVER if version == raw.V5 else ())
    assert connack.session_present == present, ident
    return client


def drain(broker, ident, version=raw.V5):
    """What waits for a client, acknowledged to its end."""
    client, publisher = resume(broker, ident, version), Raw(broker.port)
    publisher.connect(f"fence-{ident}")
    seen = client.until_quiet(publisher)
    client.unsubscribe("fence/#")
    client.disconnect()
    return [(packet.topic, packet.payload.decode()) for packet in seen]


def of(messages):
    return [payload for _, payload in messages]


def resume_receiver(broker):
    """In flight to a receiver: it has the messages 1 and 3, and waits for their PUBREL."""
    receiver = resume(broker, "receiver")
    came, released = [], []
    while len(came) + len(released) < 6:
        packet = receiver.recv()
        if packet.kind == raw.PUBREL:
            released.append(packet.pid)
            receiver.send(raw.ack(raw.PUBCOMP, packet.pid))
        else:
            assert packet.dup, packet
            came.append(packet)
    for packet in came:
        receiver.acknowledge(packet)
    receiver.ping()
    receiver.disconnect()
    assert len(released) == 2
    assert [packet.payload for packet in came] == [b"flight 0", b"flight 2", b"flight 4", b"flight 5"]


def resume_releaser(broker):
    """In flight from a publisher that has PUBREC: a repeat is one, and it can be released."""
    releaser = resume(broker, "releaser")
    releaser.send(raw.publish("queue/open", "open 7", 2, 7, dup=True, version=raw.V5))
    assert releaser.answer(raw.PUBREC, 7).reason == 0
    for pid in (7, 8):
        releaser.send(raw.ack(raw.PUBREL, pid))
        assert releaser.answer(raw.PUBCOMP, pid).reason == 0
    releaser.disconnect()


def test_a_database_of_version_1_is_drained_with_nothing_lost_and_nothing_twice(old):
    old.start()
    resume_releaser(old)
    resume(old, "expires", present=False).drop()
    assert of(drain(old, "queue-5")) == QUEUE
    assert of(drain(old, "queue-4", raw.V311)) == QUEUE
    shared = of(drain(old, "member-1")) + of(drain(old, "member-2"))
    assert sorted(shared) == sorted(f"shared {n}" for n in range(20))
    resume_receiver(old)

    reader = Raw(old.port)
    reader.connect("reader")
    reader.subscribe(("retained/#", 1))
    retained = {packet.topic: packet.payload for packet in (reader.message(), reader.message())}
    assert retained == {"retained/one": b"one, first", "retained/two": b"two, second"}
    reader.ping()
    reader.disconnect()

    # The will of the client that was connected is due a second after the start.
    wills = resume(old, "wills")
    assert {wills.message().topic for _ in range(2)} == {"will/left", "will/stays"}
    wills.ping()
    wills.disconnect()

    # All of it is gone from the file as well.
    old.restart(crash=False)
    for ident in ("queue-5", "member-1", "member-2", "receiver", "releaser", "wills"):
        assert drain(old, ident) == [], ident
    assert drain(old, "queue-4", raw.V311) == []
    assert old.terminate() == 0
    with sqlite3.connect(f"file:{old.database}?mode=ro", uri=True) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (4,)
        rows = "SELECT (SELECT count(*) FROM message), (SELECT count(*) FROM delivery), " \
               "(SELECT count(*) FROM incoming)"
        assert file.execute(rows).fetchone() == (0, 0, 0)


def test_what_is_left_of_a_message_expiry_is_counted_across_the_upgrade(old):
    old.start()
    client = resume(old, "queue-5")
    while (packet := client.message()).payload != b"later":
        pass
    assert 0 < packet.properties["message_expiry"] < 0xFFFFFFFF


def test_the_tools_read_version_1_and_find_it_sound(old):
    for arguments in (["check"], ["status"], ["queues"]):
        done = old.run("db", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "version 1" in old.run("db", "status").stdout
    with sqlite3.connect(f"file:{old.database}?mode=ro", uri=True) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (1,), "reading changes nothing"


def test_a_file_of_a_later_release_is_refused_with_one_line_and_not_touched(old):
    old.start()
    assert old.terminate() == 0
    with sqlite3.connect(old.database) as file:
        file.execute("PRAGMA user_version = 99")
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = old.database.read_bytes()
    logged = len(old.logged())
    old.start(wait=False)
    assert old.wait_exit() == 3
    lines = [line for line in old.logged()[logged:].splitlines() if "schema version" in line]
    assert len(lines) == 1 and "schema version 99, this release knows up to 4" in lines[0], lines
    done = old.run("db", "status")
    assert done.returncode != 0 and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert old.database.read_bytes() == before
