"""A broker of somebody else as a process: what all of them have in common. Its configuration and
command are the subclasses'."""

import os
import signal
import subprocess

from brokerproc import Port
from reach import poll, tcp


class RemoteProcess:
    """With a port and a directory of its own."""

    def __init__(self, directory):
        directory.mkdir()
        self.directory, self.lease = directory, Port()
        self.port, self.log, self.process = self.lease.number, directory / "output.log", None

    def spawn(self, command, within=20, **options):
        """Starts it in a session of its own, and waits until it listens."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, **options)
        poll(self.listens, within, what=self.logged)
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

    def restart(self, crash=True):
        if crash:
            self.kill()
        else:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
        return self.start()

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()
        self.lease.lease.close()
