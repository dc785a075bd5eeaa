"""Debian's NATS server as the remote broker: MQTT 3.1.1 over JetStream, QoS 0 and 1."""

import json
import shutil
import signal
import subprocess

import pytest

from brokerproc import Port
from reach import poll, tcp

needs_nats = pytest.mark.skipif(not shutil.which("nats-server"), reason="nats-server is not installed")


class Nats:
    """Sessions and messages survive its restarts."""

    def __init__(self, directory):
        directory.mkdir()
        self.lease = Port()
        self.port, self.log, self.process = self.lease.number, directory / "nats.log", None
        self.configuration = directory / "nats.conf"
        # MQTT needs a name and JetStream. The port of NATS's own protocol is any.
        self.configuration.write_text(json.dumps({
            "server_name": "remote", "listen": "127.0.0.1:-1",
            "jetstream": {"store_dir": str(directory / "store"), "max_memory_store": 64 << 20,
                          "max_file_store": 256 << 20},
            "mqtt": {"listen": f"127.0.0.1:{self.port}", "ack_wait": "5s"}}, indent=1))

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(["nats-server", "-c", self.configuration], stderr=log, stdout=log)
        poll(self.listens, what=self.logged)
        return self

    def listens(self):
        assert self.process.poll() is None, self.logged()
        try:
            tcp(self.port).close()
        except OSError:
            return False
        return True

    def logged(self):
        return self.log.read_text(errors="replace") if self.log.exists() else "(no log)"

    def restart(self, crash=True):
        self.process.send_signal(signal.SIGKILL if crash else signal.SIGTERM)
        self.process.wait(20)
        return self.start()

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.lease.lease.close()
