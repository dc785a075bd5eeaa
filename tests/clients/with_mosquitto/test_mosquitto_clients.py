"""mosquitto_pub and mosquitto_sub, as the README uses them."""

import shutil
import subprocess
import threading

import pytest

from rawclient import Raw

pytestmark = pytest.mark.skipif(not shutil.which("mosquitto_sub"), reason="mosquitto-clients is not installed")
VERSIONS = pytest.mark.parametrize("version", ["mqttv31", "mqttv311", "mqttv5"])
QOS = pytest.mark.parametrize("qos", ["0", "1", "2"])


def command(broker, name, version, *arguments):
    return [name, "-h", "127.0.0.1", "-p", str(broker.port), "-V", version, *arguments]


def publish(broker, version, topic, message, *arguments):
    done = subprocess.run(command(broker, "mosquitto_pub", version, "-t", topic, "-m", message, *arguments),
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr


def keep(version):
    return ["-x", "1000"] if version == "mqttv5" else []


def receive(broker, version, *arguments):
    done = subprocess.run(command(broker, "mosquitto_sub", version, "-W", "15", *arguments),
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout.splitlines()


class Listening:
    """mosquitto_sub in the background; ready once its SUBACK is there."""

    def __init__(self, broker, version, *arguments):
        line_by_line = ["stdbuf", "-oL", *command(broker, "mosquitto_sub", version, "-d", *arguments)]
        self.process = subprocess.Popen(line_by_line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.watchdog = threading.Timer(20, self.process.kill)
        self.watchdog.start()
        for line in self.process.stdout:
            if "Subscribed" in line or "received SUBACK" in line:
                break

    def lines(self, count):
        got = []
        for line in self.process.stdout:
            if not line.startswith(("Client ", "Subscribed")):
                got.append(line.rstrip("\n"))
                if len(got) == count:
                    break
        return got

    def stop(self):
        self.watchdog.cancel()
        self.process.terminate()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:  # its signal handler can lock itself out
            self.process.kill()
            self.process.wait()


@VERSIONS
@QOS
def test_publish_and_subscribe(broker, version, qos):
    s = Listening(broker, version, "-t", "t/#", "-q", qos, "-i", "s")
    for n in range(5):
        publish(broker, version, f"t/{n}", f"message {n}", "-q", qos)
    assert s.lines(5) == [f"message {n}" for n in range(5)]
    s.stop()


@VERSIONS
@QOS
def test_retained(broker, version, qos):
    publish(broker, version, "r", "kept", "-q", qos, "-r")
    assert receive(broker, version, "-t", "r", "-q", "2", "-C", "1", "-v") == ["r kept"]
    publish(broker, version, "r", "", "-r", "-q", "1")
    publish(broker, version, "r2", "end", "-r", "-q", "1")
    assert receive(broker, version, "-t", "+", "-C", "1") == ["end"]


@VERSIONS
def test_will(broker, version):
    s = Listening(broker, version, "-t", "will", "-q", "1", "-i", "w")
    d = Listening(broker, version, "-t", "x", "-i", "d", "--will-topic", "will", "--will-payload", "gone",
                  "--will-qos", "1")
    d.process.kill()
    d.stop()
    assert s.lines(1) == ["gone"]
    s.stop()


@VERSIONS
@pytest.mark.parametrize("qos", ["1", "2"])
def test_the_walk_through_of_the_readme(broker, version, qos):
    """A persistent subscriber goes away, messages come, kill -9, restart, the messages arrive."""
    session = ["-i", "walker", "-c", "-q", qos, "-t", "walk/#", *keep(version)]
    # -E leaves as soon as the subscription stands.
    assert receive(broker, version, *session, "-E") == []
    for n in range(3):
        publish(broker, version, "walk/on", f"step {n}", "-q", qos)
    broker.restart()
    assert receive(broker, version, *session, "-C", "3") == ["step 0", "step 1", "step 2"]


@VERSIONS
def test_lines_from_standard_input(broker, version):
    with Raw(broker.port) as keeper:
        keeper.connect("keeper", clean=False)
        keeper.subscribe("lines", qos=1)
    lines = "".join(f"{n}\n" for n in range(500))
    done = subprocess.run(command(broker, "mosquitto_pub", version, "-l", "-t", "lines", "-q", "1"),
                          input=lines, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert receive(broker, "mqttv311", "-i", "keeper", "-c", "-q", "1", "-t", "lines", "-C", "500") == [
        str(n) for n in range(500)]


def test_v5_properties_on_the_command_line(broker):
    s = Listening(broker, "mqttv5", "-t", "t", "-F", "%P|%C|%R|%p")
    publish(broker, "mqttv5", "t", "x", "-D", "publish", "user-property", "k", "v", "-D", "publish",
            "content-type", "c", "-D", "publish", "response-topic", "r")
    assert s.lines(1) == ["k:v|c|r|x"]
    s.stop()


def test_no_local_and_retain_as_published_on_the_command_line(broker):
    s = Listening(broker, "mqttv5", "-t", "t", "--retain-as-published", "-F", "%r %p")
    publish(broker, "mqttv5", "t", "x", "-r")
    assert s.lines(1) == ["1 x"]
    s.stop()


def test_wrong_password_is_told(make_broker, tmp_path):
    broker = make_broker(start=False)
    users = str(tmp_path / "users")
    assert broker.run("passwd", users, "u", "--password-stdin", input="right").returncode == 0
    broker.settings["AUTH__PASSWORD_FILE"] = users
    broker.start()
    for version in ("mqttv311", "mqttv5"):
        wrong = subprocess.run(command(broker, "mosquitto_pub", version, "-t", "t", "-m", "x", "-u", "u",
                                       "-P", "wrong"), capture_output=True, text=True, timeout=20)
        assert wrong.returncode != 0
        publish(broker, version, "t", "x", "-u", "u", "-P", "right", "-q", "1")
