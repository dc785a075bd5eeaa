"""500 generated `acl_file`s, each given to this broker and to Debian's Mosquitto (2.0): the same
publishes must be refused, and the same messages delivered.

SUBACKs are not compared, since Mosquitto grants every subscription. Two things are different in
Mosquitto 2.1, whose meaning this broker has, and are left out of the files here and tested beside:

1. In 2.0, `%u` and `%c` in a `pattern` are replaced wherever they stand; in 2.1 only where they
   are a whole level, as its manual has always said. `pattern write x%c` allows xd1 in 2.0 only.
2. In 2.0, the names are put into the pattern, and the result is compared with the topic. In 2.1
   it is the pattern itself that has to begin with `$` if the topic does. So `pattern write %c/#`
   lets a client that calls itself $SYS write below $SYS in 2.0 only.
"""

import random
import shutil
import signal
import subprocess

import pytest

import raw
from adminapi import TOKEN, Api
from reach import over_tcp, password_line, poll, replace, tcp

pytestmark = pytest.mark.skipif(not shutil.which("mosquitto"), reason="mosquitto is not installed")
ROUNDS, FILES = 10, 50
EVERYTHING = "topic #\ntopic $x/#\ntopic $fence/#\n"
# User name (None: anonymous) and client id.
CLIENTS = [(None, "c0"), ("alice", "c1"), ("alice", "c2"), ("bob", "b"), ("carol", "d"), ("al+ice", "c3"),
           ("bob", "c#4"), ("dave d", "a/b"), (None, "c+5")]
# While they subscribe, which this broker refuses for topics that nobody may read.
OPEN = EVERYTHING + "".join(f"user {user}\n{EVERYTHING}" for user in sorted({user for user, _ in CLIENTS if user}))
LEVELS = ["a", "b", "c1", "alice", "bob", "x", ""]


