"""Debian's ejabberd as the remote broker: its MQTT server speaks 5.0 and 3.1.1, at QoS 0 to 2."""

import glob
import os
import signal
import subprocess

import pytest

from brokerproc import Port
from reach import poll, tcp

PROGRAMS = glob.glob("/usr/lib/*/ejabberd-*/ebin")
needs_ejabberd = pytest.mark.skipif(not PROGRAMS, reason="ejabberd is not installed")
CONFIGURATION = """
hosts: [localhost]
loglevel: info
auth_method: [anonymous]
anonymous_protocol: login_anon
allow_multiple_connections: true
listen:
  - {port: PORT, ip: "127.0.0.1", module: mod_mqtt, backlog: 100}
modules:
  mod_mqtt:
    max_queue: 100000
    session_expiry: 1 hour
    access_publish: {"#": [{allow: all}]}
    access_subscribe: {"#": [{allow: all}]}
"""


class Ejabberd:
    """Its sessions are in memory: they survive a break of the link, not the end of the process."""

    def __init__(self, directory):
        directory.mkdir()
        self.directory, self.lease = directory, Port()
        self.port, self.log, self.process = self.lease.number, directory / "output.log", None
        (directory / "ejabberd.yml").write_text(CONFIGURATION.replace("PORT", str(self.port)))

    def start(self):
        # Without ejabberdctl, which becomes another user, and without the daemon of Erlang that
        # knows the names of nodes.
        environment = os.environ | {"EJABBERD_CONFIG_PATH": str(self.directory / "ejabberd.yml"),
                                    "EJABBERD_LOG_PATH": str(self.directory / "ejabberd.log"),
                                    "HOME": str(self.directory)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["erl", "-noinput", "-mnesia", "dir", f'"{self.directory / "mnesia"}"',
                 "-pa", *PROGRAMS, "-s", "ejabberd"],
                env=environment, cwd=self.directory, stdout=log, stderr=log, start_new_session=True)
        poll(self.listens, 40, what=self.logged)
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

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()
        self.lease.lease.close()
