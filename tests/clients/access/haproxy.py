"""Debian's haproxy in front of a broker."""

import socket
import subprocess

from reach import poll, tcp

HEAD = """
global
    maxconn 100
    stats socket {stats}
defaults
    timeout connect 5s
    timeout client 30s
    timeout server 30s
"""


class Haproxy:
    def __init__(self, directory, configuration, *ports):
        file = directory / "haproxy.cfg"
        self.stats = directory / "stats"
        file.write_text(HEAD.format(stats=self.stats) + configuration)
        self.log = directory / "haproxy.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(["haproxy", "-db", "-f", str(file)], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=subprocess.STDOUT)
        for port in ports:
            poll(lambda: self.listens(port), what=f"haproxy does not listen\n{self.log.read_text()}")

    def listens(self, port):
        assert self.process.poll() is None, self.log.read_text()
        try:
            tcp(port).close()
        except OSError:
            return False
        return True

    def check_status(self):
        """What haproxy's checks have found of the server, such as L4OK."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(str(self.stats))
            asked.sendall(b"show stat\n")
            names, *rows = asked.makefile().read().removeprefix("# ").strip().splitlines()
        rows = [dict(zip(names.split(","), row.split(","))) for row in rows]
        return [row["check_status"] for row in rows if row["svname"] == "broker"][0]

    def close(self):
        self.process.kill()
        self.process.wait()


def passed_on(front, back, options, mode="tcp"):
    """A port that is passed on to another; `options` are those of the server line."""
    more = "" if mode == "tcp" else "    option forwardfor\n"
    return (f"frontend f{front}\n    mode {mode}\n    bind 127.0.0.1:{front}\n{more}    default_backend b{front}\n"
            f"backend b{front}\n    mode {mode}\n    server broker 127.0.0.1:{back} {options}\n")
