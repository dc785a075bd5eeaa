"""A stand-in for a cloud service: a small broker that enforces limits and notes who violates them.

It knows one kind of client, the bridge. The test publishes to it, reads what it has sent, breaks
the connection, and at the end asks for the violations.
"""

import socket
import ssl
import threading

from cloudlink import CloudLink, Dismissed
from rawclient import Closed
from standin import WITHIN


class Cloud:
    def __init__(self, limits, server, trusted):
        """`server` is its certificate; clients' are to be signed by `trusted`."""
        self.limits = limits
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(server.file, server.key)
        if limits.certificate:
            self.context.load_verify_locations(trusted)
            self.context.verify_mode = ssl.CERT_REQUIRED
        if limits.alpn:
            self.context.set_alpn_protocols([limits.alpn])
        self.context.sni_callback = self._note_name
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.changed = threading.Condition()
        self.sessions, self.links, self.received, self.violations = {}, [], [], []
        # Topics for which it closes instead of answering.
        self.forbidden = set()
        self.is_down, self.acknowledges = False, True
        self.connected_at = None
        threading.Thread(target=self._accept, daemon=True).start()

    # What a test does.

    def publish(self, topic, payload, qos=1):
        """Somebody else publishes at the service."""
        with self.changed:
            self.route(topic, payload, qos)

    def down(self):
        """Breaks the connection, and refuses others."""
        with self.changed:
            self.is_down = True
        self.cut()

    def cut(self):
        with self.changed:
            for link in self.links:
                link.shut()

    def up(self):
        with self.changed:
            self.is_down, self.acknowledges = False, True

    def forget(self):
        """The sessions have expired."""
        with self.changed:
            self.sessions.clear()

    def until(self, check, what, within=WITHIN):
        with self.changed:
            assert self.changed.wait_for(lambda: check(self), within), f"{what}: {self}"

    def until_subscribed(self, count=1):
        self.until(lambda cloud: sum(len(s.subscriptions) for s in cloud.sessions.values()) >= count,
                   "no subscription")

    def until_received(self, payloads, within=WITHIN):
        """All of these, whatever else."""
        wanted = set(payloads)
        self.until(lambda cloud: wanted <= {payload for _, payload in cloud.received},
                   "messages are missing", within)

    def __str__(self):
        return f"{len(self.received)} messages received, violations: {self.violations}"

    def close(self):
        self.listener.close()
        self.cut()

    # For its links, which hold `changed`.

    def route(self, topic, payload, qos):
        for session in self.sessions.values():
            granted = [most for name, most in session.subscriptions.items() if matches(name, topic)]
            if granted:
                session.waiting.append((topic, payload, min(qos, max(granted))))

    def note(self, text):
        self.violations.append(text)
        self.changed.notify_all()

    # Its threads.

    def _note_name(self, sock, name, context):
        if not name:
            with self.changed:
                self.note("no server name in the handshake")

    def _accept(self):
        while True:
            try:
                plain = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain):
        plain.settimeout(WITHIN)
        if self.is_down:
            return plain.close()
        try:
            secured = self.context.wrap_socket(plain, server_side=True)
        except OSError as error:
            with self.changed:
                self.note(f"TLS: {error}")
            return plain.close()
        try:
            CloudLink(self, secured).run()
        except (Closed, Dismissed, OSError):
            pass
        except Exception as error:
            with self.changed:
                self.note(f"the stand-in failed: {error!r}")
            raise
        finally:
            secured.close()


def matches(name, topic):
    filter_levels, levels = name.split("/"), topic.split("/")
    for place, level in enumerate(filter_levels):
        if level == "#":
            return True
        if place >= len(levels) or level not in ("+", levels[place]):
            return False
    return len(filter_levels) == len(levels)
