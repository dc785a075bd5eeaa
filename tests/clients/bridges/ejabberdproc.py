"""Debian's ejabberd as the remote broker: its MQTT server speaks 5.0 and 3.1.1, at QoS 0 to 2."""

import glob
import os

import pytest

from remoteproc import RemoteProcess

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


class Ejabberd(RemoteProcess):
    """Its sessions are in memory: they survive a break of the link, not the end of the process."""

    def __init__(self, directory):
        super().__init__(directory)
        (directory / "ejabberd.yml").write_text(CONFIGURATION.replace("PORT", str(self.port)))

    def start(self):
        # Without ejabberdctl, which becomes another user, and without the daemon of Erlang that
        # knows the names of nodes.
        environment = os.environ | {"EJABBERD_CONFIG_PATH": str(self.directory / "ejabberd.yml"),
                                    "EJABBERD_LOG_PATH": str(self.directory / "ejabberd.log"),
                                    "HOME": str(self.directory)}
        return self.spawn(
            ["erl", "-noinput", "-mnesia", "dir", f'"{self.directory / "mnesia"}"',
             "-pa", *PROGRAMS, "-s", "ejabberd"],
            within=40, env=environment, cwd=self.directory)
