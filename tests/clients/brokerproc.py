"""The real binary, in a directory of its own, on ports of its own."""

import fcntl
import http.client
import os
import pathlib
import random
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = str(pathlib.Path(os.environ.get("BROKER_BINARY", ROOT / "target/release/ferrymq")).absolute())
READY_WITHIN = 20.0
STOPPED_WITHIN = 20.0


class Port:
    """A port of this test's own until it is let go: from below the range that outgoing connections
    are given, and held by a lock against the other workers."""

    LEASES = pathlib.Path(tempfile.gettempdir()) / f"ferrymq-ports-{os.getuid()}"

    def __init__(self):
        self.LEASES.mkdir(exist_ok=True)
        while True:
            self.number = random.randrange(10240, 20000)
            self.lease = (self.LEASES / str(self.number)).open("w")
            try:
                fcntl.flock(self.lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", self.number))
                return
            except OSError:
                self.lease.close()


class Broker:
    """`env` takes configuration keys as on the command line: {"SESSION__MAX_EXPIRY": "1h"}."""

    def __init__(self, directory, env=None):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.settings = dict(env or {})
        # Of other programs' names, such as OTEL_EXPORTER_OTLP_ENDPOINT.
        self.variables = {}
        self.leases = Port(), Port()
        self.port, self.http_port = (lease.number for lease in self.leases)
        self.log = self.directory / "broker.log"
        self.database = self.directory / "ferrymq.db"
        self.process = None

    def command(self):
        return [BINARY]

    def environment(self):
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("FERRYMQ_", "OTEL_"))}
        keys = {
            "LISTENERS__TCP__BIND": f"127.0.0.1:{self.port}",
            "HTTP__BIND": f"127.0.0.1:{self.http_port}",
            "PERSISTENCE__PATH": str(self.database),
            **self.settings,
        }
        return keep | self.variables | {f"FERRYMQ_{key}": str(value) for key, value in keys.items()}

    def start(self, wait=True):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), cwd=self.directory, env=self.environment(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        if wait:
            self.wait_ready()
        return self

    def is_ready(self):
        try:
            return self.get("/readyz", timeout=2)[0] == 200
        except OSError:
            return False

    def wait_ready(self):
        deadline = time.monotonic() + READY_WITHIN
        while not self.is_ready():
            assert self.process.poll() is None, f"exit {self.process.returncode}\n{self.logged()}"
            assert time.monotonic() < deadline, f"not ready in {READY_WITHIN} s\n{self.logged()}"
            time.sleep(0.01)

    def get(self, path, timeout=5):
        """(status, text) of a GET on the HTTP listener."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=timeout)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def metric(self, name, **labels):
        """The sum of the samples of /metrics with these labels, or None without any."""
        values = []
        for line in self.get("/metrics")[1].splitlines():
            series, _, value = line.rpartition(" ")
            found, _, inside = series.partition("{")
            if found == name and all(f'{k}="{v}"' in inside for k, v in labels.items()):
                values.append(float(value))
        return sum(values) if values else None

    def await_metric(self, name, wanted, within=10, **labels):
        deadline = time.monotonic() + within
        while not wanted(self.metric(name, **labels)):
            assert time.monotonic() < deadline, f"{name} is {self.metric(name, **labels)}"
            time.sleep(0.02)

    def kill(self):
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def terminate(self):
        """A clean stop; answers the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait_exit()

    def wait_exit(self):
        try:
            return self.process.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"still running after {STOPPED_WITHIN} s\n{self.logged()}") from None

    def restart(self, crash=True, env=None):
        """Down (kill -9, or cleanly) and up again on the same directory and ports."""
        if crash:
            self.kill()
        else:
            assert self.terminate() == 0, self.logged()
        self.settings |= env or {}
        return self.start()

    def running(self):
        return self.process is not None and self.process.poll() is None

    def close(self):
        if self.running():
            self.kill()
        for lease in self.leases:
            lease.lease.close()

    def logged(self):
        """All that it has logged so far: a thread of its own writes it, a moment later."""
        seen, size = None, self._log_size()
        while seen != size:
            time.sleep(0.1)
            seen, size = size, self._log_size()
        return self.log.read_text(errors="replace") if self.log.exists() else "(no log)"

    def _log_size(self):
        return self.log.stat().st_size if self.log.exists() else 0

    def run(self, *arguments, input=None):
        """Another command of the binary, e.g. `passwd`, with this broker's environment."""
        return subprocess.run([BINARY, *arguments], cwd=self.directory, env=self.environment(),
                              input=input, capture_output=True, text=True, timeout=30)
