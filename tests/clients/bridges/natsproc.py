"""Debian's NATS server as the remote broker: MQTT 3.1.1 over JetStream, QoS 0 and 1."""

import json
import shutil

import pytest

from remoteproc import RemoteProcess

needs_nats = pytest.mark.skipif(not shutil.which("nats-server"), reason="nats-server is not installed")


class Nats(RemoteProcess):
    """Sessions and messages survive its restarts."""

    def __init__(self, directory):
        super().__init__(directory)
        self.configuration = directory / "nats.conf"
        # MQTT needs a name and JetStream. The port of NATS's own protocol is any.
        self.configuration.write_text(json.dumps({
            "server_name": "remote", "listen": "127.0.0.1:-1",
            "jetstream": {"store_dir": str(directory / "store"), "max_memory_store": 64 << 20,
                          "max_file_store": 256 << 20},
            "mqtt": {"listen": f"127.0.0.1:{self.port}", "ack_wait": "5s"}}, indent=1))

    def start(self):
        return self.spawn(["nats-server", "-c", self.configuration])
