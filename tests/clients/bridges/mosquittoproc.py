"""Debian's Mosquitto as the remote broker, with a configuration and a port of its own."""

import shutil

import pytest

from remoteproc import RemoteProcess

needs_mosquitto = pytest.mark.skipif(not shutil.which("mosquitto"), reason="mosquitto is not installed")


class Mosquitto(RemoteProcess):
    """`lines` go into its configuration. A clean stop saves its sessions; kill -9 loses them."""

    def __init__(self, directory, *lines, listener=None):
        super().__init__(directory)
        self.configuration = directory / "mosquitto.conf"
        # As root it would become another user, who may not read the test's directory.
        self.configuration.write_text("\n".join([
            "user root", "log_dest stderr", "log_type all", "allow_anonymous true",
            "max_queued_messages 0", "sys_interval 1",
            "persistence true", f"persistence_location {directory}/",
            *(listener or ["listener PORT 127.0.0.1"]), *lines, ""]).replace("PORT", str(self.port)))

    def start(self):
        return self.spawn(["mosquitto", "-c", self.configuration])

    def subscriptions(self):
        """How many SUBSCRIBEs it has answered, of all clients, since its directory was made."""
        return self.logged().count("Sending SUBACK")
