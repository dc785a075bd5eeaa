"""Debian's Mosquitto as the remote broker, with a configuration and a port of its own."""

import shutil
import signal
import subprocess

import pytest

from brokerproc import Port
from reach import poll, tcp

needs_mosquitto = pytest.mark.skipif(not shutil.which("mosquitto"), reason="mosquitto is not installed")


class Mosquitto:
    """`lines` go into its configuration. A clean stop saves its sessions; kill -9 loses them."""

    def __init__(self, directory, *lines, listener=None):
        directory.mkdir()
        self.lease = Port()
        self.port, self.log, self.process = self.lease.number, directory / "mosquitto.log", None
        self.configuration = directory / "mosquitto.conf"
        # As root it would become another user, who may not read the test's directory.
        self.configuration.write_text("\n".join([
            "user root", "log_dest stderr", "log_type all", "allow_anonymous true",
            "max_queued_messages 0", "sys_interval 1",
            "persistence true", f"persistence_location {directory}/",
            *(listener or ["listener PORT 127.0.0.1"]), *lines, ""]).replace("PORT", str(self.port)))

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(["mosquitto", "-c", self.configuration], stderr=log, stdout=log)
        poll(self.listens, what="mosquitto does not listen")
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

    def subscriptions(self):
        """How many SUBSCRIBEs it has answered, of all clients, since its directory was made."""
        return self.logged().count("Sending SUBACK")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def restart(self, crash=True):
        if not crash:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
        else:
            self.kill()
        return self.start()

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()
        self.lease.lease.close()