class Mosquitto:
    def __init__(self, directory, port, users):
        self.port, self.acl, self.log = port, directory / "mosquitto.acl", directory / "mosquitto.log"
        self.acl.write_text(OPEN)
        configuration = directory / "mosquitto.conf"
        # As root it would become another user, who may not read the test's directory.
        configuration.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n"
                                 f"acl_file {self.acl}\npassword_file {users}\nlog_dest stderr\n")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(["mosquitto", "-c", configuration], stderr=log, stdout=log)
        poll(self.listens, what="mosquitto does not listen")

    def listens(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            tcp(self.port).close()
        except OSError:
            return False
        return True

    def reloads(self):
        return self.log.read_text(errors="replace").count("Reloading config")

    def reload(self):
        before = self.reloads()
        self.process.send_signal(signal.SIGHUP)
        # It has one thread: what it is asked after this line is answered by the new file.
        poll(lambda: self.reloads() > before, what="mosquitto does not reload")

    def close(self):
        self.process.kill()
        self.process.wait()


class Clients:
    """The same clients at one broker."""

    def __init__(self, port):
        self.port, self.all = port, {}
        for user, client_id in [*CLIENTS, ("root", "root")]:
            client = self.all[client_id] = over_tcp(port)
            client.connect(client_id, username=user, password=user)
        self.root = self.all.pop("root")
        for client in self.all.values():
            client.send(raw.subscribe(1, [("#", 0), ("$x/#", 0), ("$fence/#", 0)], raw.V5))
            client.expect(raw.SUBACK, codes=(0, 0, 0))

    def publishes(self, client, topics, name):
        """For each topic, whether it was refused."""
        client.send(*(raw.publish(topic, f"{name} {topic}", 1, pid, version=raw.V5)
                      for pid, topic in enumerate(topics, 1)))
        answers = {}
        while len(answers) < len(topics):
            packet = client._receive(5)
            if packet.kind == raw.PUBACK:
                answers[packet.pid] = packet.reason
            else:
                client.kept.append(packet)
        assert set(answers.values()) <= {0, 0x10, 0x87}, answers
        return [answers[pid] == 0x87 for pid in sorted(answers)]

    def results(self, topics, fence):
        """What of these topics each client may publish, and all that each receives."""
        refused = {name: self.publishes(client, topics, name) for name, client in self.all.items()}
        assert not any(self.publishes(self.root, [*topics, f"$fence/{fence}"], "root")), "root may do everything"
        received = {}
        for name, client in self.all.items():
            got = received[name] = []
            while (packet := client.message(timeout=8)).topic != f"$fence/{fence}":
                got.append(packet.payload)
            got.sort()
        return refused, received

    def close(self):
        for client in (*self.all.values(), self.root):
            client.drop()


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def topic(self):
        levels = [self.random.choice(LEVELS) for _ in range(self.random.randint(1, 3))]
        if self.random.random() < 0.15:
            levels[0] = "$x"
        # An empty topic is no topic.
        return "/".join(levels) or "a"

    def filter(self, placeholders=()):
        levels = self.topic().split("/")
        for index in range(len(levels)):
            chance = self.random.random()
            if chance < 0.2:
                levels[index] = "+"
            elif chance < 0.45 and placeholders:
                levels[index] = self.random.choice(placeholders)
        if self.random.random() < 0.3:
            levels[-1:] = ["#"] if self.random.random() < 0.5 else [levels[-1], "#"]
        return "/".join(levels) or "a"

    def line(self, keyword, *placeholders):
        access = self.random.choice(["read ", "write ", "readwrite ", "", "deny ", "deny "])
        topic = self.filter(placeholders)
        # Without an access word, a topic of that name would be one.
        return f"{keyword} {access}{topic}"

    def lines(self, most, *options):
        return [self.line(*options) for _ in range(self.random.randint(0, most))]

    def file(self):
        """With lines that let root do everything, and everybody receive the fence."""
        patterns = self.lines(4, "pattern", "%u", "%c") if self.random.random() < 0.7 else []
        parts = [["topic read $fence/#", *self.lines(3, "topic")]]
        for user in ("alice", "bob", "carol", "al+ice", "dave d"):
            parts.append([f"user {user}", "topic read $fence/#", *self.lines(3, "topic")])
        for pattern in patterns:
            part = self.random.choice(parts)
            part.insert(self.random.randint(1, len(part)), pattern)
        parts.append(["user root", *EVERYTHING.splitlines()])
        return "\n".join(line for part in parts for line in part) + "\n"


@pytest.fixture
def both(make_broker, port, tmp_path):
    """Both brokers, and a function that gives both a file and answers what each does with topics."""
    users = tmp_path / "users"
    users.write_text("".join(password_line(user, user) for user in
                             sorted({user for user, _ in CLIENTS if user} | {"root"})))
    users.chmod(0o600)
    other = Mosquitto(tmp_path, port(), users)
    acl = tmp_path / "own.acl"
    acl.write_text(OPEN)
    broker = make_broker(HTTP__TOKEN=TOKEN, ACL__MOSQUITTO_FILE=acl, AUTH__PASSWORD_FILE=users,
                         AUTH__ALLOW_ANONYMOUS="true", TELEMETRY__LEVEL="error")
    api, ends = Api(broker), [Clients(broker.port), Clients(other.port)]
    count = iter(range(10_000))

    def both(file, topics):
        replace(acl, file)
        replace(other.acl, file)
        api.ok("POST", "/reload")
        other.reload()
        fence = next(count)
        return [clients.results(topics, fence) for clients in ends]

    both.ends = ends
    yield both
    for clients in ends:
        clients.close()
    other.close()


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_generated_files(both, round_):
    seen = set()
    for number in range(FILES):
        generator = Generator(f"{round_}/{number}")
        file, topics = generator.file(), sorted({generator.topic() for _ in range(10)})
        (refused, received), (refused_there, received_there) = both(file, topics)
        where = f"round {round_}, file {number}, topics {topics}\n{file}"
        assert refused == refused_there, where
        assert received == received_there, where
        seen |= {answer for answers in refused.values() for answer in answers}
    assert seen == {True, False}, "nothing was decided"


HEAD = "topic read $fence/#\n" + "".join(
    f"user {user}\ntopic read $fence/#\n" for user in ("alice", "bob", "carol", "al+ice", "dave d")) + (
    f"user root\n{EVERYTHING}")


# Client ids are what the clients call themselves.
DIFFERENCES = {"within a level": ("d1", "x%c", "xd1"), "a name in $": ("$x", "%c/#", "$x/a")}


@pytest.mark.parametrize("client_id,pattern,topic", DIFFERENCES.values(), ids=DIFFERENCES)
def test_what_differs(both, client_id, pattern, topic):
    both(f"{HEAD}pattern write {pattern}\n", [topic])
    answers = []
    for clients in both.ends:
        with over_tcp(clients.port) as client:
            client.connect(client_id)
            answers += clients.publishes(client, [topic], client_id)
    assert answers == [True, False]
